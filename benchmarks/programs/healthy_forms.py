"""More healthy programs that look like faults: unusual losses, optimizers, data and models."""

from benchmarks.programs import case
from benchmarks.programs.healthy import binary_mlp, moons
from benchmarks.programs.parts import (
    adam,
    circles,
    dense,
    digits,
    onehot,
    program,
    sequential,
    sgd,
)
from kerasdnn.diagnosis import Program

import keras
import numpy as np
from keras import layers
from sklearn import datasets

OK = "healthy"


@case("H14", family=OK)
def _below_zero(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, 6))
    y = x @ rng.normal(size=(6, 4))

    def stack():
        return [dense(32, "relu"), dense(4)]

    return program(sequential((6,), stack, adam(5e-3), "cosine_similarity"), x, y, epochs=25)


@case("H15", family=OK)
def _noisy_labels(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1000, 5))
    y = (x[:, 0] > 0).astype(int)
    flip = rng.uniform(size=1000) < 0.3
    y[flip] = 1 - y[flip]
    build = sequential((5,), binary_mlp(hidden=("relu",), width=8), "adam", "binary_crossentropy")
    return program(build, x, y, epochs=30)


@case("H16", family=OK)
def _small_batches(seed):
    x, y = moons(seed, 400)
    build = sequential((2,), binary_mlp(), sgd(0.05), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, batch_size=4, epochs=20)


@case("H17", family=OK)
def _weighted_imbalance(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1200, 4))
    y = np.zeros(1200, int)
    y[:57] = 1
    x[:57] += 2.5
    order = rng.permutation(1200)
    build = sequential((4,), binary_mlp(hidden=("relu",)), adam(5e-3), "binary_crossentropy")
    return program(build, x[order], y[order], epochs=15, class_weight={0: 0.525, 1: 10.5})


@case("H18-residual", family=OK)
def _high_rate_with_norm(seed):
    x, y = digits(images=True)

    def build():
        inputs = keras.Input((8, 8, 1))
        h = layers.Conv2D(16, 3, padding="same", use_bias=False)(inputs)
        for _ in range(2):
            f = layers.Conv2D(16, 3, padding="same", use_bias=False)(h)
            f = layers.Activation("relu")(layers.BatchNormalization()(f))
            f = layers.Conv2D(16, 3, padding="same", use_bias=False)(f)
            f = layers.BatchNormalization(gamma_initializer="zeros")(f)
            h = layers.Activation("relu")(layers.Add()([h, f]))
        outputs = dense(10)(layers.GlobalAveragePooling2D()(h))
        model = keras.Model(inputs, outputs)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
        return model

    return program(build, x, y, batch_size=64, epochs=6)


@case("H18-adam", family=OK)
def _fast_adam_with_norm(seed):
    x, y = circles(seed)

    def stack():
        norm = layers.BatchNormalization
        return [dense(32, "relu"), norm(), dense(32, "relu"), norm(), dense(1, "sigmoid")]

    build = sequential((2,), stack, adam(3e-2), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=10)


class Adversaries(keras.Model):
    """A tiny adversarial pair on numbers, with a loss of its own."""

    def __init__(self):
        super().__init__()
        self.g = keras.Sequential([dense(16, "relu"), dense(2)])
        self.d = keras.Sequential([dense(16, "relu"), dense(1)])
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x, training=False):
        noise = keras.random.normal((keras.ops.shape(x)[0], 4), seed=self.seeds)
        fake = self.g(noise)
        return keras.ops.concatenate([self.d(x), self.d(fake)], axis=-1)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        real, fake = y_pred[:, 0], y_pred[:, 1]
        soft = keras.ops.softplus
        return keras.ops.mean(soft(-real) + soft(fake)) + 0.01 * keras.ops.mean(fake**2)


@case("H19", family=OK)
def _adversarial(seed):
    x, _ = moons(seed, 256)

    def build():
        model = Adversaries()
        model.compile(keras.optimizers.Adam(1e-3))
        model(x[:2].astype("float32"))
        return model

    return Program(build, x.astype("float32"), fit={"epochs": 5})


