"""Augmentation of signals: what a slow sensor drift or another start would do to them."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class RandomDrift(keras.layers.Layer):
    """Adds a random straight line to every sample.

    `x[t] + a + b * t`, t from -1 to 1 over the signal; a and b are drawn from normal distributions
    for each sample, the same for all its channels. With `training=False` the input passes.

    Args:
        offset: float, standard deviation of a. Default 1.0.
        slope: float, standard deviation of b. Default 1.0.
        seed: int or None.

    Input shape: `(B, T, C)`. Output shape: the same.

    Raises:
        ValueError: a negative deviation.

    Example:
    >>> layer = RandomDrift(offset=0.0, slope=1.0, seed=0)
    >>> line = keras.ops.convert_to_numpy(layer(np.zeros((1, 5, 1))))[0, :, 0]
    >>> bool(np.allclose(np.diff(line), line[-1] / 2)), bool(line[2] == 0)
    (True, True)

    References:
        Greydanus and Kobak (2020), Scaling Down Deep Learning with MNIST-1D, arXiv:2011.14439
    """

    def __init__(self, offset=1.0, slope=1.0, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        if offset < 0 or slope < 0:
            raise ValueError(
                f"RandomDrift expects deviations of 0 or more; received offset={offset} and "
                f"slope={slope}. 0 switches one off."
            )
        self.offset, self.slope, self.seed = float(offset), float(slope), seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, x, training=True):
        x = ops.cast(x, self.compute_dtype)
        if not training:
            return x
        draws = keras.random.normal((2, ops.shape(x)[0], 1, 1), seed=self.seed_generator)
        t = ops.linspace(-1.0, 1.0, x.shape[1])[None, :, None]  # (1, T, 1)
        line = self.offset * draws[0] + self.slope * draws[1] * t  # (B, T, 1)
        return x + ops.cast(line, x.dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "offset": self.offset,
            "slope": self.slope,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="kerasdnn")
class RandomRoll(keras.layers.Layer):
    """Shifts every sample along its time by a random number of steps; what leaves enters again.

    With `training=False` the input passes.

    Args:
        steps: int of 0 or more, the largest shift to either side.
        seed: int or None.

    Input shape: `(B, T, C)`. Output shape: the same.

    Raises:
        ValueError: `steps` that is no whole number of 0 or more.

    Example:
    >>> x = np.arange(4.0).reshape(1, 4, 1)
    >>> rolled = keras.ops.convert_to_numpy(RandomRoll(3, seed=0)(x))[0, :, 0]
    >>> sorted(rolled.tolist()), bool(np.all(np.diff(np.append(rolled, rolled[0])) % 4 == 1))
    ([0.0, 1.0, 2.0, 3.0], True)
    """

    def __init__(self, steps, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(steps, int) or steps < 0:
            raise ValueError(
                f"RandomRoll expects steps to be a whole number of 0 or more; received {steps!r}. "
                "It is the largest shift to either side."
            )
        self.steps, self.seed = steps, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=True):
        x = ops.cast(x, self.compute_dtype)
        if not training or not self.steps:
            return x
        shape = (ops.shape(x)[0], 1)
        shift = keras.random.randint(shape, -self.steps, self.steps + 1, seed=self.seed_generator)
        source = (ops.arange(x.shape[1], dtype="int32")[None, :] - shift) % x.shape[1]  # (B, T)
        return ops.take_along_axis(x, source[:, :, None], axis=1)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "steps": self.steps, "seed": self.seed}
