"""Programs of the kinds that forums show, which work: written before the doctor saw them."""

from benchmarks.programs import case
from benchmarks.programs.forum import customers, houses
from benchmarks.programs.forum_images import convolutions
from benchmarks.programs.parts import adam, dense, digits, program, sequential
from kerasdnn.diagnosis import Program

import keras
import numpy as np
from keras import layers

WORKS = "forum, healthy"


@case("works-sine-lstm", family=WORKS)
def _sine_lstm(seed):
    t = np.arange(700) / 15 + seed
    wave = np.sin(t) + 0.3 * np.sin(2.7 * t)
    x = np.stack([wave[i : i + 16] for i in range(684)])[..., None]
    build = sequential((16, 1), lambda: [layers.LSTM(24), dense(1)], adam(0.01), "mse")
    return program(build, x, wave[16:], epochs=15, validation_split=0.2)


@case("works-bidirectional", family=WORKS)
def _bidirectional(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 400, (600, 15))
    y = (np.isin(x, np.arange(1, 30)).sum(1) > 0).astype(int)

    def stack():
        embedding = layers.Embedding(400, 12, mask_zero=True)
        return [embedding, layers.Bidirectional(layers.LSTM(12)), dense(1, "sigmoid")]

    build = sequential((15,), stack, adam(0.01), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=14)


@case("works-two-inputs", family=WORKS)
def _two_inputs(seed):
    rng = np.random.default_rng(seed)
    shop, numbers = rng.integers(0, 40, (900, 1)), rng.normal(size=(900, 5)).astype("float32")
    effect = rng.normal(size=40)
    y = effect[shop[:, 0]] + numbers[:, 0] - 0.5 * numbers[:, 1] ** 2

    def build():
        first, second = keras.Input((1,), dtype="int32"), keras.Input((5,))
        h = layers.Flatten()(layers.Embedding(40, 6)(first))
        h = layers.Concatenate()([h, second])
        h = dense(64, "relu")(h)
        model = keras.Model([first, second], dense(1)(h))
        model.compile(keras.optimizers.Adam(0.01), "mse")
        return model

    return Program(build, [shop, numbers], y.astype("float32"), fit={"epochs": 20})


@case("works-segmentation", family=WORKS)
def _segmentation(seed):
    x, _ = patterns_with_mask(seed)
    images, mask = x

    def build():
        inputs = keras.Input((16, 16, 1))
        a = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
        b = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D()(a))
        c = layers.Concatenate()([layers.UpSampling2D()(b), a])
        model = keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(c))
        model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
        return model

    return program(build, images, mask, epochs=10)


def patterns_with_mask(seed, rows=240):
    """Returns images with a bright disc, and where it is."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(16), np.arange(16)), -1)
    centers, size = rng.uniform(4, 12, (rows, 1, 1, 2)), rng.uniform(2, 4, (rows, 1, 1))
    mask = (np.linalg.norm(grid[None] - centers, axis=-1) < size)[..., None].astype("float32")
    images = (mask * 0.6 + rng.uniform(0, 0.4, mask.shape)).astype("float32")
    return (images, mask), None


@case("works-scaled-tanh", family=WORKS)
def _scaled_tanh(seed):
    x, y = houses(seed)
    x = (x - x.mean(0)) / x.std(0)
    y = 1.8 * (y - y.min()) / np.ptp(y) - 0.9

    def stack():
        return [dense(64, "relu"), dense(64, "relu"), dense(1, "tanh")]

    build = sequential((4,), stack, adam(3e-3), lambda: keras.losses.Huber())
    return program(build, x, y, epochs=40, validation_split=0.15)


@case("works-quantile", family=WORKS)
def _quantile(seed):
    x, y = houses(seed)
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()

    def loss():
        def pinball(y_true, y_pred):
            gap = y_true - y_pred
            return keras.ops.mean(keras.ops.maximum(0.9 * gap, -0.1 * gap), axis=-1)

        return pinball

    stack = lambda: [dense(64, "relu"), dense(1)]  # noqa: E731
    return program(sequential((4,), stack, adam(5e-3), loss), x, y[:, None], epochs=30)


@case("works-data-set", family=WORKS)
def _data_set(seed):
    import tensorflow as tf

    x, y = digits(images=True)
    data = tf.data.Dataset.from_tensor_slices((x, keras.utils.to_categorical(y)))
    data = data.shuffle(2000, seed=seed).batch(64).prefetch(2)

    def stack():
        return [
            layers.RandomTranslation(0.1, 0.1),
            *convolutions(16, 32),
            layers.Dropout(0.3),
            dense(10, "softmax"),
        ]

    def loss():
        return keras.losses.CategoricalCrossentropy(label_smoothing=0.1)

    build = sequential((8, 8, 1), stack, adam(5e-3), loss, ["accuracy"])
    return Program(build, data, fit={"epochs": 10})


@case("works-sparse-code", family=WORKS)
def _sparse_code(seed):
    x, _ = digits()

    def stack():
        return [
            dense(96, "relu", activity_regularizer=keras.regularizers.L1(1e-6)),
            dense(64, "sigmoid"),
        ]

    build = sequential((64,), stack, adam(5e-3), "binary_crossentropy")
    return program(build, x, x, epochs=20)


@case("works-tagger", family=WORKS)
def _tagger(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 30, (500, 12))
    y = (x % 4)[..., None]

    def stack():
        embedding = layers.Embedding(30, 16, mask_zero=True)
        return [embedding, layers.GRU(24, return_sequences=True), dense(4, "softmax")]

    build = sequential((12,), stack, adam(0.01), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=10)


@case("works-rare-class", family=WORKS)
def _rare_class(seed):
    x, y = customers(seed, 1500, 0.06)

    def stack():
        return [dense(64, "relu"), dense(64, "relu"), dense(1, "sigmoid")]

    build = sequential((8,), stack, adam(5e-3), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=40)
