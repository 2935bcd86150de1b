"""Channel pruning: the smaller model computes what the large one does without the channels."""

from kerasdnn.pruning import prune_channels
from kerasdnn.pruning.joins import RULES
from kerasdnn.pruning.trace import Trace

import cut_networks
import keras
import numpy as np
import pytest
from cut_networks import blocks, check_exact, conv, head, plain
from keras import layers


@pytest.mark.parametrize("name", ["plain", "blocks", "transformer"])
def test_exact(name):
    check_exact(getattr(cut_networks, name)())


def test_what_is_removed_is_what_weighs_least():
    inputs = keras.Input((8, 8, 1))
    model = head(inputs, conv(inputs, 8, name="conv"))
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., [0, 3, 5, 6]] *= 0.01
    model.get_layer("conv").set_weights([kernel, bias])
    result = prune_channels(model, 0.5, round_to=4)
    assert result.removed == {"conv": [0, 3, 5, 6]}
    kept = result.model.get_layer("conv").get_weights()[0]
    np.testing.assert_array_equal(kept, kernel[..., [1, 2, 4, 7]])


def test_taylor_removes_what_the_loss_does_not_need():
    inputs = keras.Input((4,))
    x = layers.Dense(8, name="hidden")(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="out")(x))
    out = np.zeros((8, 1), "float32")
    out[[1, 2, 4, 7]] = 1.0  # the others have large weights, but nobody listens
    kernel = np.full((4, 8), 0.1, "float32")
    kernel[:, [0, 3, 5, 6]] = 1.0
    model.set_weights([kernel, np.zeros(8), out, np.zeros(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((16, 4), "float32"), np.full((16, 1), 9.0, "float32")
    by_size = prune_channels(model, 0.5, round_to=4)
    by_loss = prune_channels(model, 0.5, round_to=4, importance="taylor", data=(x, y))
    assert by_size.removed["hidden"] == [1, 2, 4, 7]
    assert by_loss.removed["hidden"] == [0, 3, 5, 6]
    before = model.evaluate(x, y, verbose=0)
    by_loss.model.compile("sgd", "mse")
    assert by_loss.model.evaluate(x, y, verbose=0) == pytest.approx(before)


def test_round_to_ignored_and_the_table():
    model = plain()
    result = prune_channels(model, 0.5, round_to=8, ignored=("first",))
    rows = {row["layer"]: row for row in result.table}
    assert (rows["first"]["before"], rows["first"]["after"]) == (8, 8)
    assert rows["first"]["left"] == "ignored"
    assert rows["dense"]["after"] == 8
    assert rows["head"]["left"] == "output of the model"
    assert rows["parameters"]["after"] == result.model.count_params()
    assert rows["multiply-adds"]["after"] < rows["multiply-adds"]["before"]
    assert "ignored" in str(result)


def test_multiply_adds_are_those_of_the_formula():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(inputs)  # 4 x 4 places
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    model = keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))
    assert Trace(model, RULES).macs == 16 * 9 * 2 * 4 + 16 * 9 * 4 + 64 * 5


def test_latency_is_measured_when_asked_for():
    rows = prune_channels(plain(), 0.5, round_to=4, latency_batch=2).table
    assert rows[-1]["layer"] == "milliseconds"
    assert rows[-1]["before"] > 0 < rows[-1]["after"]


def test_the_model_stays_as_it_is_and_the_smaller_one_trains():
    model = blocks()
    before, config = model.get_weights(), model.get_config()
    smaller = prune_channels(model, 0.5, round_to=4).model
    smaller.compile(keras.optimizers.Adam(0.01), "mse")
    x, y = np.ones((8, 8, 8, 2), "float32"), np.ones((8, 3), "float32")
    losses = smaller.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.get_config() == config
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_saves_and_loads(tmp_path):
    from kerasdnn.saving import load_model

    smaller = prune_channels(blocks(), 0.5, round_to=4).model
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 2))
    smaller.save(tmp_path / "small.keras")
    again = load_model(tmp_path / "small.keras")
    np.testing.assert_allclose(
        again.predict(x, verbose=0), smaller.predict(x, verbose=0), rtol=1e-5, atol=1e-6
    )


@keras.saving.register_keras_serializable(package="tests")
class Twist(keras.layers.Layer):
    """Something that surgery cannot know."""

    def call(self, x):
        return keras.ops.flip(x, axis=-1)


def test_what_is_not_understood_is_left_whole_and_named():
    inputs = keras.Input((8, 8, 2))
    x = Twist(name="twist")(conv(inputs, 8, name="before"))
    model = head(inputs, conv(x, 8, name="behind"))
    smaller, _, _ = check_exact(model)
    assert smaller.get_layer("before").filters == 8
    assert smaller.get_layer("behind").filters == 4
    rows = {row["layer"]: row for row in prune_channels(model, 0.5, round_to=4).table}
    assert rows["before"]["left"] == "twist (Twist) needs its whole input"


def test_an_activation_that_is_not_zero_at_zero_keeps_its_channels():
    inputs = keras.Input((8, 8, 2))
    x = conv(inputs, 8, activation="sigmoid", name="sigmoid")
    smaller, _, _ = check_exact(head(inputs, conv(x, 8, name="behind")))
    assert smaller.get_layer("sigmoid").filters == 8


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ratio": 0.0}, ValueError, r"ratio in \(0, 1\), the share removed; received 0.0"),
        ({"ratio": 1.5}, ValueError, "received 1.5"),
        ({"ratio": 0.5, "round_to": 0}, ValueError, "round_to of at least 1; received 0"),
        ({"ratio": 0.5, "importance": "size"}, ValueError, "received 'size'"),
        ({"ratio": 0.5, "importance": "taylor"}, ValueError, "expects a compiled model and data"),
        ({"ratio": 0.5, "ignored": ("nose",)}, ValueError, "received 'nose'. The model has"),
        ({"ratio": 0.5, "model": Subclassed()}, TypeError, "expects a functional model"),
    ],
)
def test_bad_input(arguments, error, message):
    arguments = {"model": plain(), **arguments}
    with pytest.raises(error, match=message):
        prune_channels(**arguments)
