"""Published cases in which the output cannot reach the targets of a regression."""

from benchmarks.programs import case
from benchmarks.programs.parts import (
    adam,
    dense,
    program,
    regression,
    rmsprop,
    sequential,
    sgd,
)

import numpy as np
from keras import layers

ONE = "output.softmax_one_unit"
SCALES = ("data.scale_x", "data.scale_y")


@case("33969059", ONE, "output.range", also=(*SCALES, "act.saturated", "reg.strong"))
def _softmax_for_a_sum(seed):
    x = np.random.default_rng(seed).uniform(0, 1e4, (5000, 3))
    y = 2 * x[:, 0] + x[:, 1] + 0.5 * x[:, 2] + 2.2

    def stack():
        found = [dense(3, "tanh", kernel_initializer="uniform"), layers.Dropout(0.5)]
        found += [dense(2, "tanh", kernel_initializer="uniform"), layers.Dropout(0.5)]
        return [*found, dense(1, "softmax", kernel_initializer="uniform")]

    build = sequential((3,), stack, sgd(0.1, momentum=0.9, nesterov=True), "mse")
    return program(build, x, y, epochs=20)


@case("45442843", ONE, "output.range", "data.scale_y", "fit.epochs", "lr.low", also=SCALES)
def _softmax_for_thousands(seed):
    x = np.random.default_rng(seed).normal(2e4, 3e3, (100, 1))
    y = x[:, 0] + np.random.default_rng(seed + 1).normal(0, 500, 100)

    def stack():
        return [dense(1, "sigmoid"), dense(1, "softmax")]

    build = sequential((1,), stack, rmsprop(), "mae")
    return program(build, x, y, batch_size=200, epochs=10)


@case("46247619", "output.range", "data.tiny", "fit.overfit", also=SCALES)
def _relu_and_five_rows(seed):
    x, y = regression(seed, 10_000, 50, shape=(50, 1))

    def stack():
        found = [layers.Conv1D(w, 3, activation="relu") for w in (30, 40, 120)]
        found += [layers.Flatten(), *(dense(w, "relu") for w in (256, 64, 32))]
        return [*found, dense(1, "relu")]

    build = sequential((50, 1), stack, "adam", "mse")
    held = (x[5:10], y[5:10])
    return program(build, x[:5], y[:5], batch_size=4096, epochs=300, validation_data=held)


@case("46642627", "loss.task", "output.range", "data.scale_y", also=("data.scale_y",))
def _cross_entropy_to_a_hundred(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(500, 1))
    y = 0.01 + 100 * x[:, 0]

    def stack():
        return [dense(20, "relu"), dense(1, "sigmoid")]

    build = sequential((1,), stack, sgd(0.01), "binary_crossentropy", ["mse"])
    return program(build, x, y, epochs=50)


@case("48251943", "output.range", "act.dead", also=("data.tiny",))
def _relu_for_signed(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (100, 2))
    y = -0.3 + 2.8 * x[:, 0] * x[:, 1]

    def stack():
        return [dense(4, "relu"), dense(1, "relu")]

    return program(sequential((2,), stack, sgd(0.01), "mse"), x, y, batch_size=10, epochs=100)


@case("48976413", "output.range", "data.scale_y", also=("data.scale_y", "metric.wrong"))
def _sigmoid_for_prices(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(800, 5))
    y = 1e3 + 9.9e4 * x.mean(1) ** 2

    def stack():
        found = [dense(12, "relu", kernel_initializer="normal"), dense(8, "relu")]
        return [*found, dense(1, "sigmoid")]

    build = sequential((5,), stack, "adam", "mse", ["mse", "mae", "mape", "accuracy"])
    return program(build, x, y, batch_size=50, epochs=150)


@case("52566823", "output.range", also=("data.scale_y",))
def _sigmoids_for_hundreds(seed):
    x, y = regression(seed, 1000, 5)

    def stack():
        return [dense(5, "sigmoid"), dense(4, "sigmoid"), dense(1, "sigmoid")]

    build = sequential((5,), stack, sgd(0.1), "mse")
    held = (x[700:], y[700:])
    return program(build, x[:700], y[:700], epochs=100, shuffle=False, validation_data=held)


@case("53749895", "output.range", also=("data.scale_y",))
def _softmax_for_three_targets(seed):
    x, y = regression(seed, 1000, 400, 3)

    def stack():
        return [dense(32, "relu"), dense(3, "softmax")]

    build = sequential((400,), stack, sgd(0.01, momentum=0.9, nesterov=True), "mse")
    return program(build, x, y, epochs=20)


@case("54738769", ONE, "output.range", also=("data.scale_y", "data.tiny"))
def _deep_softmax_for_one(seed):
    x, y = regression(seed, 100, 18)

    def stack():
        return [dense(18, "tanh"), *(dense(w, "relu") for w in (36, 72, 72, 32, 16))] + [
            dense(1, "softmax")
        ]

    return program(sequential((18,), stack, "adam", "mse"), x, y, batch_size=35, epochs=100)


@case("54811239", "output.range", also=("fit.epochs", "data.tiny", *SCALES))
def _tanh_for_twelve(seed):
    x = np.random.default_rng(seed).integers(0, 32, (2, 3, 4)).astype("float32")
    y = np.array([[7, 8, 9], [9, 10, 12]], "float32")[..., None]

    def stack():
        return [layers.LSTM(10, return_sequences=True), dense(50, "tanh"), dense(1, "tanh")]

    return program(sequential((3, 4), stack, "adam", "mse"), x, y, epochs=5)


@case("59078187", "output.units", "output.broadcast", "output.range", also=SCALES)
def _softmax_for_squares(seed):
    x = np.linspace(0, 10, 1000)[:, None]

    def stack():
        return [dense(128, "relu"), layers.Dropout(0.2), dense(10, "softmax")]

    return program(sequential((1,), stack, "adam", "mse"), x, x**2, epochs=5)


@case("60574843", "output.range", also=("data.scale_y",))
def _gru_sigmoid(seed):
    x, y = regression(seed, 2000, 12, shape=(1, 12))

    def stack():
        grus = [layers.GRU(64, return_sequences=True), layers.GRU(32)]
        return [*grus, dense(1, "sigmoid")]

    return program(sequential((1, 12), stack, "adam", "mse"), x, y, batch_size=256, epochs=25)


@case("60766775", "output.range", also=("data.scale_y",))
def _softmax_for_four(seed):
    x, y = regression(seed, 1000, 8, 4)

    def stack():
        found = []
        for width in (32, 20, 15):
            found += [dense(width, "sigmoid"), layers.Dropout(0.1)]
        return [*found, dense(4, "softmax")]

    build = sequential((8,), stack, sgd(0.01, momentum=0.87, nesterov=True), "mse")
    return program(build, x, y, batch_size=1, epochs=100)


@case("62313327", "output.range", "act.dead")
def _one_relu_and_sigmoid(seed):
    x = np.random.default_rng(seed).uniform(-1, 1, (5000, 30))

    def stack():
        return [dense(1, "relu"), dense(1, "sigmoid")]

    return program(sequential((30,), stack, adam(0.01), "mse"), x, x[:, 1], epochs=20)


@case(
    "69901379",
    "data.scale_x",
    "data.scale_y",
    "lr.low",
    also=("data.tiny", "fit.epochs", "data.labels"),
)
def _nothing_scaled(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(50, 2001, (50, 10)), rng.integers(600, 4001, 50)

    def stack():
        return [*(dense(16, "relu") for _ in range(4)), dense(1)]

    return program(sequential((10,), stack, adam(1e-4), "mse"), x, y, epochs=1000)
