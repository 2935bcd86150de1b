from kerasdnn.layers import MinibatchStdDev
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest


def test_layer():
    check_layer(
        MinibatchStdDev,
        {},
        np.random.default_rng(0).normal(size=(4, 5, 5, 3)).astype("float32"),
        expected_output_shape=(4, 5, 5, 4),
        expected_weights=(0, 0, 0),
    )


@pytest.mark.parametrize("shape", [(6, 4), (6, 3, 3, 2)])
def test_against_numpy(shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    y = keras.ops.convert_to_numpy(MinibatchStdDev()(x))
    np.testing.assert_array_equal(y[..., :-1], x)
    np.testing.assert_allclose(y[..., -1], x.std(axis=0).mean(), rtol=1e-5)


def test_two_opposite_samples_have_their_own_size_as_deviation():
    x = np.stack([np.full((2, 2, 1), 3.0), np.full((2, 2, 1), -3.0)])
    y = keras.ops.convert_to_numpy(MinibatchStdDev()(x))
    np.testing.assert_allclose(y[..., -1], 3.0, rtol=1e-6)


def test_tells_a_collapsed_batch_from_a_varied_one():
    """The same sample looks different in a batch of copies; without the layer it cannot."""
    varied = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    collapsed = np.repeat(varied[:1], 8, axis=0)
    a, b = (keras.ops.convert_to_numpy(MinibatchStdDev()(x))[0] for x in (varied, collapsed))
    np.testing.assert_array_equal(a[:-1], b[:-1])
    assert a[-1] > 0.5
    assert b[-1] < 1e-3


def test_float16_keeps_the_small_deviations():
    """Squares of 1e-3 are below what float16 holds: the sum is made in float32."""
    layer = MinibatchStdDev(dtype="mixed_float16")
    x = np.array([[1e-3], [-1e-3]] * 4)
    y = keras.ops.convert_to_numpy(keras.ops.cast(layer(x), "float32"))
    np.testing.assert_allclose(y[:, 1], 1e-3, rtol=0.02)


def test_a_collapsed_batch_has_a_finite_gradient():
    inputs = keras.Input((4,))
    dense = keras.layers.Dense(3)
    model = keras.Model(inputs, keras.layers.Dense(1)(MinibatchStdDev()(dense(inputs))))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(np.ones((4, 4)), np.zeros((4, 1)))
    assert all(np.isfinite(keras.ops.convert_to_numpy(w)).all() for w in model.weights)
