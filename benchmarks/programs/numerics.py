"""Small published programs with numerical faults: losses by hand, rates, unscaled numbers."""

from benchmarks.programs import case
from benchmarks.programs.parts import (
    adam,
    circles,
    classification,
    dense,
    digits,
    onehot,
    program,
    sequential,
    sgd,
)

import keras
import numpy as np
from keras import layers

NAN = ("loss.nan", "loss.oscillation", "grad.explode")


def _sum_of_squares():
    def squares(y_true, y_pred):
        return keras.ops.sum(keras.ops.square(y_true - y_pred))

    return squares


@case("IPS-1", "loss.nan", "data.scale_x", "init.scale", "lr.high", also=NAN)
def _log_of_zero(seed):
    x, y = digits()

    def loss():
        def cross_entropy(y_true, y_pred):
            return -keras.ops.sum(y_true * keras.ops.log(y_pred), axis=-1)

        return cross_entropy

    def stack():
        normal = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
        return [dense(64, "relu", kernel_initializer=normal), dense(10, "softmax")]

    build = sequential((64,), stack, adam(1e-4), loss, ["accuracy"])
    return program(build, x * 16, onehot(y), epochs=5)


@case("IPS-4", "init.scale", "lr.high", also=("act.dead", *NAN))
def _wide_normal(seed):
    x, y = digits()

    def stack():
        def layer(units, activation, number):
            normal = keras.initializers.RandomNormal(stddev=1.0, seed=seed + number)
            return dense(units, activation, kernel_initializer=normal)

        return [layer(256, "relu", 0), layer(256, "relu", 1), layer(10, "softmax", 2)]

    build = sequential((64,), stack, adam(0.003), "categorical_crossentropy", ["accuracy"])
    return program(build, x, onehot(y), batch_size=100, epochs=2)


@case("IPS-5", "lr.high", "data.scale_x", also=NAN)
def _line_too_fast(seed):
    x = np.random.default_rng(seed).uniform(-8, 8, (100, 1))
    build = sequential((1,), lambda: [dense(1)], sgd(0.1), "mse")
    return program(build, x, 2 * x + 1, epochs=50)


@case("IPS-7", "loss.logits")
def _no_bias_no_sigmoid(seed):
    x, y = classification(seed, 600, 12)

    def stack():
        return [dense(16, "relu", use_bias=False), dense(1, use_bias=False)]

    build = sequential((12,), stack, "adam", "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=20)


@case("IPS-11", "output.activation_loss", also=("act.dead",))
def _bent_logits(seed):
    x, y = digits()

    def stack():
        return [dense(64, "relu"), dense(10, "relu"), layers.Activation("softmax")]

    build = sequential((64,), stack, sgd(0.5), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=3)


@case("IPS-12", "reg.strong")
def _kept_for_dropped(seed):
    x, y = digits()

    def stack():
        hidden = [dense(64, "relu"), layers.Dropout(0.95), dense(64, "relu"), layers.Dropout(0.95)]
        return [*hidden, dense(10, "softmax")]

    build = sequential((64,), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=10)


@case("IPS-13", "data.scale_x", "lr.high", also=("act.dead", *NAN))
def _heart(seed):
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [
            rng.integers(29, 77, 300),
            rng.integers(94, 200, 300),
            rng.integers(126, 564, 300),
            rng.integers(71, 202, 300),
            rng.uniform(0, 6, 300),
            rng.integers(0, 4, (300, 3)),
        ]
    )
    y = (x[:, 0] / 9 + x[:, 4] - x[:, 3] / 25 + rng.normal(0, 0.7, 300) > 1.8).astype(int)

    def stack():
        return [dense(16, "relu"), dense(16, "relu"), dense(2, "softmax")]

    build = sequential((8,), stack, sgd(0.5), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=40)


@case("IPS-14", "loss.reduction", "lr.high", also=("act.dead", *NAN))
def _summed_entropy(seed):
    x, y = circles(seed)

    def loss():
        return keras.losses.SparseCategoricalCrossentropy(reduction="sum")

    def stack():
        return [*(dense(64, "relu") for _ in range(3)), dense(2, "softmax")]

    build = sequential((2,), stack, sgd(0.3), loss, ["accuracy"])
    return program(build, x, y, batch_size=100, epochs=20)


@case("IPS-15", "lr.high", "data.scale_x", also=NAN)
def _hundred_steps(seed):
    x = np.arange(100.0)[:, None]
    build = sequential((1,), lambda: [dense(1)], sgd(0.5), "mse")
    return program(build, x, 3 * x + 4, epochs=20)


@case("IPS-17", "loss.reduction", "lr.high", "data.scale_x", also=NAN)
def _quadratic(seed):
    x = np.random.default_rng(seed).uniform(-5, 5, (200, 1))
    x = np.hstack([x, x**2])
    y = 2 * x[:, 1:] - x[:, :1] + 3
    return program(
        sequential((2,), lambda: [dense(1)], sgd(0.01), _sum_of_squares), x, y, epochs=20
    )
