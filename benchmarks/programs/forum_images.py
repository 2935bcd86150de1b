"""Programs as people ask about them in forums, on images and sequences; written unseen, too.

A tagger with its softmax over the steps was one of them; it learns all the same, and was dropped.
"""

from benchmarks.programs import case
from benchmarks.programs.forum import ASKED
from benchmarks.programs.parts import (
    adam,
    dense,
    digits,
    onehot,
    patterns,
    program,
    rmsprop,
    sequential,
    sgd,
)

import keras
import numpy as np
from keras import layers


def convolutions(*widths, activation="relu"):
    """Returns convolutions with pooling, and Flatten."""
    found = []
    for width in widths:
        found += [layers.Conv2D(width, 3, padding="same", activation=activation)]
        found += [layers.MaxPooling2D()]
    return [*found, layers.Flatten()]


@case("forum-stock-lstm", "data.scale_x", "data.scale_y", family=ASKED, also=("lr.low",))
def _stock_lstm(seed):
    rng = np.random.default_rng(seed)
    price = 250 + 40 * np.sin(np.arange(700) / 25) + np.cumsum(rng.normal(0, 0.6, 700))
    x = np.stack([price[i : i + 20] for i in range(680)])[..., None]

    def stack():
        return [layers.LSTM(32), dense(1)]

    return program(sequential((20, 1), stack, "adam", "mse"), x, price[20:], epochs=15)


@case("forum-frozen-head", "arch.frozen", family=ASKED)
def _frozen_head(seed):
    x, y = patterns(seed, 400, 4)

    def build():
        trunk = keras.Sequential([keras.Input((16, 16, 3)), *convolutions(16, 32)], name="trunk")
        model = keras.Sequential([keras.Input((16, 16, 3)), trunk, dense(4, "softmax")])
        for layer in model.layers:
            layer.trainable = False
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return program(build, x, y, epochs=5)


@case("forum-cats-dogs", "loss.logits", "output.activation_loss", family=ASKED)
def _cats_dogs(seed):
    x, y = patterns(seed, 500, 2, noise=0.6)

    def stack():
        return [*convolutions(16, 32), dense(32, "relu"), dense(1)]

    def loss():
        return keras.losses.BinaryCrossentropy()

    build = sequential((16, 16, 3), stack, adam(1e-3), loss, ["accuracy"])
    return program(build, x, y, epochs=8, validation_split=0.2)


@case("forum-single-rows-norm", "fit.batch", family=ASKED, also=("reg.strong",))
def _single_rows_norm(seed):
    x, y = digits()

    def stack():
        return [
            dense(64, "relu"),
            layers.BatchNormalization(),
            dense(32, "relu"),
            layers.BatchNormalization(),
            dense(10, "softmax"),
        ]

    build = sequential((64,), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x[:800], y[:800], batch_size=1, epochs=3)


@case("forum-fifty-sigmoids", "loss.task", "output.activation_loss", family=ASKED)
def _fifty_sigmoids(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 50, 2000)
    x = rng.normal(size=(50, 24))[y] + rng.normal(0, 0.7, (2000, 24))

    def stack():
        return [dense(64, "relu"), dense(50, "sigmoid")]

    build = sequential((24,), stack, sgd(0.01), "binary_crossentropy", ["accuracy"])
    return program(build, x, onehot(y), epochs=15)


@case("forum-two-epochs", "fit.epochs", "fit.batch", "lr.low", family=ASKED)
def _two_epochs(seed):
    x, y = digits(images=True)

    def stack():
        return [*convolutions(8, 16), dense(32, "relu"), dense(10, "softmax")]

    build = sequential((8, 8, 1), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, batch_size=128, epochs=2, validation_split=0.2)


@case("forum-raw-pixels", "data.scale_x", "lr.high", "act.dead", family=ASKED, also=("loss.nan",))
def _raw_pixels(seed):
    x, y = patterns(seed, 600, 6, scale=255)

    def stack():
        return [layers.Flatten(), dense(128, "relu"), dense(64, "relu"), dense(6, "softmax")]

    build = sequential((16, 16, 3), stack, sgd(0.01), "sparse_categorical_crossentropy")
    return program(build, x.astype("uint8"), y, epochs=10)


@case("forum-coder-range", "output.range", family=ASKED)
def _coder_range(seed):
    x, _ = digits()
    x = (x - x.mean(0)) / (x.std(0) + 0.1)

    def stack():
        return [dense(32, "relu"), dense(16, "relu"), dense(32, "relu"), dense(64, "sigmoid")]

    return program(sequential((64,), stack, "adam", "mse"), x, x, epochs=20)


@case("forum-penalty", "reg.strong", family=ASKED)
def _penalty(seed):
    x, y = digits(images=True)

    def stack():
        found = []
        for width in (16, 32):
            found += [layers.Conv2D(width, 3, activation="relu", kernel_regularizer="l2")]
            found[-1].kernel_regularizer = keras.regularizers.L2(0.5)
        penalty = keras.regularizers.L2(0.5)
        return [*found, layers.Flatten(), dense(10, "softmax", kernel_regularizer=penalty)]

    build = sequential((8, 8, 1), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=8)


@case("forum-words-without-embedding", "data.scale_x", "arch.ids", family=ASKED)
def _words_without_embedding(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 800)
    x = rng.integers(1, 5000, (800, 40))
    x[:, :6] = np.where(
        y[:, None] == 1, rng.integers(1, 60, (800, 6)), rng.integers(60, 120, (800, 6))
    )
    x = np.take_along_axis(x, rng.uniform(size=x.shape).argsort(1), 1)

    def stack():
        return [dense(64, "relu"), layers.Dropout(0.3), dense(1, "sigmoid")]

    build = sequential((40,), stack, "adam", "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=10, validation_split=0.2)


@case("forum-every-step", "output.broadcast", "output.units", family=ASKED)
def _every_step(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(500, 10, 2))
    y = x[:, :, 0].sum(1) / 3

    def stack():
        return [layers.LSTM(24, return_sequences=True), dense(1)]

    return program(sequential((10, 2), stack, rmsprop(), "mse"), x, y[:, None], epochs=15)


@case("forum-validation-raw", "data.scale_x", family=ASKED)
def _validation_raw(seed):
    x, y = patterns(seed, 600, 5)

    def stack():
        return [*convolutions(16, 32), dense(32, "relu"), dense(5, "softmax")]

    build = sequential((16, 16, 3), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    held = (x[450:] * 255, y[450:])
    return program(build, x[:450], y[:450], epochs=6, validation_data=held)


@case(
    "forum-recurrent-explodes",
    "data.scale_x",
    "grad.explode",
    "lr.high",
    family=ASKED,
    also=("loss.nan",),
)
def _recurrent_explodes(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 60, (400, 40, 1))
    y = (x[:, -1, 0] > 30).astype(int)

    def stack():
        return [layers.SimpleRNN(48, activation="relu"), dense(1, "sigmoid")]

    build = sequential((40, 1), stack, sgd(0.05), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=6)
