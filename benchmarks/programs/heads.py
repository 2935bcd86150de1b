"""Published cases in which output, loss and labels of a classification do not fit."""

from benchmarks.programs import case
from benchmarks.programs.parts import (
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


@case("38648195", "output.activation_loss", "loss.task", also=("data.scale_x", "reg.strong"))
def _multi_label(seed):
    from sklearn.datasets import make_multilabel_classification

    x, y = make_multilabel_classification(3000, 20, n_classes=3, random_state=seed)

    def stack():
        hidden = [dense(20, "relu"), layers.Dropout(0.5), dense(20, "relu"), layers.Dropout(0.5)]
        return [*hidden, dense(3, "softmax")]

    return program(sequential((20,), stack, sgd(0.01), "mse"), x, y, batch_size=20, epochs=20)


@case("41596619", "output.units", "data.labels", "loss.task", also=("data.tiny",))
def _four_labels_in_one(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.1, 7, (11, 3))
    y = np.arange(11)[:, None] % 4

    def stack():
        return [dense(3, "relu", kernel_initializer="random_uniform"), dense(1, "sigmoid")]

    build = sequential((3,), stack, sgd(0.001), "binary_crossentropy")
    return program(build, x, y, epochs=150)


@case(
    "42472447",
    "output.activation_loss",
    "init.scale",
    "data.tiny",
    "loss.at_lnC",
    also=("fit.overfit", "fit.epochs", "lr.low"),
)
def _many_classes(seed):
    x, y = classification(seed, 1000, 33, 122, informative=20)

    def stack():
        wide = [dense(33, "relu", kernel_initializer="uniform") for _ in range(3)]
        first = dense(50, "relu", kernel_initializer="uniform")
        return [first, *wide, dense(122, "sigmoid", kernel_initializer="uniform")]

    build = sequential((33,), stack, "adam", "categorical_crossentropy", ["accuracy"])
    return program(build, x, onehot(y), batch_size=20, epochs=35, validation_split=0.2)


@case("42800203", ONE)
def _one_softmax(seed):
    x, y = classification(seed, 600, 20)
    build = sequential(
        (20,), lambda: [dense(32, "relu"), dense(1, "softmax")], "adam", "binary_crossentropy"
    )
    return program(build, x, y, epochs=20)


@case("44755431", "reg.dropout_out")
def _dropout_on_logits(seed):
    x, y = digits(images=True)

    def stack():
        found = []
        for width in (16, 32):
            found += [layers.Conv2D(width, 3, padding="same", activation="relu")]
            found += [layers.Conv2D(width, 3, padding="same", activation="relu")]
            found += [layers.MaxPooling2D()]
        found += [layers.Flatten(), dense(50, "relu"), layers.Dropout(0.5)]
        return [*found, dense(10), layers.Dropout(0.5), layers.Activation("softmax")]

    build = sequential((8, 8, 1), stack, "adam", "categorical_crossentropy", ["accuracy"])
    return program(build, x, onehot(y), batch_size=64, epochs=4)


@case("45337371", ONE)
def _zero_input_gradient(seed):
    x = np.random.default_rng(seed).uniform(size=(500, 5))
    y = (x.sum(1) > 2.5).astype(int)

    def stack():
        return [dense(60, "relu"), dense(50, "relu"), dense(1, "softmax")]

    return program(sequential((5,), stack, "adam", "binary_crossentropy"), x, y, epochs=20)


@case("45378493", ONE, also=("data.tiny", "fit.overfit"))
def _convolution_sixty_rows(seed):
    x, y = classification(seed, 600, 40, shape=(10, 4))

    def block(width):
        return [layers.Conv1D(width, 4, padding="same"), layers.BatchNormalization()] + [
            layers.LeakyReLU(),
            layers.Dropout(0.2),
        ]

    def stack():
        middle = [layers.Flatten(), dense(64), layers.BatchNormalization(), layers.LeakyReLU()]
        return [*block(16), *block(8), *middle, dense(1, "softmax")]

    build = sequential((10, 4), stack, "adam", "binary_crossentropy", ["accuracy"])
    return program(
        build,
        x[:60],
        y[:60],
        batch_size=128,
        epochs=100,
        validation_data=(x[60:], y[60:]),
        callbacks=[
            keras.callbacks.ReduceLROnPlateau(monitor="val_accuracy", factor=0.9, patience=30)
        ],
    )


@case("50079585", "output.units", "data.labels")
def _three_classes_in_one(seed):
    x, y = patterns(seed, 400, 3)

    def stack():
        found = []
        for width in (32, 32, 64):
            found += [layers.Conv2D(width, 3, activation="relu", padding="same")]
            found += [layers.MaxPooling2D()]
        return [
            *found,
            layers.Flatten(),
            dense(64, "relu"),
            layers.Dropout(0.5),
            dense(1, "sigmoid"),
        ]

    build = sequential((16, 16, 3), stack, rmsprop(), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=10)


@case("50338865", "loss.task", "output.activation_loss", "fit.epochs", also=("data.tiny", "lr.low"))
def _xor_by_error(seed):
    x = np.array([[[0, 0]], [[0, 1]], [[1, 0]], [[1, 1]]], "float32")
    y = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], "float32")

    def stack():
        return [layers.LSTM(10, return_sequences=True), layers.LSTM(10), dense(2)]

    return program(sequential((1, 2), stack, "adam", "mae"), x, y, epochs=50)


