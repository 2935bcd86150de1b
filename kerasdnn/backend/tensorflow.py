"""TensorFlow: fused kernels, device facts, random state."""

import tensorflow as tf

VERSION = tf.__version__

# Input dtypes of the fused batch-norm kernel; scale, offset and statistics are always float32.
FUSED_BATCH_NORM_DTYPES = ("float32", "bfloat16", "float16")

# Values of `jit_compile` worth comparing: XLA against plain graphs.
JIT_CHOICES = (False, True)


def fused_batch_norm_train(x, scale, offset, epsilon):
    """Normalizes `x (B, H, W, C)` by its own statistics.

    Returns `(y, mean, variance)`, the last two `(C,)` float32; the variance is the biased one.
    """
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    # The kernel returns sum((x - mean)^2) / (n - 1), Keras keeps sum((x - mean)^2) / n.
    n = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), "float32")
    return y, mean, variance * ((n - 1.0) / n)


def fused_batch_norm_infer(x, scale, offset, mean, variance, epsilon):
    """Normalizes `x (B, H, W, C)` by the given statistics `(C,)`."""
    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=scale,
        offset=offset,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=False,
    ).y


def device_name():
    """Returns the name of the first GPU that TensorFlow sees, or "CPU"."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")


def has_gpu():
    """Returns whether a GPU is visible to TensorFlow."""
    return bool(tf.config.list_physical_devices("GPU"))


def get_rng_state():
    """Returns the state of TensorFlow's global generator."""
    return tf.random.get_global_generator().state.numpy()


def set_rng_state(state):
    """Puts back what `get_rng_state` returned."""
    tf.random.get_global_generator().state.assign(state)


def enable_determinism():
    """Makes TensorFlow use deterministic kernels only, for the rest of the process."""
    tf.config.experimental.enable_op_determinism()
