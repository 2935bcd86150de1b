from kerasdnn.callbacks import LRFinder, lr_find
from kerasdnn.optimizers import AdaptiveClip, OneCycle

import keras
import numpy as np
import pytest


def to_numpy(x):
    return np.array(keras.ops.convert_to_numpy(x))


def data(n=128):
    x = np.random.default_rng(0).normal(size=(n, 6)).astype("float32")
    return x, (x[:, :1] * 2 - x[:, 1:2]).astype("float32")


def network(optimizer):
    """Has all that a sweep could leave a trace in: statistics, random seeds, optimizer state."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1, dtype="float32"),
        ]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def state(model):
    return [to_numpy(v) for v in [*model.variables, *model.optimizer.variables]]


def several():
    rates = keras.optimizers.OptimizerMap(keras.optimizers.Adam(0.001))
    rates[".*kernel"] = keras.optimizers.SGD(0.01)
    return keras.optimizers.MultiOptimizer(rates)


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "schedule": lambda: keras.optimizers.AdamW(OneCycle(0.01, 40)),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01)),
    "wrapper, schedule": lambda: keras.optimizers.LossScaleOptimizer(
        AdaptiveClip(keras.optimizers.Adam(OneCycle(0.01, 40)), 0.1)
    ),
    "several": several,
    "several, loss scale": lambda: keras.optimizers.LossScaleOptimizer(several()),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_leaves_no_trace(name):
    x, y = data()
    results = []
    for sweep in (True, False):
        model = network(OPTIMIZERS[name]())
        model.fit(x, y, batch_size=32, shuffle=False, verbose=0)
        before = state(model)
        if sweep:
            found = lr_find(model, x, y, batch_size=16, steps=40)
            assert len(found.rates) > 20
            for a, b in zip(before, state(model), strict=True):
                np.testing.assert_array_equal(a, b)
        # Training goes on as if nothing had been; Torch's dropout draws from a global generator.
        model.fit(x, y, batch_size=32, epochs=2, shuffle=False, verbose=0)
        results.append(state(model))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_sweep_moves_the_weights_at_the_rates_it_tells():
    """Plain gradient descent on mean(w): each step moves w by the rate."""
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.get_weights()[0].item())

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", lambda y_true, y_pred: keras.ops.mean(y_pred))
    finder = LRFinder(1e-3, 1.0, steps=31)
    start = model.get_weights()[0].item()
    x = np.ones((31 * 4, 1), "float32")
    model.fit(x, x, batch_size=4, verbose=0, callbacks=[finder, Watch()])
    np.testing.assert_allclose(-np.diff([start, *seen]), finder.result.rates, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(finder.result.rates[[0, 10, 30]], [1e-3, 1e-2, 1.0], rtol=1e-4)
    assert model.get_weights()[0].item() == start
    # The loss is that of the single batch, at the weights before the step.
    np.testing.assert_allclose(finder.result.raw_losses, [start, *seen[:-1]], rtol=1e-4, atol=1e-6)


def test_a_schedule_is_set_aside_and_comes_back():
    x, y = data()
    schedule = OneCycle(0.01, 40)
    model = network(keras.optimizers.SGD(schedule))
    found = lr_find(model, x, y, batch_size=16, start=1e-4, end=1e-1, steps=31)
    np.testing.assert_allclose(found.rates[:11:10], [1e-4, 1e-3], rtol=1e-3)
    assert float(to_numpy(model.optimizer.learning_rate)) == pytest.approx(float(schedule(0)))


def test_several_optimizers_keep_their_ratio():
    rates = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(
                [float(to_numpy(o.learning_rate)) for o in self.model.optimizer.optimizers]
            )

    x, y = data(256)
    model = network(several())  # SGD at 0.01, Adam at 0.001
    finder = LRFinder(1e-5, 1e-2, steps=25)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[finder, Watch()])
    rates = np.array(rates)
    np.testing.assert_allclose(rates.max(1) / rates.min(1), 10, rtol=1e-4)
    np.testing.assert_allclose(rates.max(1)[: len(finder.result.rates)], finder.result.rates, 1e-4)


def test_float16_with_the_loss_scaling_that_keras_adds():
    keras.config.set_dtype_policy("mixed_float16")
    x, y = data()
    model = network(keras.optimizers.Adam(0.01))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    model.fit(x, y, batch_size=32, verbose=0)
    before = state(model)
    assert lr_find(model, x, y, steps=30).suggestion > 0
    for a, b in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_interrupted_sweep_leaves_no_trace():
    def stop(*args):
        raise KeyboardInterrupt

    x, y = data()
    model = network(keras.optimizers.SGD(OneCycle(0.01, 40)))
    model.fit(x, y, verbose=0)
    before, original = state(model), LRFinder.on_train_batch_end
    try:
        LRFinder.on_train_batch_end = lambda self, batch, logs=None: (
            original(self, batch, logs) if batch < 3 else stop()
        )
        with pytest.raises(KeyboardInterrupt):
            lr_find(model, x, y, steps=30)
    finally:
        LRFinder.on_train_batch_end = original
    for a, b in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_effect_the_suggestion_trains_and_its_extremes_do_not(tmp_path):
    x, y = data(512)
    found = lr_find(network(keras.optimizers.SGD(0.01)), x, y, batch_size=16, steps=100)
    assert found.diverged

    def loss(rate):
        model = network(keras.optimizers.SGD(rate))
        model.fit(x, y, batch_size=16, epochs=2, verbose=0)
        return model.evaluate(x, y, verbose=0)[0]

    good = loss(found.suggestion)
    assert good < 0.5 * np.var(y)
    assert good < 0.5 * loss(found.suggestion / 1000)
    worst = loss(found.rates[-1])
    assert not worst < 2 * good
    found.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000


def test_refuses():
    x, y = data(64)
    with pytest.raises(ValueError, match="at least 20 steps"):
        LRFinder(steps=10)
    with pytest.raises(ValueError, match="rules from valley"):
        LRFinder(rules=["cliff"])
    with pytest.raises(ValueError, match="0 < start < end"):
        LRFinder(1.0, 0.1)
    model = network("sgd")
    with pytest.raises(ValueError, match="lower start"):
        lr_find(model, x, y * np.nan, steps=20)
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd", "mse")
    if keras.backend.backend() == "tensorflow":  # the others build it before callbacks begin
        with pytest.raises(ValueError, match="call it on one batch first"):
            lr_find(unbuilt, x, y)
