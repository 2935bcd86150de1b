"""Short ways to write a program down: data, layers, models."""

from kerasdnn.diagnosis import Program

import keras
import numpy as np
from keras import layers
from sklearn import datasets


def sequential(shape, stack, optimizer, loss, metrics=None):
    """Returns a build function; `stack`, `optimizer` and `loss` are made anew by each call.

    Args:
        shape: shape of one input row.
        stack: function that returns the list of layers.
        optimizer: function that returns the optimizer, or its name.
        loss: name of a loss, or a function that returns one.
        metrics: list of names or None.
    """

    def build():
        model = keras.Sequential([keras.Input(shape), *stack()])
        model.compile(
            optimizer if isinstance(optimizer, str) else optimizer(),
            loss if isinstance(loss, str) else loss(),
            metrics=metrics,
        )
        return model

    return build


def program(build, x, y, **fit):
    """Returns a `Program`; `validation_data` may be among the arguments of fit."""
    return Program(build, np.asarray(x), np.asarray(y), fit=fit)


def dense(units, activation=None, **options):
    """Returns a Dense layer."""
    return layers.Dense(units, activation=activation, **options)


def adam(rate=1e-3, **options):
    """Returns a function that makes Adam."""
    return lambda: keras.optimizers.Adam(rate, **options)


def sgd(rate=0.01, **options):
    """Returns a function that makes SGD."""
    return lambda: keras.optimizers.SGD(rate, **options)


def rmsprop(rate=1e-3):
    """Returns a function that makes RMSprop."""
    return lambda: keras.optimizers.RMSprop(rate)


def classification(seed, rows, features, classes=2, shape=None, informative=None):
    """Returns rows of `make_classification`, float32, optionally reshaped."""
    informative = informative or min(features, max(2, min(20, features // 2)))
    x, y = datasets.make_classification(
        rows,
        features,
        n_classes=classes,
        n_informative=informative,
        n_redundant=min(2, features - informative),
        random_state=seed,
    )
    x = x.astype("float32")
    return (x.reshape(rows, *shape) if shape else x), y


def regression(seed, rows, features, targets=1, shape=None):
    """Returns rows of `make_regression`, with targets of some hundred."""
    x, y = datasets.make_regression(rows, features, n_targets=targets, random_state=seed)
    x = x.astype("float32")
    return (x.reshape(rows, *shape) if shape else x), y.astype("float32")


def onehot(y, classes=None):
    """Returns one-hot rows."""
    return keras.utils.to_categorical(y, classes)


def digits(images=False):
    """Returns the 1,797 digits of scikit-learn, pixels 0 to 1."""
    x, y = datasets.load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    return (x.reshape(-1, 8, 8, 1) if images else x), y


def patterns(seed, rows, classes, side=16, channels=3, noise=0.3, scale=1.0):
    """Returns images `(N, side, side, channels)` in which a bright square tells the class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    x = rng.uniform(0, noise, (rows, side, side, channels))
    grid = int(np.ceil(np.sqrt(classes)))
    cell = max(1, side // grid)
    for i, c in enumerate(y):
        r, k = divmod(int(c), grid)
        x[i, r * cell : (r + 1) * cell, k * cell : (k + 1) * cell] += 0.7 - noise / 2
    return (np.clip(x, 0, 1) * scale).astype("float32"), y


def circles(seed=1, rows=1000):
    """Returns two noisy circles."""
    return datasets.make_circles(n_samples=rows, noise=0.1, factor=0.5, random_state=seed)


def blobs(seed=2, rows=1000):
    """Returns three blobs."""
    return datasets.make_blobs(n_samples=rows, centers=3, cluster_std=2, random_state=seed)
