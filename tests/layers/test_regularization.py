"""DropPath and LayerScale."""

from kerasdnn.layers import DropPath, LayerScale
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest

to_numpy = keras.ops.convert_to_numpy


def test_harness():
    x = np.random.default_rng(0).normal(size=(4, 5, 6)).astype("float32")
    common = {"expected_output_shape": x.shape, "supports_masking": True}
    check_layer(DropPath, {"rate": 0.5, "seed": 1}, x, expected_weights=(0, 0, 1), **common)
    check_layer(LayerScale, {"init": 0.5}, x, expected_weights=(1, 0, 0), **common)


def test_drop_path_drops_whole_samples_and_scales_the_others():
    x = np.random.default_rng(0).normal(size=(200, 3, 4)).astype("float32")
    y = to_numpy(DropPath(0.25, seed=1)(x, training=True))
    kept = np.any(y != 0, axis=(1, 2))
    np.testing.assert_allclose(y, x * kept[:, None, None] / 0.75, rtol=1e-6)
    assert 0.65 < kept.mean() < 0.85  # 0.75 +- 3.3 standard errors


def test_drop_path_keeps_the_expectation():
    y = to_numpy(DropPath(0.5, seed=2)(np.ones((10_000, 1), "float32"), training=True))
    assert abs(y.mean() - 1.0) < 0.04  # 4 standard errors


def test_drop_path_follows_its_seed_and_moves_on():
    x = np.ones((64, 1), "float32")
    first, second = DropPath(0.5, seed=3), DropPath(0.5, seed=3)
    y = to_numpy(first(x, training=True))
    np.testing.assert_array_equal(y, to_numpy(second(x, training=True)))
    assert np.any(y != to_numpy(first(x, training=True)))


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_drop_path_passes_its_input(rate, training):
    x = np.ones((8, 2), "float32")
    np.testing.assert_array_equal(to_numpy(DropPath(rate, seed=0)(x, training=training)), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_drop_path_refuses_a_rate_out_of_bounds(rate):
    with pytest.raises(ValueError, match=r"expects rate in \[0, 1\); received"):
        DropPath(rate)


def test_layer_scale_multiplies_channels():
    layer = LayerScale(0.1)
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype("float32")
    np.testing.assert_allclose(to_numpy(layer(x)), 0.1 * x, rtol=1e-6)
    gamma = np.array([1.0, 2.0, 3.0, 4.0], "float32")
    layer.set_weights([gamma])
    np.testing.assert_allclose(to_numpy(layer(x)), x * gamma, rtol=1e-6)


def test_layer_scale_starts_a_deep_stack_near_the_identity():
    def stack(init):
        inputs = x = keras.Input((8,))
        for seed in range(20):
            initializer = keras.initializers.GlorotUniform(seed=seed)
            branch = keras.layers.Dense(8, kernel_initializer=initializer)(x)
            x = x + (branch if init is None else LayerScale(init)(branch))
        return keras.Model(inputs, x)

    x = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
    drift = [np.abs(to_numpy(stack(init)(x)) - x).max() for init in (None, 1e-4)]
    assert drift[1] < 0.02
    assert drift[0] > 100 * drift[1]