@case("51185079", "output.activation_loss", "act.dead")
def _relu_for_yes_or_no(seed):
    x, y = classification(seed, 1000, 34)

    def stack():
        return [dense(w, "relu") for w in (512, 200, 200, 200, 128, 1)]

    build = sequential((34,), stack, "rmsprop", "binary_crossentropy", ["accuracy"])
    return program(build, x, y, batch_size=200, epochs=2)


@case("51749207", ONE, also=("data.tiny",))
def _long_convolution(seed):
    x, y = classification(seed, 549, 600, shape=(600, 1))

    def stack():
        front = [
            layers.Conv1D(20, 4, activation="relu"),
            layers.MaxPooling1D(),
            layers.Dropout(0.3),
        ]
        return [*front, layers.Flatten(), dense(50, "relu"), dense(1, "softmax")]

    build = sequential((600, 1), stack, "nadam", "binary_crossentropy", ["accuracy"])
    held = (x[:90], y[:90])
    return program(build, x[91:], y[91:], batch_size=8, epochs=100, validation_data=held)


@case("52983831", ONE, also=("data.tiny",))
def _bits_in_a_row(seed):
    bits = np.array([0, 1, 1, 0, 1, 0, 0, 1], "float32")
    x, y = bits.reshape(1, 8, 1), (np.cumsum(bits) % 2).reshape(1, 8, 1)

    def stack():
        grus = [layers.GRU(10, return_sequences=True) for _ in range(2)]
        return [*grus, dense(1, "softmax")]

    return program(sequential((8, 1), stack, "adam", "binary_crossentropy"), x, y, epochs=3000)


@case("53700537", "output.activation_loss")
def _relu_for_classes(seed):
    x, y = classification(seed, 1000, 300, 3, shape=(300, 1))

    def stack():
        found = [layers.Conv1D(20, 20, activation="relu"), layers.MaxPooling1D(3)]
        found += [layers.Conv1D(20, 10, activation="relu"), layers.MaxPooling1D(3)]
        found += [layers.Conv1D(20, 10, activation="relu"), layers.GlobalAveragePooling1D()]
        return [*found, dense(3, "relu", use_bias=False)]

    build = sequential((300, 1), stack, "adam", "categorical_crossentropy", ["accuracy"])
    return program(build, x, onehot(y), epochs=1)
