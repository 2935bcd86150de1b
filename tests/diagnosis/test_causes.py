"""Causes that one look at a real program must name, and the same program without them."""

from kerasdnn.diagnosis import Program, diagnose
from kerasdnn.diagnosis.program import read_rows
from kerasdnn.diagnosis.structure import read_model

import keras
import numpy as np
import pytest
from keras import layers

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(64, 6)).astype("float32"), RNG.integers(0, 2, 64)


def found(stack, loss="binary_crossentropy", x=X, y=Y, passes=("structure",), **fit):
    """Returns severity by id of what the passes find."""

    def build():
        model = keras.Sequential([keras.Input(x.shape[1:]), *stack()])
        model.compile("adam", loss() if isinstance(loss, type) else loss)
        return model

    report = diagnose(Program(build, x, y, fit=fit), passes=passes)
    return {finding.id: finding.severity for finding in report.findings}


def plain():
    return [layers.Dense(8, "relu"), layers.Dense(1, "sigmoid")]


@pytest.mark.parametrize(
    ("monitor", "mode", "wrong"),
    [
        ("val_loss", "max", True),
        ("val_accuracy", "min", True),
        ("val_loss", "auto", False),
        ("val_accuracy", "max", False),
    ],
)
def test_early_stopping_that_stops_on_progress(monitor, mode, wrong):
    stop = keras.callbacks.EarlyStopping(monitor=monitor, mode=mode)
    ids = found(plain, callbacks=[stop], validation_split=0.2)
    assert (ids.get("callbacks.early_stopping") == "error") is wrong


@pytest.mark.parametrize(("batch_size", "wrong"), [(1, True), (2, False)])
def test_normalized_over_a_single_row(batch_size, wrong):
    def stack():
        return [layers.Dense(8), layers.BatchNormalization(), layers.Dense(1, "sigmoid")]

    assert ("fit.batch" in found(stack, batch_size=batch_size)) is wrong


def test_normalized_over_the_pixels_of_a_single_row():
    def stack():
        return [
            layers.Conv2D(2, 3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(1, "sigmoid"),
        ]

    images = RNG.normal(size=(16, 6, 6, 1)).astype("float32")
    assert "fit.batch" not in found(stack, x=images, y=Y[:16], batch_size=1)


@pytest.mark.parametrize(("axis", "wrong"), [(1, True), (-1, False), (2, False)])
def test_softmax_over_the_steps(axis, wrong):
    def stack():
        return [layers.Dense(4), layers.Softmax(axis=axis)]

    steps, tags = RNG.normal(size=(32, 5, 3)).astype("float32"), RNG.integers(0, 4, (32, 5, 1))
    ids = found(stack, "sparse_categorical_crossentropy", steps, tags)
    assert ("output.activation_loss" in ids) is wrong


class Spread(keras.losses.Loss):
    """Compares every output with every label."""

    def call(self, y_true, y_pred):
        return keras.ops.square(keras.ops.reshape(y_true, (-1,)) - y_pred)


class Matched(keras.losses.Loss):
    """Compares every output with its own label."""

    def call(self, y_true, y_pred):
        return keras.ops.square(keras.ops.reshape(y_true, (-1, 1)) - y_pred)


@pytest.mark.parametrize(("loss", "wrong"), [(Spread, True), (Matched, False)])
def test_loss_that_does_not_see_whose_label_it_is(loss, wrong):
    def stack():
        return [layers.Dense(8, "relu"), layers.Dense(1)]

    ids = found(stack, loss, y=X[:, :1] * 2.0, passes=("data",))
    assert ("output.broadcast" in ids) is wrong


def test_words_taken_for_quantities():
    words = RNG.integers(1, 5000, (64, 12))
    assert "arch.ids" in found(plain, x=words, passes=("data",))
    pixels = RNG.integers(0, 256, (64, 12))
    assert "arch.ids" not in found(plain, x=pixels, passes=("data",))
    prices = 3000 + np.cumsum(RNG.integers(-3, 4, (64, 12)), axis=1)
    assert "arch.ids" not in found(plain, x=prices, passes=("data",))


class Batches(keras.utils.PyDataset):
    """Batches of x and y, without weights."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return X[index * 16 : (index + 1) * 16], Y[index * 16 : (index + 1) * 16]


def test_rows_of_batches_without_weights():
    rows = read_rows(Program(lambda: None, Batches()))
    assert rows.weight is None
    np.testing.assert_array_equal(rows.sample(20).y, rows.sample(20).y)
    np.testing.assert_array_equal(rows.take(slice(10, 30)).x, X[10:30])


class OfModels(keras.Model):
    """A subclass whose layers are models, as in a GAN: it has no inputs of its own."""

    def __init__(self):
        super().__init__()
        self.first = keras.Sequential([keras.Input((6,)), layers.Dense(3)])
        self.second = keras.Sequential([keras.Input((3,)), layers.Dense(1)])

    def call(self, x):
        return self.second(self.first(x))


def test_a_model_made_of_models_can_be_read():
    model = OfModels()
    model.compile("adam", "mse")
    model(X[:1])
    facts = read_model(model)
    assert facts.kind == "subclass"
    assert [layer.units for layer in facts.layers if layer.kernel] == [3, 1]
