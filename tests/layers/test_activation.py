from kerasdnn.layers import SwiGLU, Swish
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest

JIT = keras.backend.backend() == "jax"  # elsewhere compiling takes longer than it saves
X = np.linspace(-4.0, 4.0, 41, dtype="float32").reshape(1, 41)


def test_swish_layer():
    check_layer(
        Swish,
        {"beta": 1.5},
        np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32"),
        expected_output_shape=(4, 5, 3),
        expected_weights=(1, 0, 0),
        supports_masking=True,
    )


def test_swish_with_beta_one_is_silu_and_with_a_large_one_relu():
    silu = X / (1 + np.exp(-X))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(Swish()(X)), silu, atol=1e-6)
    relu = keras.ops.convert_to_numpy(Swish(beta=100.0)(X))
    np.testing.assert_allclose(relu, np.maximum(X, 0), atol=1e-6)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(Swish(beta=0.0)(X)), X / 2, atol=1e-6)


def test_swish_learns_the_slope_of_its_data():
    """On data made with beta 3 the fitted beta is 3, and the error of the fixed SiLU is gone."""
    y = X / (1 + np.exp(-3 * X))
    model = keras.Sequential([keras.Input((41,)), Swish()])
    model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=JIT)
    fixed = model.evaluate(X, y, verbose=0)
    model.fit(np.repeat(X, 150, axis=0), np.repeat(y, 150, axis=0), batch_size=1, verbose=0)
    assert abs(float(model.layers[0].beta.numpy()) - 3.0) < 0.2
    assert model.evaluate(X, y, verbose=0) < fixed / 20


def test_swiglu_layer():
    check_layer(
        SwiGLU,
        {"units": 6},
        np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32"),
        expected_output_shape=(4, 5, 6),
        expected_weights=(4, 0, 0),
        supports_masking=True,
    )


def test_swiglu_against_numpy():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    layer = SwiGLU(5)
    y = keras.ops.convert_to_numpy(layer(x))
    w, v = (keras.ops.convert_to_numpy(d.kernel) for d in (layer.gate, layer.value))
    assert np.abs(w - v).max() > 0.1  # two kernels, not one twice
    gate = x @ w
    np.testing.assert_allclose(y, gate / (1 + np.exp(-gate)) * (x @ v), atol=1e-5)


def test_swiglu_without_bias_has_two_kernels():
    layer = SwiGLU(5, use_bias=False)
    layer.build((None, 3))
    assert [w.path.split("/")[-2:] for w in layer.weights] == [
        ["gate", "kernel"],
        ["value", "kernel"],
    ]


def test_swiglu_multiplies_its_inputs():
    """silu(a) b - silu(-a) b = a b: two gated units hold a product, which no dense layer can."""
    layer = SwiGLU(2, use_bias=False)
    layer.build((None, 2))
    layer.gate.kernel.assign([[1.0, -1.0], [0.0, 0.0]])
    layer.value.kernel.assign([[0.0, 0.0], [1.0, 1.0]])
    x = np.random.default_rng(0).normal(size=(50, 2)).astype("float32")
    y = keras.ops.convert_to_numpy(layer(x))
    product = x[:, 0] * x[:, 1]
    np.testing.assert_allclose(y[:, 0] - y[:, 1], product, atol=1e-5)
    linear = x @ np.linalg.lstsq(x, product, rcond=None)[0]
    assert np.mean((linear - product) ** 2) > 0.1


def test_swiglu_rejects_a_width_that_is_none():
    with pytest.raises(ValueError, match="positive integer; received 0"):
        SwiGLU(0)
