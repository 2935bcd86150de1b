"""Synthetic faults: healthy programs with one thing changed (TheDeepChecker, USI, AutoTrainer)."""

from benchmarks.programs import case
from benchmarks.programs.parts import (
    adam,
    blobs,
    circles,
    classification,
    dense,
    digits,
    onehot,
    patterns,
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


# --- USI ---
def base_u(seed, *, last="softmax", loss="categorical_crossentropy", optimizer="adam", **o):
    """A multi-layer network on sparse word counts with many classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 20, 1500)
    words = rng.uniform(size=(20, 300)) ** 6
    x = (rng.uniform(size=(1500, 300)) < 0.03 + 0.6 * words[y]).astype("float32")
    kernel, penalty = o.get("kernel"), o.get("penalty")

    def stack():
        options = {"kernel_initializer": kernel} if kernel else {}
        hidden = dense(128, "relu", kernel_regularizer=penalty, **options)
        return [hidden, layers.Dropout(0.5), dense(20, last)]

    build = sequential((300,), stack, optimizer, loss, ["accuracy"])
    return program(build, x, onehot(y), epochs=o.get("epochs", 3))


@case("U-R-l1", "reg.strong", family=SYN)
def _l1(seed):
    return base_u(seed, penalty="l1", epochs=10)


@case("U-R-ssign", "output.activation_loss", family=SYN)
def _softsign(seed):
    return base_u(seed, last="softsign")


@case("U-R-lr1", "lr.high", family=SYN)
def _rate_one(seed):
    return base_u(seed, optimizer=adam(1.0))


@case("U-R-hinge", "loss.task", family=SYN)
def _hinge(seed):
    return base_u(seed, loss="hinge")


@case("U-R-sgd", "lr.low", "fit.epochs", family=SYN)
def _slow(seed):
    return base_u(seed, optimizer=sgd(1e-3))


@case("U-R-ones", "init.constant", family=SYN, also=("init.scale",))
def _ones(seed):
    return base_u(seed, kernel="ones")


@case("U-R-noact", "loss.logits", family=SYN, also=("output.activation_loss",))
def _no_activation(seed):
    return base_u(seed, last=None)


@case("U-M-lr", "lr.low", family=SYN, also=("fit.epochs",))
def _adadelta(seed):
    return base_b(seed, optimizer=lambda: keras.optimizers.Adadelta(1e-3))


@case("U-M-init0", "init.constant", "act.dead", family=SYN)
def _zeros(seed):
    made = base_b(seed)

    def build():
        model = made.build()
        kernel = model.layers[0].kernel
        kernel.assign(keras.ops.zeros_like(kernel))
        return model

    return made.replace(build=build)


@case("U-C-1ep", "fit.epochs", family=SYN, also=("lr.low",))
def _one_epoch(seed):
    return base_b(seed, optimizer=adam(1e-3), epochs=1)


# --- AutoTrainer ---
@case("AT-G1", "grad.vanish", "act.dead", "lr.low", family=SYN)
def _deep_and_narrow(seed):
    x, y = blobs(seed)

    def stack():
        return [*(dense(5, "sigmoid") for _ in range(12)), dense(3, "softmax")]

    build = sequential((2,), stack, adam(1e-3), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x[:700] / 10, y[:700], epochs=20)


@case("AT-G2", "init.scale", "grad.explode", "lr.high", family=SYN, also=("loss.nan",))
def _exploding(seed):
    x, y = circles(seed)

    def stack():
        normal = keras.initializers.RandomNormal
        hidden = [
            dense(50, "relu", kernel_initializer=normal(stddev=2.0, seed=seed + i))
            for i in range(5)
        ]
        return [*hidden, dense(1, "sigmoid")]

    build = sequential((2,), stack, sgd(0.01), "binary_crossentropy", ["accuracy"])
    return program(build, x[:700], y[:700], epochs=20)


@case("AT-G3", "act.dead", "init.scale", "init.constant", "grad.vanish", family=SYN)
def _dying(seed):
    x, y = blobs(seed)

    def stack():
        uniform = keras.initializers.RandomUniform
        hidden = [
            dense(32, "relu", kernel_initializer=uniform(-1, 0, seed=seed + i)) for i in range(3)
        ]
        return [*hidden, dense(3, "softmax")]

    build = sequential((2,), stack, adam(1e-3), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x[:700] / 10, y[:700], epochs=20)


@case("AT-G4", "lr.high", "loss.oscillation", "act.dead", family=SYN)
def _swinging(seed):
    x, y = circles(seed)

    def stack():
        return [dense(32, "relu"), dense(32, "relu"), dense(1, "sigmoid")]

    build = sequential((2,), stack, sgd(8.0), "binary_crossentropy", ["accuracy"])
    return program(build, x[:700], y[:700], epochs=20)


@case("AT-G5", "lr.low", "fit.epochs", family=SYN)
def _crawling(seed):
    x, y = circles(seed)

    def stack():
        return [dense(32, "relu"), dense(32, "relu"), dense(1, "sigmoid")]

    build = sequential((2,), stack, sgd(1e-5), "binary_crossentropy", ["accuracy"])
    return program(build, x[:700], y[:700], epochs=20)


@case("AT-G6", "output.activation_loss", family=SYN, also=("act.dead",))
def _relu_head(seed):
    x, y = blobs(seed)

    def stack():
        hidden = [dense(50, "relu", kernel_initializer="he_uniform") for _ in range(4)]
        return [*hidden, dense(3, "relu")]

    build = sequential((2,), stack, adam(1e-4), "categorical_crossentropy", ["accuracy"])
    return program(build, x[:700] / 10, onehot(y[:700]), batch_size=256, epochs=100)


@case("AT-G7", "loss.task", family=SYN)
def _exclusive_yes_or_no(seed):
    x, y = blobs(seed)

    def stack():
        return [dense(32, "relu"), dense(3, "sigmoid")]

    build = sequential((2,), stack, sgd(1e-3), "binary_crossentropy", ["accuracy"])
    return program(build, x[:700] / 10, onehot(y[:700]), epochs=20)


@case("AT-G8", "data.scale_x", family=SYN, also=("lr.high",))
def _times_hundred(seed):
    x, y = circles(seed)

    def stack():
        return [dense(32, "tanh"), dense(32, "tanh"), dense(1, "sigmoid")]

    build = sequential((2,), stack, sgd(0.1), "binary_crossentropy", ["accuracy"])
    return program(build, x[:700] * 100, y[:700], epochs=20)


@case("TDC-09", "fit.overfit", "reg.none", family=SYN, also=("data.tiny",))
def _no_regularization(seed):
    x, y = classification(seed, 120, 60, informative=4)

    def stack():
        return [dense(256, "relu"), dense(256, "relu"), dense(1, "sigmoid")]

    build = sequential((60,), stack, adam(1e-3), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=60, validation_split=0.4)


@case("TDC-13", "data.imbalance", family=SYN)
def _few_of_each(seed):
    x, y = patterns(seed, 3000, 5, 8, 1, noise=0.95)
    share = np.array([1.0, 0.3, 0.05, 0.02, 0.02])
    keep = np.random.default_rng(seed).uniform(size=len(y)) < share[y]

    def stack():
        return [layers.Flatten(), dense(32, "relu"), dense(5, "softmax")]

    build = sequential((8, 8, 1), stack, sgd(0.02), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x[keep], y[keep], epochs=8)
