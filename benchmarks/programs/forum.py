"""Programs as people ask about them in forums, on tables: written before the doctor saw them."""

from benchmarks.programs import case
from benchmarks.programs.parts import adam, circles, dense, digits, onehot, program, sequential, sgd

import keras
import numpy as np
from keras import layers
from sklearn import datasets

ASKED = "forum"


def houses(seed, rows=800):
    """Returns area, rooms, year of building, distance and the price in full."""
    rng = np.random.default_rng(seed)
    area, rooms = rng.uniform(40, 320, rows), rng.integers(1, 8, rows)
    year, way = rng.integers(1900, 2021, rows), rng.exponential(8, rows)
    price = 2400 * area + 15_000 * rooms + 900 * (year - 1900) - 4000 * way
    price = price * np.exp(rng.normal(0, 0.08, rows)) + 30_000
    return np.column_stack([area, rooms, year, way]), price


def customers(seed, rows=900, share=0.3):
    """Returns eight z-scored columns and whether the customer left."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 8))
    score = 1.5 * x[:, 0] - x[:, 1] * x[:, 2] + np.abs(x[:, 3]) + rng.normal(0, 0.4, rows)
    return x, (score > np.quantile(score, 1 - share)).astype(int)


@case("forum-house-price", "data.scale_y", "data.scale_x", family=ASKED, also=("lr.low",))
def _house_price(seed):
    x, y = houses(seed)

    def stack():
        return [dense(64, "relu"), dense(64, "relu"), dense(1)]

    build = sequential((4,), stack, "adam", "mean_squared_error", ["mae"])
    return program(build, x, y, epochs=50, validation_split=0.2)


@case("forum-churn", "output.softmax_one_unit", family=ASKED, also=("data.imbalance",))
def _churn(seed):
    x, y = customers(seed)

    def build():
        inputs = keras.Input((8,))
        h = layers.Activation("relu")(dense(16)(inputs))
        model = keras.Model(inputs, layers.Softmax()(dense(1)(h)))
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        return model

    return program(build, x, y, epochs=20, validation_split=0.2)


@case("forum-wine-from-one", "data.labels", "output.units", family=ASKED, also=("data.scale_x",))
def _wine_from_one(seed):
    x, y = datasets.load_wine(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    order = np.random.default_rng(seed).permutation(len(x))

    def stack():
        return [dense(32, "relu"), dense(3, "softmax")]

    build = sequential((13,), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x[order], y[order] + 1, epochs=40)


@case("forum-adam-half", "lr.high", "act.dead", "loss.oscillation", family=ASKED)
def _adam_half(seed):
    x, y = digits()

    def stack():
        return [dense(128, "relu"), dense(64, "relu"), dense(10, "softmax")]

    build = sequential((64,), stack, adam(0.5), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=10, validation_split=0.1)


@case("forum-shuffled-apart", "data.labels", family=ASKED, also=("fit.overfit",))
def _shuffled_apart(seed):
    x, y = customers(seed, 700, 0.5)
    x = x[np.random.default_rng(seed + 1).permutation(len(x))]

    def stack():
        return [dense(64, "relu"), dense(64, "relu"), dense(1, "sigmoid")]

    build = sequential((8,), stack, adam(3e-3), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=40, validation_split=0.2)


@case("forum-temperature-relu", "output.range", "act.dead", family=ASKED)
def _temperature_relu(seed):
    rng = np.random.default_rng(seed)
    day = rng.integers(0, 365, 900)
    x = np.column_stack([np.sin(day / 58), np.cos(day / 58), rng.normal(size=900)])
    y = 8 - 12 * x[:, 1] + 3 * x[:, 2] + rng.normal(0, 1, 900)

    def stack():
        return [dense(32, "relu"), dense(32, "relu"), dense(1, "relu")]

    return program(sequential((3,), stack, "adam", "mse", ["mae"]), x, y, epochs=40)


@case("forum-square-error-classes", "loss.task", "lr.low", "fit.epochs", family=ASKED)
def _square_error_classes(seed):
    x, y = digits()

    def stack():
        return [dense(64, "relu"), dense(10, "softmax")]

    build = sequential((64,), stack, sgd(0.01), "mean_squared_error", ["accuracy"])
    return program(build, x, onehot(y), epochs=15, validation_split=0.2)


@case("forum-fraud", "data.imbalance", family=ASKED)
def _fraud(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4000, 10))
    y = np.zeros(4000, int)
    y[:80] = 1
    x[:80, :4] += 0.9
    order = rng.permutation(4000)

    def stack():
        return [dense(16, "relu"), layers.Dropout(0.2), dense(1, "sigmoid")]

    build = sequential((10,), stack, "adam", "binary_crossentropy", ["accuracy"])
    return program(build, x[order], y[order], batch_size=64, epochs=15, validation_split=0.2)


@case("forum-missing-values", "data.nan", family=ASKED)
def _missing_values(seed):
    x, y = customers(seed)
    x[np.random.default_rng(seed).uniform(size=x.shape) < 0.01] = np.nan

    def stack():
        return [dense(32, "relu"), dense(1, "sigmoid")]

    build = sequential((8,), stack, "adam", "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=10)


@case("forum-sorted-iris", "data.order", family=ASKED, also=("data.tiny",))
def _sorted_iris(seed):
    x, y = datasets.load_iris(return_X_y=True)

    def stack():
        return [dense(16, "relu"), dense(16, "relu"), dense(3, "softmax")]

    build = sequential((4,), stack, adam(0.01), "categorical_crossentropy", ["accuracy"])
    return program(build, x, onehot(y), batch_size=16, epochs=40, validation_split=0.3)


@case("forum-dropout-nine", "reg.strong", family=ASKED)
def _dropout_nine(seed):
    x, y = digits()

    def stack():
        found = []
        for width in (128, 64):
            found += [dense(width, "relu"), layers.Dropout(0.9)]
        return [*found, dense(10, "softmax")]

    build = sequential((64,), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=12, validation_split=0.2)


@case("forum-no-activation", "act.linear", family=ASKED)
def _no_activation(seed):
    x, y = circles(seed)

    def stack():
        return [dense(64), dense(64), dense(32), dense(1, "sigmoid")]

    build = sequential((2,), stack, adam(0.01), "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=40)


@case("forum-deep-sigmoid", "grad.vanish", "act.saturated", "lr.low", family=ASKED)
def _deep_sigmoid(seed):
    x, y = digits()

    def stack():
        return [*(dense(32, "sigmoid") for _ in range(9)), dense(10, "softmax")]

    build = sequential((64,), stack, sgd(0.1), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=20)


@case("forum-line-diverges", "lr.high", "data.scale_x", family=ASKED, also=("loss.nan",))
def _line_diverges(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 100, (200, 1))
    y = 3 * x + 2 + rng.normal(0, 1, (200, 1))
    build = sequential((1,), lambda: [dense(1)], sgd(0.01), "mse")
    return program(build, x, y, epochs=100)


@case("forum-all-zeros", "init.constant", family=ASKED)
def _all_zeros(seed):
    x, y = digits()

    def stack():
        zeros = {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
        return [dense(64, "relu", **zeros), dense(32, "relu", **zeros), dense(10, "softmax")]

    build = sequential((64,), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=10)


@case("forum-age-as-class", "loss.task", "output.units", family=ASKED)
def _age_as_class(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(600, 6))
    y = np.clip(45 + 12 * x[:, 0] - 8 * x[:, 1] + rng.normal(0, 3, 600), 18, 90).round()

    def stack():
        return [dense(32, "relu"), dense(1)]

    build = sequential((6,), stack, "adam", "categorical_crossentropy", ["accuracy"])
    return program(build, x, y[:, None], epochs=20)


@case("forum-plus-minus-one", "data.labels", "output.range", "loss.task", family=ASKED)
def _plus_minus_one(seed):
    x, y = customers(seed, 700, 0.5)

    def stack():
        return [dense(32, "relu"), dense(1, "sigmoid")]

    build = sequential((8,), stack, "adam", "binary_crossentropy", ["accuracy"])
    return program(build, x, 2 * y - 1, epochs=20)


@case("forum-stops-at-once", "callbacks.early_stopping", "fit.epochs", family=ASKED)
def _stops_at_once(seed):
    x, y = digits()

    def stack():
        return [dense(32, "relu"), dense(10, "softmax")]

    build = sequential((64,), stack, "adam", "sparse_categorical_crossentropy", ["accuracy"])
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", mode="max", patience=1)
    return program(build, x, y, batch_size=128, epochs=100, validation_split=0.2, callbacks=[stop])


@case("forum-narrow", "fit.underfit", family=ASKED, also=("lr.low", "fit.epochs"))
def _narrow(seed):
    x, y = digits()

    def stack():
        return [dense(32, "relu"), dense(1, "relu"), dense(10, "softmax")]

    build = sequential((64,), stack, adam(3e-3), "sparse_categorical_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=25)


@case("forum-clipped-to-nothing", "lr.low", "grad.clipped", family=ASKED, also=("fit.epochs",))
def _clipped_to_nothing(seed):
    x, y = customers(seed, 800, 0.5)

    def stack():
        return [dense(32, "relu"), dense(32, "relu"), dense(1, "sigmoid")]

    optimizer = sgd(0.05, clipvalue=1e-5)
    build = sequential((8,), stack, optimizer, "binary_crossentropy", ["accuracy"])
    return program(build, x, y, epochs=30)


@case("forum-own-error", "output.broadcast", family=ASKED)
def _own_error(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(600, 5))
    y = x[:, 0] - 2 * x[:, 1] * x[:, 2]

    def stack():
        return [dense(64, "relu"), dense(64, "relu"), dense(1)]

    def error():
        def rmse(y_true, y_pred):
            flat = keras.ops.reshape(y_true, (-1,))
            return keras.ops.sqrt(keras.ops.mean(keras.ops.square(flat - y_pred)))

        return rmse

    return program(sequential((5,), stack, adam(3e-3), error), x, y, epochs=40)
