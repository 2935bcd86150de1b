from kerasdnn.optimizers import Observed
from kerasdnn.optimizers.observed import by_layer

import keras
import numpy as np
import pytest
from keras import ops

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = X[:, :1] * 2 + 1


def model_with(optimizer, dropout=0.1):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu", name="hidden"),
            keras.layers.Dropout(dropout, seed=1),
            keras.layers.Dense(1, dtype="float32", name="out"),
        ]
    )
    model.compile(optimizer, "mse")
    return model


def fit(model, x=X, y=Y, epochs=1):
    model.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
    return model


def several():
    pieces = {".*/out/.*": keras.optimizers.Adam(clipvalue=1e-3)}
    default = keras.optimizers.SGD(1e-2, momentum=0.9)
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(default, pieces))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("inner", [lambda: keras.optimizers.Adam(1e-2, use_ema=True), several])
def test_it_changes_no_bit_of_the_training(inner, policy):
    keras.config.set_dtype_policy(policy)
    plain = fit(model_with(inner()))
    outside = model_with(inner())
    outside.optimizer = Observed(outside.optimizer)  # outside the loss-scaling optimizer
    inside = model_with(Observed(inner()))  # inside it, where `compile` puts it
    for observed in (fit(outside), fit(inside)):
        for variable, expected in zip(observed.get_weights(), plain.get_weights(), strict=True):
            np.testing.assert_array_equal(variable, expected)
        wrapped = observed.optimizer
        wrapped = wrapped if isinstance(wrapped, Observed) else wrapped.inner_optimizer
        # Loss scaling leaves out steps that overflow, so inside it they are not seen.
        assert wrapped.statistics()["steps"] >= 3
        assert np.all(wrapped.statistics()["gradient_norm"] > 0)


def test_the_numbers_are_those_of_the_step():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile(Observed(keras.optimizers.SGD(0.1)), "mse")
    kernel, bias = model.get_weights()
    error = X @ kernel + bias - Y
    gradient = 2 * X.T @ error / len(X)
    model.fit(X, Y, batch_size=len(X), verbose=0)
    seen = model.optimizer.statistics()
    assert [path.rpartition("/")[2] for path in seen["path"]] == ["kernel", "bias"]
    expected = {
        "gradient_norm": [np.linalg.norm(gradient), abs(2 * error.mean())],
        "weight_norm": [np.linalg.norm(kernel), 0],
        "update_norm": [0.1 * np.linalg.norm(gradient), abs(0.2 * error.mean())],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(seen[name], values, rtol=1e-4)
    layer = by_layer(seen)
    assert len(layer["layer"]) == 1
    whole = np.hypot(*expected["gradient_norm"])
    np.testing.assert_allclose(layer["gradient_norm"], [whole], rtol=1e-4)
    # The ratio is the kernel's: the bias starts at zero.
    ratio = 0.1 * np.linalg.norm(gradient) / np.linalg.norm(kernel)
    np.testing.assert_allclose(layer["update_ratio"], [ratio], rtol=1e-4)


def test_the_gradient_under_loss_scaling_is_the_unscaled_one():
    norms = []
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        optimizer = keras.optimizers.SGD(1e-3)
        if (
            policy == "mixed_float16"
        ):  # Keras' own first scale overflows here and leaves the step out
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=256.0)
        model = model_with(optimizer, dropout=0)
        model.optimizer = Observed(model.optimizer)
        model.fit(X, Y, batch_size=64, verbose=0)
        norms.append(model.optimizer.statistics()["gradient_norm"])
    np.testing.assert_allclose(norms[1], norms[0], rtol=0.02)


@pytest.mark.parametrize("kind", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_the_clip_rate_says_whether_clipping_works(kind):
    rates = [
        fit(model_with(Observed(keras.optimizers.SGD(1e-3, **{kind: limit}))))
        .optimizer.statistics()["clip_rate"]
        .tolist()
        for limit in (1e-6, 1e6)
    ]
    assert rates == [[1.0] * 4, [0.0] * 4]


def test_each_part_of_a_multi_optimizer_has_its_own_limit():
    seen = fit(model_with(Observed(several()))).optimizer.statistics()
    clipped = dict(zip(seen["path"], seen["clip_rate"]))
    assert {path.split("/")[-2]: rate for path, rate in clipped.items()} == {"hidden": 0, "out": 1}


def test_what_is_not_finite_is_counted():
    broken = X.copy()
    broken[0, 0] = np.nan  # in the first of four batches
    seen = fit(model_with(Observed(keras.optimizers.SGD(1e-3))), broken).optimizer.statistics()
    assert seen["non_finite_rate"][0] >= 0.25  # on some CPUs ReLU makes NaN zero again
    healthy = fit(model_with(Observed(keras.optimizers.SGD(1e-3)))).optimizer.statistics()
    assert healthy["non_finite_rate"].tolist() == [0.0] * 4


def test_an_embedding_has_a_gradient_and_a_frozen_layer_none():
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(5, 4),
            keras.layers.Flatten(),
            keras.layers.Dense(4, trainable=False),
            keras.layers.Dense(1),
        ]
    )
    model.compile(Observed("sgd"), "mse")
    model.fit(np.array([[0, 1, 1], [2, 2, 2]]), np.ones((2, 1)), verbose=0)
    seen = model.optimizer.statistics()
    assert len(seen["path"]) == 3
    assert seen["size"] == [20, 4, 1]
    assert seen["gradient_norm"][0] > 0


def test_checkpoints_are_those_of_the_optimizer_inside(tmp_path):
    observed = fit(model_with(Observed(keras.optimizers.Adam(1e-2)), dropout=0))
    observed.save_weights(tmp_path / "observed.weights.h5")
    plain = model_with(keras.optimizers.Adam(1e-2), dropout=0)
    plain.optimizer.build(plain.trainable_variables)
    plain.load_weights(tmp_path / "observed.weights.h5")
    assert int(plain.optimizer.iterations) == 4
    observed.save(tmp_path / "observed.keras")
    again = keras.saving.load_model(tmp_path / "observed.keras")
    assert isinstance(again.optimizer, Observed)
    assert int(again.optimizer.iterations) == 4
    for model in (fit(plain), fit(again), fit(observed)):
        np.testing.assert_array_equal(model.get_weights()[0], plain.get_weights()[0])


def test_learning_rate_and_steps_are_those_inside():
    model = model_with(Observed(keras.optimizers.SGD(0.5)))
    callback = keras.callbacks.LearningRateScheduler(lambda epoch: 0.125)
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[callback])
    inner = model.optimizer.inner_optimizer
    assert float(ops.convert_to_numpy(inner.learning_rate)) == 0.125
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 4


def test_only_some_variables_may_be_stepped():
    if keras.backend.backend() == "jax":
        pytest.skip("JAX steps all variables at once")
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    optimizer = Observed(keras.optimizers.SGD(0.1))
    optimizer.build(layer.trainable_variables)
    optimizer.apply([ops.ones((2,))], [layer.bias])
    np.testing.assert_allclose(optimizer.statistics()["gradient_norm"], [0, 2**0.5], rtol=1e-6)


def test_what_is_no_optimizer_is_refused():
    with pytest.raises(TypeError, match="a Keras optimizer or its name; received Dense"):
        Observed(keras.layers.Dense(1))
