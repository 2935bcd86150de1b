"""Activations that carry weights: a Swish that learns its slope, and the gate of modern MLPs."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class Swish(keras.layers.Layer):
    """`x * sigmoid(beta * x)` with one learnable beta.

    With beta 1 it is SiLU, with a large beta it tends to ReLU, with beta 0 it is `x / 2`.

    Args:
        beta: float, where beta starts. Defaults to 1.0.

    Input shape: `(B, ...)`, any rank. Output shape: the same.

    Example:
    >>> layer = Swish()
    >>> keras.ops.convert_to_numpy(layer(np.zeros((1, 3)))).tolist()
    [[0.0, 0.0, 0.0]]

    References:
        Ramachandran, Zoph, Le (2017), Searching for Activation Functions, arXiv:1710.05941
    """

    def __init__(self, beta=1.0, **kwargs):
        super().__init__(**kwargs)
        self.initial_beta = float(beta)
        self.supports_masking = True

    def build(self, input_shape):
        # Not autocast: the gradient of beta is a sum over the whole tensor, too long for bfloat16.
        self.beta = self.add_weight(
            name="beta",
            shape=(),
            initializer=keras.initializers.Constant(self.initial_beta),
            autocast=False,
        )

    def call(self, x):
        wide = ops.cast(x, self.beta.dtype)
        return ops.cast(wide * ops.sigmoid(self.beta * wide), x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "beta": self.initial_beta}


@keras.saving.register_keras_serializable(package="kerasdnn")
class SwiGLU(keras.layers.Layer):
    """`silu(x W + b) * (x V + c)`: a dense layer whose output is gated by a second one.

    In a Transformer it takes the place of the MLP's first dense layer and activation; because it
    has two kernels, two thirds of the usual width cost the same.

    Args:
        units: int, width of the output.
        use_bias: bool, whether both projections have a bias. Defaults to True.
        kernel_initializer: initializer of both kernels. Defaults to "glorot_uniform".

    Input shape: `(B, ..., D)`. Output shape: `(B, ..., units)`.

    Raises:
        ValueError: if `units` is not a positive integer.

    Example:
    >>> SwiGLU(8)(np.ones((2, 5, 3))).shape == (2, 5, 8)
    True

    References:
        Shazeer (2020), GLU Variants Improve Transformer, arXiv:2002.05202
    """

    def __init__(self, units, *, use_bias=True, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        if not isinstance(units, int) or units <= 0:
            raise ValueError(
                f"SwiGLU expects units as a positive integer; received {units!r}. "
                "Give the width of the output."
            )
        self.units = units
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        # Two clones: one initializer object would give both kernels the same values.
        self.gate, self.value = (
            keras.layers.Dense(
                self.units,
                use_bias=self.use_bias,
                kernel_initializer=self.kernel_initializer.clone(),
                dtype=self.dtype_policy,
                name=name,
            )
            for name in ("gate", "value")
        )
        self.gate.build(input_shape)
        self.value.build(input_shape)

    def call(self, x):
        return ops.silu(self.gate(x)) * self.value(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
