"""Synthetic faults after USI's and AutoTrainer's: one thing changed in a program that works."""

from benchmarks.programs import case
from benchmarks.programs.parts import (
    adam,
    blobs,
    circles,
    classification,
    dense,
    onehot,
    patterns,
    program,
    sequential,
    sgd,
)
from benchmarks.programs.seeds import base_b

import keras
import numpy as np
from keras import layers

SYN = "synthetic"


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
