"""Regularization of residual branches: DropPath and LayerScale."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class DropPath(keras.layers.Layer):
    """Drops the whole residual branch of randomly chosen samples.

    Each sample keeps its branch with probability `1 - rate`; kept branches are scaled by
    `1 / (1 - rate)`, so the expectation stays. With `training=False` the input passes unchanged.

    Args:
        rate: float in [0, 1), the share of samples whose branch is dropped.
        seed: int or None.

    Input shape: `(B, ...)`, any rank. Output shape: the same.

    Raises:
        ValueError: if `rate` is out of bounds.

    Example:
    >>> layer = DropPath(0.5, seed=0)
    >>> branch = layer(keras.ops.ones((100, 3)), training=True)
    >>> sorted(set(keras.ops.convert_to_numpy(branch).ravel().tolist()))
    [0.0, 2.0]

    References:
        Huang et al. (2016), Deep Networks with Stochastic Depth, arXiv:1603.09382
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0.0 <= rate < 1.0:
            raise ValueError(
                f"DropPath expects rate in [0, 1); received {rate}. It is the share of samples "
                "whose branch is dropped."
            )
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        # One draw per sample, shared by everything else.
        noise_shape = (ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)
        return keras.random.dropout(inputs, self.rate, noise_shape, seed=self.seed_generator)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="kerasdnn")
class LayerScale(keras.layers.Layer):
    """Multiplies every channel of a residual branch by a learned factor that starts near zero.

    With `x + LayerScale()(branch(x))` a deep network starts close to the identity and each branch
    grows as far as it helps.

    Args:
        init: float, the factors' first value. The paper takes 0.1 up to 18 layers, 1e-5 up to 24
            and 1e-6 beyond.

    Input shape: `(B, ..., C)`, any rank from 2. Output shape: the same.

    Example:
    >>> layer = LayerScale(0.5)
    >>> keras.ops.convert_to_numpy(layer(keras.ops.ones((1, 3)))).tolist()
    [[0.5, 0.5, 0.5]]

    References:
        Touvron et al. (2021), Going Deeper with Image Transformers, arXiv:2103.17239
    """

    def __init__(self, init=1e-4, **kwargs):
        super().__init__(**kwargs)
        self.init = init
        self.supports_masking = True

    def build(self, input_shape):
        self.gamma = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.init),
            name="gamma",
        )

    def call(self, inputs):
        return inputs * self.gamma  # (B, ..., C)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "init": self.init}
