"""Healthy programs that look like faults; each would set off a published rule."""

from benchmarks.programs import case
from benchmarks.programs.mutations import base_u
from benchmarks.programs.parts import (
    adam,
    blobs,
    classification,
    dense,
    digits,
    patterns,
    program,
    rmsprop,
    sequential,
)
from benchmarks.programs.seeds import base_b, base_r

import keras
import numpy as np
from keras import layers
from sklearn import datasets

OK = "healthy"


def moons(seed, rows=600):
    """Returns two noisy half moons, z-scored."""
    x, y = datasets.make_moons(rows, noise=0.1, random_state=seed)
    return (x - x.mean(0)) / x.std(0), y


def binary_mlp(optimizer="adam", hidden=("relu", "relu"), width=32, head="sigmoid"):
    """Returns a stack builder for a yes or no."""
    return lambda: [*(dense(width, a) for a in hidden), dense(1, head)]


@case("H1-R", family=OK)
def _regression_base(seed):
    return base_r(seed)


@case("H1-B", family=OK)
def _image_base(seed):
    return base_b(seed)


@case("H1-U", family=OK)
def _text_base(seed):
    return base_u(seed, epochs=6)


@case("H1-twin-one-softmax", family=OK)
def _twin_one_softmax(seed):
    x, y = classification(seed, 600, 20)
    build = sequential((20,), binary_mlp(), "adam", "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=20)


@case("H1-twin-convolution", family=OK)
def _twin_convolution(seed):
    x, y = patterns(seed, 500, 4)

    def stack():
        found = []
        for width in (16, 32):
            found += [layers.Conv2D(width, 3, padding="same", activation="relu")]
            found += [layers.MaxPooling2D()]
        return [
            *found,
            layers.Flatten(),
            dense(64, "relu"),
            layers.Dropout(0.5),
            dense(4, "softmax"),
        ]

    build = sequential(
        (16, 16, 3), stack, rmsprop(), "sparse_categorical_crossentropy", ["accuracy"]
    )
    return program(build, x, y, epochs=6)


@case("H1-twin-overfits", family=OK)
def _twin_that_overfits(seed):
    x, y = classification(seed, 300, 600, shape=(600, 1))

    def stack():
        front = [
            layers.Conv1D(20, 4, activation="relu"),
            layers.MaxPooling1D(),
            layers.Dropout(0.3),
        ]
        return [*front, layers.Flatten(), dense(50, "relu"), dense(1, "sigmoid")]

    build = sequential((600, 1), stack, "adam", "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=15)


@case("H1-twin-five-x", family=OK)
def _twin_five_x(seed):
    x = np.linspace(1, 2, 100)[:, None]
    build = sequential((1,), lambda: [dense(1)], rmsprop(0.05), "mse")
    return program(build, x, 5 * x, epochs=200)


@case("H2", family=OK)
def _moons_beyond_one(seed):
    x, y = moons(seed)
    build = sequential((2,), binary_mlp(), adam(3e-3), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=30)


@case("H3-rescaling", family=OK)
def _rescaled_pixels(seed):
    x, y = patterns(seed, 500, 4, scale=255)

    def stack():
        front = [layers.Rescaling(1 / 255), layers.Conv2D(16, 3, activation="relu")]
        return [*front, layers.MaxPooling2D(), layers.Flatten(), dense(4, "softmax")]

    build = sequential((16, 16, 3), stack, "adam", "sparse_categorical_crossentropy")
    return program(build, x, y, epochs=6)


@case("H3-normalization", family=OK)
def _adapted(seed):
    made = base_r(seed, scale_x=False)

    def build():
        norm = layers.Normalization()
        norm.adapt(made.x.astype("float32"))
        model = keras.Sequential([keras.Input((9,)), norm, dense(64, "relu"), dense(1)])
        model.compile("adam", "mse")
        return model

    return made.replace(build=build, fit={"epochs": 150})


@case("H3-batch-norm", family=OK)
def _norm_first(seed):
    made = base_r(seed, scale_x=False)

    def stack():
        return [layers.BatchNormalization(), dense(64, "relu"), dense(64, "relu"), dense(1)]

    return made.replace(build=sequential((9,), stack, adam(3e-3), "mse"), fit={"epochs": 60})


@case("H4", family=OK)
def _token_ids(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(100, 20_000, (600, 20))
    y = rng.integers(0, 2, 600)
    x[:, :5] = np.where(
        y[:, None] == 1, rng.integers(1, 50, (600, 5)), rng.integers(50, 99, (600, 5))
    )

    def stack():
        return [layers.Embedding(20_000, 16), layers.GlobalAveragePooling1D(), dense(1, "sigmoid")]

    build = sequential((20,), stack, adam(0.01), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=10)


@case("H5", family=OK)
def _logits(seed):
    return base_b(seed, optimizer=adam(2e-3))


@case("H6", family=OK)
def _several_labels(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(800, 12))
    y = (x @ rng.normal(size=(12, 5)) > 0).astype(int)

    def stack():
        return [dense(64, "relu"), dense(5, "sigmoid")]

    build = sequential((12,), stack, adam(5e-3), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=25)


@case("H8-softplus", family=OK)
def _positive_targets(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(500, 4))
    y = np.exp(0.5 * x[:, 0]) + 0.3 * x[:, 1] ** 2

    def stack():
        return [dense(64, "relu"), dense(64, "relu"), dense(1, "softplus")]

    return program(sequential((4,), stack, adam(5e-3), "mse"), x, y, epochs=40)


@case("H9", family=OK)
def _sparse_units(seed):
    x, y = digits()

    def stack():
        bias = keras.initializers.Constant(-0.3)
        return [dense(256, "relu", bias_initializer=bias), dense(10, "softmax")]

    build = sequential((64,), stack, adam(3e-3), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=8)


@case("H10", family=OK)
def _frozen_front(seed):
    x, y = digits()

    def build():
        front = keras.Sequential([keras.Input((64,)), dense(300, "relu")], name="front")
        front.trainable = False
        model = keras.Sequential([keras.Input((64,)), front, dense(10, "softmax")])
        model.compile(adam(5e-3)(), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return program(build, x, y, epochs=15)


@case("H11", family=OK)
def _converged(seed):
    x, y = blobs(seed, 300)
    x = (x - x.mean(0)) / x.std(0)
    x[:, 0] += 6 * (y == 1)
    x[:, 1] += 6 * (y == 2)

    def stack():
        return [dense(32, "relu"), dense(3, "softmax")]

    build = sequential((2,), stack, adam(0.02), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=60)


@case("H12", family=OK)
def _warm_up_and_cosine(seed):
    x, y = digits()

    def stack():
        return [dense(64, "relu"), dense(10, "softmax")]

    def optimizer():
        cosine = keras.optimizers.schedules.CosineDecay(
            0.0, 350, alpha=0.0, warmup_target=5e-3, warmup_steps=50
        )
        return keras.optimizers.Adam(cosine)

    build = sequential((64,), stack, optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=8)


@case("H13", family=OK)
def _strong_dropout(seed):
    x, y = digits()

    def stack():
        return [dense(256, "relu"), layers.Dropout(0.6), dense(10, "softmax")]

    build = sequential((64,), stack, adam(2e-3), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=8, validation_split=0.2)
