"""JAX: device facts. XLA fuses batch normalization by itself, so there is no kernel to call."""

import os

import jax

VERSION = jax.__version__

FUSED_BATCH_NORM_DTYPES = ()

# Keras on JAX always compiles the step unless told to run eagerly, which is never the faster one.
JIT_CHOICES = ()


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
