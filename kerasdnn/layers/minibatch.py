"""A look at the whole batch, for discriminators."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class MinibatchStdDev(keras.layers.Layer):
    """Appends one channel that says how much the samples of the batch differ.

    The standard deviation over the batch of every feature at every place, averaged into one
    number. A generator that makes the same image again and again gives 0, which a discriminator
    that has this channel sees at once. The output of a sample depends on its batch, so use it in
    discriminators only.

    Args:
        epsilon: float, added to the variance, keeps the gradient finite when all samples are
            equal. Defaults to 1e-8.

    Input shape: `(B, ..., C)`, channels last. Output shape: `(B, ..., C + 1)`.

    Example:
    >>> x = np.array([[1.0, 5.0], [3.0, 5.0]])    # deviations 1 and 0, mean 0.5
    >>> keras.ops.convert_to_numpy(MinibatchStdDev()(x)).round(3).tolist()
    [[1.0, 5.0, 0.5], [3.0, 5.0, 0.5]]

    References:
        Karras et al. (2018), Progressive Growing of GANs, arXiv:1710.10196
    """

    def __init__(self, epsilon=1e-8, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, x):
        wide = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
        variance = ops.mean(ops.square(wide - ops.mean(wide, axis=0, keepdims=True)), axis=0)
        deviation = ops.mean(ops.sqrt(variance + self.epsilon))
        channel = ops.broadcast_to(ops.cast(deviation, x.dtype), (*ops.shape(x)[:-1], 1))
        return ops.concatenate([x, channel], axis=-1)

    def compute_output_shape(self, input_shape):
        channels = input_shape[-1]
        return (*input_shape[:-1], None if channels is None else channels + 1)

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}
