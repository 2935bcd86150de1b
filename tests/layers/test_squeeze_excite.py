"""SqueezeExcite."""

from kerasdnn.layers import SqueezeExcite
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest

to_numpy = keras.ops.convert_to_numpy


def test_harness():
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype("float32")
    arguments = {"ratio": 4, "activation": "gelu"}
    check_layer(
        SqueezeExcite, arguments, x, expected_output_shape=x.shape, expected_weights=(4, 0, 0)
    )


@pytest.mark.parametrize("shape", [(3, 4, 5, 8), (3, 7, 8)])
def test_equals_the_formula(shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    layer = SqueezeExcite(ratio=2)
    y = to_numpy(layer(x))
    w1, b1, w2, b2 = layer.get_weights()
    means = x.mean(axis=tuple(range(1, x.ndim - 1)))
    gate = 1 / (1 + np.exp(-(np.maximum(means @ w1 + b1, 0) @ w2 + b2)))
    expected = x * gate.reshape(3, *[1] * (x.ndim - 2), 8)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_has_a_hidden_unit_for_few_channels():
    layer = SqueezeExcite(ratio=16)
    layer.build((None, 4, 4, 3))
    assert layer.squeeze.units == 1


def test_mean_is_taken_in_float32():
    # 4096 values of 100 exceed float16's largest number when summed.
    layer = SqueezeExcite(ratio=1, dtype="mixed_float16")
    y = to_numpy(layer(np.full((1, 64, 64, 2), 100.0, "float32")))
    assert np.all(np.isfinite(y))


def test_effect_gate_passes_on_context_that_a_pixelwise_layer_cannot_see():
    """The label is the mean of channel 1, the readout sees pixel (0, 0) only."""
    rng = np.random.default_rng(0)
    x = np.ones((512, 4, 4, 2), "float32")
    x[..., 1] = rng.normal(size=(512, 4, 4)) + rng.choice([-2.0, 2.0], size=(512, 1, 1))
    labels = (x[..., 1].mean(axis=(1, 2)) > 0).astype("float32")
    x[:, 0, 0, 1] = 0.0

    def accuracy(with_gate):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((4, 4, 2))
        features = SqueezeExcite(ratio=1)(inputs) if with_gate else inputs
        outputs = keras.layers.Dense(1)(features[:, 0, 0])
        model = keras.Model(inputs, outputs)
        model.compile(
            keras.optimizers.Adam(0.05),
            keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)],
        )
        model.fit(x, labels, batch_size=128, epochs=15, verbose=0)
        return model.evaluate(x, labels, verbose=0)[1]

    assert accuracy(False) < 0.6
    assert accuracy(True) > 0.9


def test_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="expects ratio of at least 1; received 0"):
        SqueezeExcite(ratio=0)
    with pytest.raises(ValueError, match="min_ndim=3"):
        SqueezeExcite()(np.ones((2, 3)))
