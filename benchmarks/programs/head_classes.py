"""More published cases in which output, loss and labels of a classification do not fit."""

from benchmarks.programs import case
from benchmarks.programs.parts import (
    adam,
    classification,
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

ONE = "output.softmax_one_unit"


@case("54282951", "loss.logits", "output.activation_loss", also=("act.linear", "data.tiny"))
def _linear_yes_or_no(seed):
    x, y = patterns(seed, 100, 2)

    def stack():
        front = [layers.Conv2D(32, 1), layers.Flatten(), dense(64), layers.Dropout(0.5)]
        return [*front, dense(1)]

    build = sequential((16, 16, 3), stack, rmsprop(), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=50)


@case("55198221", "output.activation_loss", "fit.overfit", "data.tiny")
def _sigmoid_five(seed):
    x, y = classification(seed, 500, 768, 5, shape=(16, 16, 3))

    def stack():
        found = []
        for width in (16, 16, 32):
            found += [layers.Conv2D(width, 3, padding="same", activation="relu")]
            found += [layers.MaxPooling2D()]
        return [*found, layers.Flatten(), dense(128, "relu"), dense(5, "sigmoid")]

    build = sequential((16, 16, 3), stack, adam(1e-4), "categorical_crossentropy", ["accuracy"])
    return program(build, x, onehot(y), epochs=50)


@case("56103207", "data.order")
def _sorted_classes(seed):
    x, y = patterns(seed, 1000, 5, 28, 1)
    order = np.argsort(y, kind="stable")

    def stack():
        found = [layers.Conv2D(32, 5), layers.MaxPooling2D(), layers.Conv2D(16, 3)]
        found += [layers.MaxPooling2D(), layers.Flatten(), dense(128, "relu"), dense(64, "relu")]
        return [*found, dense(5, "softmax")]

    build = sequential((28, 28, 1), stack, "adam", "categorical_crossentropy", ["accuracy"])
    return program(
        build, x[order], onehot(y[order]), batch_size=100, epochs=6, validation_split=0.2
    )


@case("56380303", "output.activation_loss", "loss.task", "lr.high")
def _bits_of_a_remainder(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (4000, 20))
    rest = (x @ (1 << np.arange(20)[::-1])) % 7
    y = (rest[:, None] >> np.arange(20)[::-1]) & 1

    def stack():
        return [dense(20, "relu"), dense(20, "relu"), dense(20, "softmax")]

    build = sequential((20,), stack, sgd(0.01), "categorical_crossentropy", ["accuracy"])
    return program(build, x, y, batch_size=50, epochs=10)


@case(
    "57407973",
    "loss.logits",
    "output.activation_loss",
    "grad.vanish",
    "reg.strong",
    also=("init.scale", "act.saturated"),
)
def _sigmoids_and_a_linear_unit(seed):
    x, y = classification(seed, 1000, 28)

    def stack():
        found = []
        for width, rate in zip((28, 200, 300, 300, 150), (0, 0.5, 0.5, 0.5, 0.4), strict=True):
            found.append(dense(width, "sigmoid", kernel_initializer="random_normal"))
            found += [layers.Dropout(rate)] if rate else []
        return [*found, dense(1)]

    build = sequential((28,), stack, "adam", "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=34)


@case(
    "57943425",
    "arch.bn_axis",
    "output.activation_loss",
    "lr.low",
    "fit.epochs",
    also=("fit.overfit",),
)
def _norm_over_rows(seed):
    x, y = classification(seed, 100, 100, shape=(10, 10, 1))

    def stack():
        found = []
        for width in (32, 64):
            found += [layers.Conv2D(width, 3, padding="same"), layers.Activation("relu")]
            found += [layers.BatchNormalization(axis=1), layers.MaxPooling2D()]
        found += [layers.Flatten(), dense(512, "relu"), layers.BatchNormalization()]
        return [*found, layers.Dropout(0.5), dense(2, "sigmoid")]

    build = sequential(
        (10, 10, 1), stack, sgd(0.001), "sparse_categorical_crossentropy", ["accuracy"]
    )
    return program(build, x, y, epochs=5)


@case("58055105", ONE)
def _small_softmax(seed):
    x, y = classification(seed, 1000, 22)

    def stack():
        return [dense(48, "relu"), layers.Dropout(0.5), dense(1, "softmax")]

    build = sequential((22,), stack, adam(1e-4), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, batch_size=5, epochs=20)


@case(
    "58609115",
    "loss.task",
    "act.saturated",
    "data.scale_x",
    also=("output.activation_loss", "data.tiny", "fit.epochs"),
)
def _sixty_nine_classes(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1000, (1767, 1))
    y = onehot((x[:, 0] / 1000 * 69).astype(int), 69)

    def stack():
        return [dense(69, "sigmoid", kernel_initializer="random_normal") for _ in range(3)]

    build = sequential((1,), stack, "adam", "binary_crossentropy", ["accuracy"])
    return program(build, x, y, batch_size=50, epochs=1)


@case("59325381", "data.labels", also=("data.scale_x",))
def _divided_labels(seed):
    x, y = digits(images=True)

    def stack():
        found = [layers.Conv2D(32, 3), layers.MaxPooling2D(), layers.Flatten(), dense(64, "relu")]
        return [*found, dense(10, "softmax")]

    build = sequential((8, 8, 1), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    held = (x[1500:] * 255, y[1500:])
    return program(build, x[:1500], y[:1500] / 255, epochs=3, validation_data=held)


@case("60874661", "output.units", "data.labels", also=("data.scale_x",))
def _ten_classes_in_one(seed):
    x, y = patterns(seed, 500, 10, scale=255)

    def stack():
        found = []
        for width in (32, 32, 64):
            found += [layers.Conv2D(width, 3, padding="same", activation="relu")]
            found += [layers.MaxPooling2D()]
        return [
            *found,
            layers.Flatten(),
            dense(64, "relu"),
            layers.Dropout(0.5),
            dense(1, "sigmoid"),
        ]

    build = sequential((16, 16, 3), stack, rmsprop(), "binary_crossentropy", ["accuracy"])
    return program(build, x.astype("uint8"), y, epochs=20)


@case("61886777", "output.activation_loss", also=("fit.overfit",))
def _sigmoid_three(seed):
    x, y = classification(seed, 1000, 784, 3, shape=(28, 28, 1))

    def stack():
        found = [layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D()]
        found += [layers.BatchNormalization(), layers.Dropout(0.2), layers.Flatten()]
        return [*found, dense(128, "relu"), dense(3, "sigmoid")]

    build = sequential((28, 28, 1), stack, "adam", "categorical_crossentropy", ["accuracy"])
    return program(build, x, onehot(y), epochs=5)


@case("61997645", ONE, also=("data.tiny",))
def _parity(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 10, (210, 5, 1))
    y = x[:, 0, 0] % 2

    def stack():
        found = [layers.GRU(24, activation="relu", return_sequences=True), layers.Dropout(0.5)]
        found += [layers.GRU(12, activation="relu"), layers.Dropout(0.5)]
        return [*found, dense(1, "softmax")]

    build = sequential((5, 1), stack, "adam", "mse", ["accuracy"])
    return program(build, x, y, epochs=20, validation_split=0.2)


@case("62068109", "output.units", "data.labels")
def _four_classes_in_one(seed):
    x, y = classification(seed, 1000, 256, 4, shape=(16, 16, 1))

    def stack():
        found = []
        for _ in range(3):
            found += [layers.Conv2D(32, 3, padding="same", activation="relu")]
            found += [layers.MaxPooling2D()]
        return [
            *found,
            layers.Flatten(),
            dense(64, "relu"),
            layers.Dropout(0.5),
            dense(1, "sigmoid"),
        ]

    build = sequential((16, 16, 1), stack, "adam", "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=10)


@case("64387251", "loss.logits", "output.activation_loss", also=("arch.frozen", "data.scale_x"))
def _random_features(seed):
    x, y = digits()
    keep = y < 2

    def stack():
        return [dense(2000, "relu", trainable=False), dense(1)]

    build = sequential((64,), stack, "adam", "binary_crossentropy", ["accuracy"])
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=5)
    rows = int(keep.sum())
    return program(build, x[keep], y[keep], batch_size=rows, epochs=50, callbacks=[stop])


@case("66087653", ONE)
def _dense_before_flatten(seed):
    x, y = classification(seed, 300, 1500, shape=(10, 150))

    def stack():
        found = [dense(32, "relu"), layers.Flatten(), dense(128, "relu"), layers.Dropout(0.2)]
        return [*found, dense(128, "relu"), layers.Flatten(), dense(1, "softmax")]

    build = sequential((10, 150), stack, "adam", "binary_crossentropy", ["accuracy"])
    return program(build, x, y, batch_size=2, epochs=200)


@case("68101077", "loss.logits", "output.activation_loss")
def _logits_and_a_string(seed):
    x, y = digits(images=True)

    def stack():
        return [layers.Flatten(), dense(128, "relu"), dense(10)]

    build = sequential((8, 8, 1), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=10)


@case("68938619", ONE)
def _recurrent_softmax(seed):
    x, y = classification(seed, 1000, 10, shape=(10, 1))

    def stack():
        cell = layers.LSTM(80, activation="sigmoid", recurrent_activation="hard_sigmoid")
        return [cell, dense(1, "softmax")]

    return program(sequential((10, 1), stack, "rmsprop", "mse", ["accuracy"]), x, y, epochs=10)


@case("70589997", "output.units", "loss.task")
def _hundred_and_one_classes(seed):
    x, y = patterns(seed, 606, 101, 32)
    x, y = x[:, ::2, ::2], y

    def stack():
        found = []
        for width in (32, 64, 128):
            found += [layers.Conv2D(width, 3, padding="same", activation="relu")]
            found += [layers.MaxPooling2D()]
        return [*found, layers.Flatten(), dense(1, "sigmoid")]

    build = sequential((16, 16, 3), stack, "adam", "categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=75)
