"""Synthetic faults: healthy programs with one thing changed (TheDeepChecker, USI, AutoTrainer)."""

from benchmarks.programs import case
from benchmarks.programs.parts import (
    adam,
    dense,
    digits,
    program,
    sequential,
    sgd,
)

import keras
import numpy as np
from keras import layers, regularizers

SYN = "synthetic"


# --- Clean bases ---
def cars(seed, rows=300):
    """Returns nine features of very different size and a target between 9 and 47."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, 9))
    y = (
        23
        - 5 * z[:, 0]
        - 3 * z[:, 1] * (z[:, 2] > 0)
        + 2 * np.tanh(z[:, 3])
        + rng.normal(0, 1, rows)
    )
    raw = z * np.array([1.7, 100, 38, 850, 2.7, 3.7, 0.5, 0.4, 0.4])
    return raw + np.array([5.5, 194, 104, 2970, 15.5, 76, 1, 0.5, 0.5]), y[:, None]


def base_r(seed, *, scale_x=True, y_times=1.0, scale_y=True, head=None, loss="mse", rate=1e-3, **o):
    """The regression base, its parts open to change."""
    x, y = cars(seed)
    x = (x - x.mean(0)) / x.std(0) if scale_x is True else scale_x(x) if scale_x else x
    y = y * y_times
    y = (y - y.mean()) / y.std() if scale_y is True else scale_y(y) if scale_y else y
    kernel, l2 = o.get("kernel", "he_normal"), o.get("l2", 1e-5)

    def stack():
        def layer(units, activation):
            init = kernel() if callable(kernel) else kernel
            penalty = regularizers.L2(l2)
            return dense(units, activation, kernel_initializer=init, kernel_regularizer=penalty)

        return [layer(64, "relu"), layer(64, "relu"), layer(1, head)]

    build = sequential((9,), stack, o.get("optimizer") or adam(rate), loss)
    return program(build, x, y, epochs=o.get("epochs", 60))


def base_b(seed, *, scale=1.0, last=None, loss=None, optimizer=None, labels=None, **o):
    """The image base: two convolutions and a wide layer on the digits."""
    x, y = digits(images=True)
    x, y = x * scale, y if labels is None else labels(y)
    kernel, l2 = o.get("kernel", "he_normal"), o.get("l2", 1e-5)
    hidden, logits = o.get("hidden", "relu"), last is None

    def init():
        return kernel() if callable(kernel) else kernel

    def stack():
        found = [layers.Conv2D(16, 3, padding="same", activation="relu", kernel_initializer=init())]
        found += [layers.MaxPooling2D()]
        found += [
            layers.Conv2D(32, 3, padding="same", activation="relu", kernel_initializer=init())
        ]
        found += [layers.MaxPooling2D(), layers.Flatten()]
        penalty = regularizers.L2(l2)
        found += [dense(128, hidden, kernel_initializer=init(), kernel_regularizer=penalty)]
        return [*found, dense(10, None if last in (None, "logits") else last)]

    def default():
        return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)

    build = sequential((8, 8, 1), stack, optimizer or sgd(0.1), loss or default, ["accuracy"])
    return program(build, x, y, batch_size=64, epochs=o.get("epochs", 5))


# --- TheDeepChecker ---
@case("TDC-01R", "data.scale_x", family=SYN)
def _twice_divided(seed):
    return base_r(seed, scale_x=lambda x: x / np.ptp(x, 0) / np.ptp(x, 0))


@case("TDC-01B", "data.scale_x", family=SYN)
def _images_twice_divided(seed):
    return base_b(seed, scale=1 / 255)


@case("TDC-02R", "data.scale_x", family=SYN)
def _not_scaled(seed):
    return base_r(seed, scale_x=False)


@case("TDC-03R", "data.scale_y", "lr.low", family=SYN, also=("lr.low", "fit.epochs"))
def _targets_not_scaled(seed):
    return base_r(seed, y_times=10, scale_y=False)


@case("TDC-05R", "lr.high", "loss.oscillation", "act.dead", family=SYN)
def _rate_high(seed):
    return base_r(seed, rate=0.3)


@case("TDC-05B", "lr.high", "loss.oscillation", "act.dead", family=SYN, also=("loss.nan",))
def _rate_high_images(seed):
    return base_b(seed, optimizer=sgd(3.0))


@case("TDC-06R", "lr.low", "fit.epochs", family=SYN)
def _rate_low(seed):
    return base_r(seed, rate=1e-5)


@case("TDC-06B", "lr.low", "fit.epochs", family=SYN)
def _rate_low_images(seed):
    return base_b(seed, optimizer=sgd(1e-3))


@case("TDC-10R", "reg.strong", family=SYN)
def _penalty_strong(seed):
    return base_r(seed, l2=1.0)


@case("TDC-11B", "loss.logits", family=SYN, also=("output.activation_loss",))
def _no_softmax(seed):
    return base_b(seed, last="logits")


@case("TDC-12B", "loss.logits", family=SYN)
def _softmax_twice(seed):
    def loss():
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    return base_b(seed, last="softmax", loss=loss)


@case("TDC-14B", "act.saturated", "output.activation_loss", "grad.vanish", "lr.low", family=SYN)
def _softmax_hidden(seed):
    return base_b(seed, hidden="softmax")


@case("TDC-15R", "output.range", family=SYN)
def _sigmoid_for_signed(seed):
    return base_r(seed, head="sigmoid", scale_y=lambda y: 2 * (y - y.min()) / np.ptp(y) - 1)


@case("TDC-16R", "output.softmax_one_unit", family=SYN, also=("output.range",))
def _softmax_one(seed):
    return base_r(seed, head="softmax")


@case("TDC-18R", "init.constant", family=SYN)
def _constant_weights(seed):
    return base_r(seed, kernel=lambda: keras.initializers.Constant(0.01))


@case("TDC-18B", "init.constant", family=SYN)
def _constant_weights_images(seed):
    return base_b(seed, kernel=lambda: keras.initializers.Constant(0.01))


@case("TDC-19B", "init.scale", "lr.high", "act.dead", family=SYN, also=("loss.nan",))
def _wide_weights(seed):
    return base_b(seed, kernel=lambda: keras.initializers.RandomNormal(stddev=2.0, seed=seed))


@case("TDC-20R", "data.labels", family=SYN, also=("fit.overfit",))
def _shuffled_labels(seed):
    made = base_r(seed, epochs=100)
    order = np.random.default_rng(seed).permutation(len(made.y))
    return made.replace(y=made.y[order])


@case("TDC-20B", "data.labels", family=SYN, also=("fit.overfit",))
def _shuffled_labels_images(seed):
    return base_b(seed, labels=lambda y: np.random.default_rng(seed).permutation(y), epochs=20)


@case("TDC-21R", "loss.reduction", family=SYN, also=("lr.high", "data.scale_y"))
def _summed(seed):
    return base_r(
        seed,
        y_times=10,
        scale_y=False,
        loss=lambda: keras.losses.MeanSquaredError(reduction="sum"),
        optimizer=sgd(0.01),
    )


@case("TDC-22R", "output.broadcast", family=SYN)
def _broadcast(seed):
    class Spread(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.square(keras.ops.reshape(y_true, (-1,)) - y_pred)

    return base_r(seed, loss=Spread)


@case("TDC-23R", "loss.task", family=SYN)
def _cross_entropy_for_numbers(seed):
    return base_r(seed, loss="binary_crossentropy", head="sigmoid")


@case("TDC-24B", "output.activation_loss", family=SYN)
def _softmax_over_batch(seed):
    def last(x):
        return keras.ops.softmax(x, axis=0)

    return base_b(seed, last=last, loss="sparse_categorical_crossentropy")
