"""The first thing that is not a number is named, and the weights are good again."""

from kerasdnn.callbacks import StopOnNaN
from kerasdnn.data import Ordered
from kerasdnn.resume import exact_fit

import keras
import numpy as np
import pytest

X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
Y = X.sum(1, keepdims=True)


@keras.saving.register_keras_serializable(package="test_stop_on_nan")
class Logarithm(keras.layers.Layer):
    """Minus infinity at 0, NaN below: a layer that breaks on some inputs."""

    def call(self, inputs):
        return keras.ops.log(inputs)


def train(x=X, y=Y, *, layers=(), loss="mse", optimizer="sgd", epochs=2, every=3):
    model = keras.Sequential(
        [keras.Input((3,)), *layers, keras.layers.Dense(2), keras.layers.Dense(1)]
    )
    model.compile(optimizer, loss, jit_compile=False)
    said = []
    stop = StopOnNaN(every=every, say=said.append)
    history = exact_fit(model, x, y, epochs=epochs, batch_size=4, shuffle=False, callbacks=[stop])
    assert all(np.isfinite(w).all() for w in model.get_weights())
    return stop.report, said, history, model


def spoiled(array, row, value=np.nan):
    array = array.copy()
    array[row] = value
    return array


def test_healthy_training_is_left_alone():
    report, said, history, _ = train()
    assert (report, said, history.epoch) == (None, [], [0, 1])


def test_a_bad_input_is_named_with_batch_and_place():
    report, said, history, _ = train(x=spoiled(X, (18, 1)))
    assert report["cause"] == "input"
    assert (report["epoch"], report["batch"], report["where"]) == (0, 4, (2, 1))
    assert said[0].startswith("Stopped in epoch 1, batch 5: its inputs hold 1 value that is not")
    assert said[0].endswith("The weights are those of 1 step before.")
    assert history.epoch == [0]


def test_a_bad_target_is_named():
    report, _, _, _ = train(y=spoiled(Y, 9, np.inf))
    assert (report["cause"], report["batch"], report["where"]) == ("target", 2, (1, 0))


def test_the_layer_is_named():
    x = np.abs(X) + 0.1
    report, _, _, model = train(x=spoiled(x, 13, -1.0), layers=[Logarithm()])
    assert (report["cause"], report["batch"]) == ("layer", 3)
    assert report["where"] == model.layers[0].name


def test_the_loss_is_named():
    def loss(y_true, y_pred):
        return keras.ops.mean(keras.ops.log(y_true) + 0 * y_pred)

    report, _, _, _ = train(y=spoiled(np.abs(Y) + 1, 21, -1.0), loss=loss)
    assert (report["cause"], report["batch"]) == ("loss", 5)


def test_a_rate_that_is_too_high_is_growth():
    report, said, _, _ = train(optimizer=keras.optimizers.SGD(1e9), every=1)
    assert report["cause"] == "growth"
    assert "Lower the learning rate" in said[0]


def test_in_plain_fit_with_data_of_its_own():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    data = Ordered(spoiled(X, 20), Y, batch_size=4, shuffle=False)
    stop = StopOnNaN(data, say=lambda text: None)
    model.fit(data, verbose=0, shuffle=False, callbacks=[stop])
    assert (stop.report["cause"], stop.report["batch"]) == ("input", 5)
    assert np.isfinite(model.get_weights()[0]).all()


def test_every_is_a_number_of_steps():
    with pytest.raises(ValueError, match="every of 1 or more; received 0"):
        StopOnNaN(every=0)