class Stepper(keras.Model):
    """A subclass with two outputs and its own way through them."""

    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = dense(32, "relu"), dense(1, "sigmoid"), dense(1)

    def call(self, x):
        h = self.body(x)
        return {"a": self.a(h), "b": self.b(h)}


@case("H20-two-outputs", family=OK)
def _two_outputs(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(500, 4)).astype("float32")
    y = {"a": (x[:, 0] > 0).astype("float32")[:, None], "b": x[:, 1:2] + x[:, 2:3]}

    def build():
        model = Stepper()
        losses = {"a": "binary_crossentropy", "b": "mse"}
        model.compile(keras.optimizers.Adam(0.01), losses)
        return model

    return Program(build, x, y, fit={"epochs": 15})


class Sequence(keras.utils.PyDataset):
    """Batches of another size at the end."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return -(-len(self.x) // 48)

    def __getitem__(self, index):
        part = slice(index * 48, (index + 1) * 48)
        return self.x[part], self.y[part]


@case("H20-py-dataset", family=OK)
def _batches(seed):
    x, y = moons(seed)
    build = sequential((2,), binary_mlp(), adam(0.01), "binary_crossentropy", ["accuracy"])
    return Program(build, Sequence(x, y), fit={"epochs": 15})


@case("H21", family=OK)
def _zeros_and_ones(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, 6, 3)).astype("float32")
    y = (x[:, :, 0].sum(1) > 0).astype(int)

    def stack():
        return [layers.LSTM(16), layers.LayerNormalization(), dense(1, "sigmoid")]

    build = sequential((6, 3), stack, adam(0.01), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=20)


@case("H22-gelu", family=OK)
def _gelu(seed):
    x, y = moons(seed)
    stack = binary_mlp(hidden=("gelu", "silu"))
    build = sequential((2,), stack, adam(5e-3), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=30)


@case("H22-leaky", family=OK)
def _leaky(seed):
    x, y = moons(seed)

    def stack():
        leaky = layers.LeakyReLU
        return [dense(32), leaky(), dense(32), leaky(), dense(1, "sigmoid")]

    build = sequential((2,), stack, adam(5e-3), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=30)


@case("H23", family=OK)
def _xor(seed):
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    y = np.array([0, 1, 1, 0], "float32")
    build = sequential((2,), binary_mlp(hidden=("tanh",), width=8), sgd(0.5), "binary_crossentropy")
    return program(build, x, y, batch_size=1, epochs=400)


@case("H25-autoencoder", family=OK)
def _autoencoder(seed):
    x, _ = digits()

    def stack():
        return [dense(64, "relu"), dense(32, "relu"), dense(64, "relu"), dense(64, "sigmoid")]

    return program(sequential((64,), stack, adam(3e-3), "mse"), x, x, epochs=15)


@case("H26-linear-model", family=OK)
def _logistic(seed):
    x, y = datasets.load_breast_cancer(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    build = sequential((30,), lambda: [dense(1, "sigmoid")], adam(0.02), "binary_crossentropy")
    return program(build, x, y, epochs=20)


@case("H27-two-softmax", family=OK)
def _two_units(seed):
    x, y = moons(seed)

    def stack():
        return [dense(32, "relu"), dense(32, "relu"), dense(2, "softmax")]

    build = sequential((2,), stack, adam(5e-3), "categorical_crossentropy", ["accuracy"])
    return program(build, x, onehot(y), epochs=30, validation_split=0.2)


@case("H28-raw-pixels-learn", family=OK)
def _raw_pixels_that_learn(seed):
    x, y = digits()

    def stack():
        return [dense(64, "relu"), dense(10, "softmax")]

    build = sequential((64,), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x * 16, y, epochs=12)


@case("H24-59278771", family=OK)
def _sigmoids_on_iris(seed):
    x, y = datasets.load_iris(return_X_y=True)

    def stack():
        normal = {"kernel_initializer": "random_normal"}
        return [dense(4, "relu", **normal), dense(3, "sigmoid", **normal)]

    build = sequential((4,), stack, "adam", "categorical_crossentropy", ["accuracy"])
    return program(build, x, onehot(y), batch_size=5, epochs=200)
