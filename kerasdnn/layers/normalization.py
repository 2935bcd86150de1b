"""Batch normalization through one fused kernel where the backend has one."""

from kerasdnn import backend

import keras
from keras import ops

# cuDNN refuses, and TensorFlow's own wrapper silently replaces, anything smaller.
_SMALLEST_EPSILON = 1.001e-5


@keras.saving.register_keras_serializable(package="kerasdnn")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` computed by one fused kernel instead of several passes.

    A drop-in: the same arguments, weights, moving statistics (with the biased variance, as in
    Keras), `training`, masks and freezing (`trainable = False` means inference mode). Keras'
    own layer makes several passes over the activations, each bound by memory; TensorFlow and
    Torch have a kernel that makes one or two.

    The kernel is used on TensorFlow and Torch for inputs `(B, H, W, C)` of float32, bfloat16 or
    float16 with the default axis, scale and center. In every other case the layer computes what
    Keras computes: on JAX (where XLA fuses by itself), for another rank, axis or dtype, with
    `scale=False`, `center=False`, `renorm=True` or `synchronized=True`, with an epsilon under
    1.001e-5, and for each call with a mask. `is_fused` and `fallback_reason` say which it is.

    Outputs, gradients and moving statistics agree with Keras' to 1e-5 of their largest value in
    float32; in bfloat16 and float16 the outputs and the gradient of the inputs to one rounding of
    that type (0.8 % and 0.1 %), the rest to 1 % and 0.2 %.

    Args:
        *args: as for `keras.layers.BatchNormalization`; its defaults apply.
        **kwargs: likewise.

    Input shape: any with a fixed channel count, `(B, H, W, C)` to be fused. Output shape: the same.

    Raises:
        ValueError: for what `keras.layers.BatchNormalization` refuses.

    Example:
    >>> layer = FusedBatchNormalization()
    >>> tuple(layer(np.ones((2, 4, 4, 3), "float32"), training=True).shape)
    (2, 4, 4, 3)
    >>> layer.is_fused == (keras.backend.backend() != "jax")
    True
    >>> FusedBatchNormalization(scale=False).is_fused
    False

    References:
        Ioffe and Szegedy (2015), Batch Normalization: Accelerating Deep Network Training by
        Reducing Internal Covariate Shift, arXiv:1502.03167
    """

    @property
    def is_fused(self):
        """Whether calls without a mask run on the fused kernel (final once the layer is built)."""
        return self.fallback_reason is None

    @property
    def fallback_reason(self):
        """Why Keras' own computation is used, one phrase, or None when the kernel is."""
        dtypes = backend.current().FUSED_BATCH_NORM_DTYPES
        if not dtypes:
            return f"the {keras.backend.backend()} backend has no fused kernel to call"
        if self.renorm or self.synchronized:
            return "the fused kernel has no renorm and no synchronized statistics"
        if not (self.scale and self.center):
            return "the fused kernel needs scale=True and center=True"
        if self.epsilon < _SMALLEST_EPSILON:
            return f"the fused kernel needs epsilon >= {_SMALLEST_EPSILON}"
        if self.compute_dtype not in dtypes:
            return f"the fused kernel takes {', '.join(dtypes)}, not {self.compute_dtype}"
        if self.axis not in (-1, 3):
            return f"the fused kernel needs the channels last, not axis={self.axis}"
        if self.built and self.input_spec.ndim != 4:
            return f"the fused kernel takes inputs of rank 4, not {self.input_spec.ndim}"
        return None

    def call(self, inputs, training=None, mask=None):
        kernels = backend.current()
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        # The inputs may keep another dtype than the policy's, with autocast=False.
        if mask is not None or not self.is_fused or dtype not in kernels.FUSED_BATCH_NORM_DTYPES:
            return super().call(inputs, training=training, mask=mask)

        gamma, beta = (ops.cast(v, "float32") for v in (self.gamma, self.beta))  # (C,)
        moving_mean = ops.cast(self.moving_mean, "float32")
        moving_variance = ops.cast(self.moving_variance, "float32")
        if training and self.trainable:
            outputs, mean, variance = kernels.fused_batch_norm_train(
                inputs, gamma, beta, self.epsilon
            )
            keep = self.momentum
            self.moving_mean.assign(moving_mean * keep + mean * (1.0 - keep))
            self.moving_variance.assign(moving_variance * keep + variance * (1.0 - keep))
        else:
            outputs = kernels.fused_batch_norm_infer(
                inputs, gamma, beta, moving_mean, moving_variance, self.epsilon
            )
        return ops.cast(outputs, self.compute_dtype)
