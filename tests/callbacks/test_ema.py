from kerasdnn.callbacks import ExactResume, ModelEMA

import keras
import numpy as np
import pytest


def network(seed=0, rate=0.05):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.Activation("relu"),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(1, dtype="float32"),
        ]
    )
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def data(n=64, noise=0.0):
    random = np.random.default_rng(1)
    x = random.normal(size=(n, 4)).astype("float32") * 2 + 1
    return x, x[:, :1] + noise * random.normal(size=(n, 1)).astype("float32")


class Weights(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.model.get_weights())


@pytest.mark.parametrize(("every", "warmup"), [(1, False), (3, True)])
def test_is_the_recursion_batch_norm_included(every, warmup):
    x, y = data()
    model, watch = network(), Weights()
    expected = model.get_weights()
    model.fit(
        x, y, batch_size=8, verbose=0, callbacks=[watch, ModelEMA(0.8, every=every, warmup=warmup)]
    )
    for t, weights in enumerate(watch.seen, 1):
        if t % every == 0:
            d = min(0.8, (1 + t) / (10 + t) if warmup else 1) ** every
            expected = [d * a + (1 - d) * w for a, w in zip(expected, weights)]
    assert len(expected) == 7
    for a, w, last in zip(expected, model.get_weights(), watch.seen[-1]):
        np.testing.assert_allclose(w, a, rtol=1e-4, atol=1e-6)
        assert np.abs(w - last).max() > 1e-5  # D8: also for the moving statistics


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_training_is_not_changed_and_validation_sees_the_average(policy):
    keras.config.set_dtype_policy(policy)
    x, y = data()
    plain = network()
    plain.fit(x, y, batch_size=16, epochs=2, verbose=0, shuffle=False, validation_data=(x, y))
    model, ema = network(), ModelEMA(0.9, keep="weights")
    history = model.fit(
        x,
        y,
        batch_size=16,
        epochs=2,
        verbose=0,
        shuffle=False,
        validation_data=(x, y),
        callbacks=[ema],
    ).history
    for a, b in zip(plain.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(a, b)
    with ema.swap():
        averaged = model.evaluate(x, y, verbose=0)
    assert history["val_loss"][-1] == pytest.approx(averaged, rel=1e-3)
    assert model.evaluate(x, y, verbose=0) != pytest.approx(averaged, rel=1e-3)
    for a, b in zip(plain.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(a, b)
    plain.set_weights(ema.averages)
    assert plain.evaluate(x, y, verbose=0) == pytest.approx(averaged, rel=1e-4)


def test_a_training_that_was_stopped_goes_on_with_its_averages(tmp_path):
    x, y = data()
    averages = []
    for stops in ((4,), (2, 4)):
        ema = ModelEMA(0.9, keep="weights")
        for epochs in stops:
            model = network()
            options = {"batch_size": 16, "epochs": epochs, "verbose": 0, "shuffle": False}
            resume = ExactResume(tmp_path / f"{stops}", callbacks=[ema])
            model.fit(x, y, callbacks=[ema, resume], **options)
        averages.append(ema.averages)
    for a, b in zip(*averages):
        np.testing.assert_array_equal(a, b)


def test_effect_less_noise_and_statistics_that_fit():
    """A rate too high to settle; the average settles, but only with averaged statistics."""
    x, y = data(512, noise=2.0)
    test_x, test_y = data(256)
    model, ema = network(rate=0.1), ModelEMA(0.98, keep="weights")
    model.fit(x, y, batch_size=8, epochs=4, verbose=0, callbacks=[ema])
    last, averages = model.get_weights(), ema.averages
    loss = {"last": model.evaluate(test_x, test_y, verbose=0)}
    model.set_weights(averages)
    loss["average"] = model.evaluate(test_x, test_y, verbose=0)
    trainable = {id(v) for v in model.trainable_weights}
    mixed = [a if id(v) in trainable else w for v, a, w in zip(model.weights, averages, last)]
    model.set_weights(mixed)
    loss["statistics of the last weights"] = model.evaluate(test_x, test_y, verbose=0)
    assert loss["average"] < 0.8 * loss["last"]
    assert loss["average"] < loss["statistics of the last weights"]


def test_a_second_fit_starts_anew_and_refusals():
    x, y = data()
    model, ema = network(), ModelEMA(0.5)
    for _ in range(2):
        model.fit(x, y, batch_size=16, verbose=0, callbacks=[ema])
    with pytest.raises(ValueError, match="decay in"):
        ModelEMA(1.0)
    with pytest.raises(ValueError, match="whole number"):
        ModelEMA(every=0)
    with pytest.raises(ValueError, match="keep='average'"):
        ModelEMA(keep="both")
    with pytest.raises(ValueError, match="Pass it to fit first"):
        _ = ModelEMA().averages
