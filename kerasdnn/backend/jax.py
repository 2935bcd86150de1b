"""JAX: gradients and device facts. XLA fuses batch normalization itself: no kernel to call."""

import itertools
import os

from kerasdnn.backend.whole_loss import left_unchanged, whole_loss

import jax
import jax.numpy as jnp
import keras
import numpy as np

VERSION = jax.__version__

FUSED_BATCH_NORM_DTYPES = ()

# Keras on JAX always compiles the step unless told to run eagerly, which is never the faster one.
JIT_CHOICES = ()


def input_gradient(function, x):
    """Returns the gradient of `sum(function(x))` by x, which can be differentiated again."""
    return jax.grad(lambda inputs: jnp.sum(function(inputs)))(x)


def device_name():
    """Returns the name of the first accelerator that JAX sees, or "CPU"."""
    device = jax.devices()[0]
    return "CPU" if device.platform == "cpu" else device.device_kind


def has_gpu():
    """Returns whether JAX runs on a GPU."""
    return jax.default_backend() == "gpu"


def get_rng_state():
    """Returns None: JAX has no global random state."""
    return None


def set_rng_state(state):
    """Does nothing: JAX has no global random state."""


def enable_determinism():
    """Makes XLA use deterministic GPU kernels; in effect when called before the first computation.

    On a CPU JAX is deterministic anyway.
    """
    flag = "--xla_gpu_deterministic_ops=true"
    flags = os.environ.get("XLA_FLAGS", "")
    if flag not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}".strip()


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
    variables = model.trainable_variables

    def of(values):
        # Whatever the model assigns in the scope ends with the scope.
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
            return whole_loss(model, x, y, sample_weight, training)

    with left_unchanged(model):
        whole_loss(model, x, y, sample_weight, training)  # no variable can be made in a scope
        loss, gradients = jax.value_and_grad(of)([v.value for v in variables])
    return float(loss), [np.array(g) for g in gradients]


def peek_batch(arguments, count=1):
    """Returns the next batch that a train function would take, and arguments that still yield it.

    Args:
        arguments: tuple, what `fit` calls `model.train_function` with.
        count: batches that one call takes.

    Returns:
        The batch as the data source gives it, or None where it cannot be seen, and the arguments.
    """
    state, iterator = arguments
    batches = list(itertools.islice(iterator, count))
    return (batches[0] if batches else None), (state, iter(batches))


def join_processes(address, count, rank):
    """Connects this process with the others, before anything is computed.

    Args:
        address: "host:port" of the process of rank 0.
        count: int, how many processes there are.
        rank: int, the number of this one.
    """
    jax.distributed.initialize(
        address,
        count,
        rank,
        # Whoever watches the processes ends them; JAX's own 100 s would only add to that.
        heartbeat_timeout_seconds=20,
        shutdown_timeout_seconds=20,
        initialization_timeout=120,
    )


def from_first_process(array):
    """Returns the array of the process of rank 0 in every process; shape and dtype are the same."""
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(array))
