"""Published cases that only a look at the data or at the training shows."""

from benchmarks.programs import case
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


@case("39217567", "grad.vanish", "act.saturated", "lr.low", also=("fit.batch", "fit.epochs"))
def _permuted_bytes(seed):
    rng = np.random.default_rng(seed)
    x = (np.arange(256)[:, None] >> np.arange(8)) & 1
    y = x[rng.permutation(256)]

    def stack():
        return [dense(8, "sigmoid", kernel_initializer="random_normal") for _ in range(3)]

    return program(sequential((8,), stack, sgd(0.01), "mse"), x, y, batch_size=50, epochs=1000)


@case("41600519", "data.scale_x", "fit.epochs", "fit.batch", also=("reg.strong",))
def _physics_unscaled(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(100, 60, (3000, 31)) * rng.uniform(0.01, 10, 31)
    y = (x[:, 0] / x[:, 0].std() - x[:, 1] / x[:, 1].std() + rng.normal(0, 0.3, 3000) > 0) * 1
    x[rng.uniform(size=x.shape) < 0.1] = -999

    def stack():
        found = []
        for width in (200, 150, 100):
            found += [dense(width, "relu"), layers.Dropout(0.5)]
        return [*found, dense(1, "sigmoid")]

    build = sequential((31,), stack, rmsprop(), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, batch_size=1, epochs=1)


@case("44164749", "fit.epochs", "fit.batch", "lr.low")
def _huge_batches(seed):
    x, y = digits()

    def stack():
        found = [dense(500, "relu"), layers.Dropout(0.1), dense(100, "relu"), layers.Dropout(0.1)]
        return [*found, dense(10, "softmax")]

    build = sequential(
        (64,),
        stack,
        sgd(0.01, momentum=0.9, nesterov=True),
        "categorical_crossentropy",
        ["accuracy"],
    )
    return program(build, x, onehot(y), batch_size=600, epochs=5)


@case("46359741", "data.tiny", "lr.low", "fit.epochs")
def _two_points(seed):
    def stack():
        return [dense(1, "sigmoid"), dense(1, "sigmoid")]

    build = sequential((1,), stack, sgd(0.009, momentum=0.9, nesterov=True), "binary_crossentropy")
    return program(
        build, np.array([[1.0], [2.0]]), np.array([[1.0], [0.0]]), epochs=20, validation_split=0.1
    )


@case(
    "46995209",
    "data.scale_x",
    "act.saturated",
    "act.dead",
    "grad.vanish",
    also=("data.scale_y", "lr.low"),
)
def _narrow_tower(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1000, (500, 6))
    y = np.sin(x[:, 0] / 150) + x[:, 1] / 500

    def stack():
        front = [dense(10, "tanh"), dense(90, "tanh")]
        return [*front, *(dense(10, "relu") for _ in range(8)), dense(1)]

    return program(sequential((6,), stack, "adam", "mse"), x, y, epochs=50)


@case("47724077", "data.scale_x", also=("data.imbalance",))
def _census(seed):
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [
            rng.integers(17, 90, 2000),
            rng.uniform(1e4, 1.5e6, 2000),
            rng.integers(0, 16, (2000, 10)).astype(float)[:, 0],
            np.where(rng.uniform(size=2000) < 0.08, rng.uniform(1e3, 1e5, 2000), 0),
            rng.integers(1, 99, 2000),
            rng.integers(0, 8, (2000, 9)),
        ]
    )
    score = x[:, 0] / 20 + x[:, 2] / 3 + x[:, 4] / 20 + rng.normal(0, 0.7, 2000)
    y = (score > np.quantile(score, 0.76)) * 1

    def stack():
        return [dense(21, "relu"), dense(2, "softmax")]

    build = sequential((14,), stack, "adam", "categorical_crossentropy", ["accuracy"])
    return program(build, x, onehot(y), batch_size=100, epochs=50)


@case("51181393", "lr.low", "fit.epochs")
def _five_x(seed):
    x = np.linspace(1, 2, 100)[:, None]
    build = sequential((1,), lambda: [dense(1)], rmsprop(0.001), "mse")
    return program(build, x, 5 * x, epochs=200, validation_split=0.2)


@case("61234347", "fit.epochs", also=("lr.low",))
def _iris_one_epoch(seed):
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    order = np.random.default_rng(seed).permutation(150)[:105]

    def stack():
        return [*(dense(w, "tanh") for w in (1000, 500, 250, 125, 64, 32, 9)), dense(3, "softmax")]

    build = sequential((4,), stack, "adam", "categorical_crossentropy", ["accuracy"])
    return program(build, x[order], onehot(y[order]), epochs=1)


@case("UM-A", "data.scale_x", "reg.strong", "loss.logits", also=("data.scale_x", "act.dead"))
def _umlaut_a(seed):
    x, y = patterns(seed, 600, 10, scale=255)

    def stack():
        found = []
        for width in (16, 32):
            found += [layers.Conv2D(width, 3, padding="same", activation="relu")]
            found += [layers.MaxPooling2D(), layers.Dropout(0.8)]
        found += [layers.Flatten(), dense(64, "relu"), layers.Dropout(0.8), dense(64, "relu")]
        return [*found, dense(10)]

    def loss():
        return keras.losses.sparse_categorical_crossentropy

    build = sequential((16, 16, 3), stack, "adam", loss, ["accuracy"])
    return program(build, x, y, epochs=5, validation_split=0.2)


@case("UM-B", "act.linear", "lr.sign", "lr.high", also=("lr.sign",))
def _umlaut_b(seed):
    x, y = patterns(seed, 600, 10)

    def stack():
        found = []
        for width in (16, 32):
            found += [layers.Conv2D(width, 3, padding="same"), layers.MaxPooling2D()]
            found += [layers.Dropout(0.2)]
        return [*found, layers.Flatten(), dense(64), dense(10)]

    def loss():
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    build = sequential((16, 16, 3), stack, adam(-1e3), loss, ["accuracy"])
    return program(build, x, y, epochs=5, validation_data=(x[:100], y[:100]))
