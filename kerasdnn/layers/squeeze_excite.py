"""Squeeze-and-excitation: a learned gate on the channels."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class SqueezeExcite(keras.layers.Layer):
    """Weights the channels of each sample by a gate computed from their means.

    The output is `x * sigmoid(W2 activation(W1 mean(x)))`, with the mean taken in float32.

    Args:
        ratio: int, the gate's hidden layer has `C // ratio` units, at least one.
        activation: name or callable, of the hidden layer.

    Input shape: `(B, ..., C)`, rank 3 or more. Output shape: the same.

    Raises:
        ValueError: if `ratio` is less than 1 or the input's rank is less than 3.

    Example:
    >>> layer = SqueezeExcite(ratio=4)
    >>> tuple(layer(keras.ops.ones((2, 5, 5, 8))).shape)
    (2, 5, 5, 8)
    >>> [tuple(weight.shape) for weight in layer.weights]
    [(8, 2), (2,), (2, 8), (8,)]

    References:
        Hu et al. (2017), Squeeze-and-Excitation Networks, arXiv:1709.01507
    """

    def __init__(self, ratio=16, *, activation="relu", **kwargs):
        super().__init__(**kwargs)
        if ratio < 1:
            raise ValueError(
                f"SqueezeExcite expects ratio of at least 1; received {ratio}. It is the divisor "
                "that takes the channels to the units of the hidden layer."
            )
        self.ratio = ratio
        self.activation = keras.activations.get(activation)
        self.input_spec = keras.layers.InputSpec(min_ndim=3)

    def build(self, input_shape):
        channels = input_shape[-1]
        self.squeeze = keras.layers.Dense(
            max(1, channels // self.ratio),
            activation=self.activation,
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name="squeeze",
        )
        self.excite = keras.layers.Dense(
            channels, activation="sigmoid", dtype=self.dtype_policy, name="excite"
        )
        self.squeeze.build((None, channels))
        self.excite.build((None, self.squeeze.units))

    def call(self, inputs):
        axes = tuple(range(1, len(inputs.shape) - 1))
        means = ops.mean(inputs, axis=axes)  # (B, C), which Keras takes in float32
        gate = self.excite(self.squeeze(means))  # (B, C)
        return inputs * ops.expand_dims(gate, axes)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "activation": keras.activations.serialize(self.activation),
        }
