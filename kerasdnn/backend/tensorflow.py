"""TensorFlow: gradients, fused kernels, device facts, random state."""

from kerasdnn.backend.whole_loss import left_unchanged, whole_loss

import numpy as np
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


def input_gradient(function, x):
    """Returns the gradient of `sum(function(x))` by x, which can be differentiated again."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x, unconnected_gradients="zero")


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


def loss_gradients(model, x, y, sample_weight=None, training=False):
    """Returns the loss of one batch and its gradient by each trainable variable.

    The loss is what `fit` minimises: `compute_loss`, overridden or not, with all penalties, before
    any loss scaling. The model, its statistics, seeds and metrics stay as they are.

    Args:
        model: a built and compiled `keras.Model`.
        x: the inputs of one batch, arrays in any nesting.
        y: their targets, or None.
        sample_weight: a weight for each sample, or None.
        training: whether the layers behave as in training, as dropout does.

    Returns:
        The loss as a float, and a list of arrays in the order of `model.trainable_variables`; zeros
        where the loss does not depend on the variable.
    """
    variables = [v.value for v in model.trainable_variables]
    with left_unchanged(model):
        with tf.GradientTape() as tape:
            loss = whole_loss(model, x, y, sample_weight, training)
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
    # An embedding's gradient comes as the rows that were looked up.
    return float(loss), [np.array(tf.convert_to_tensor(g)) for g in gradients]


def peek_batch(arguments, count=1):
    """Returns the next batch that a train function would take, and arguments that still yield it.

    Args:
        arguments: tuple, what `fit` calls `model.train_function` with.
        count: batches that one call takes.

    Returns:
        The batch as the data source gives it, or None where it cannot be seen, and the arguments.
    """
    (iterator,) = arguments
    if not isinstance(iterator, tf.data.Iterator):  # one of tf.distribute
        return None, arguments
    if not all(isinstance(s, tf.TensorSpec) for s in tf.nest.flatten(iterator.element_spec)):
        return None, arguments  # ragged and sparse batches
    batches = [batch for _, batch in zip(range(count), iterator)]
    # With the same signature the train function need not be traced again.
    again = tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=iterator.element_spec
    )
    return (batches[0] if batches else None), (iter(again),)


def mirror_devices(count):
    """Returns the strategy that trains on several devices of this machine at once.

    The GPUs where there are so many; else the CPU is divided, which shows the same and gains
    nothing. To be called before anything is computed.

    Args:
        count: int, how many devices.

    Raises:
        RuntimeError: something was computed before.
    """
    kind = "GPU" if len(tf.config.list_physical_devices("GPU")) >= count else "CPU"
    if kind == "CPU":
        (cpu, *_) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(cpu, parts)
    return tf.distribute.MirroredStrategy([f"{kind}:{index}" for index in range(count)])
