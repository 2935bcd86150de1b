"""Torch: gradients, fused kernels, device facts, random state."""

import os

from kerasdnn.backend.whole_loss import left_unchanged, whole_loss

import torch

VERSION = torch.__version__

# Input dtypes of the fused batch-norm kernel; scale, offset and statistics are always float32.
FUSED_BATCH_NORM_DTYPES = ("float32", "bfloat16", "float16")

# `jit_compile=True` is `torch.compile`, which needs a C++ compiler and minutes: not tried unasked.
JIT_CHOICES = ()


def fused_batch_norm_train(x, scale, offset, epsilon):
    """Normalizes `x (B, H, W, C)` by its own statistics.

    Returns `(y, mean, variance)`, the last two `(C,)` float32; the variance is the biased one.
    """
    n = x.shape[0] * x.shape[1] * x.shape[2]
    if n == 1:  # Torch refuses a single value a channel; its deviation from the mean is zero.
        mean = x.detach().reshape(-1).float()
        return (x - x) * scale.to(x.dtype) + offset.to(x.dtype), mean, torch.zeros_like(mean)
    # With momentum 1 the running statistics become those of the batch.
    mean, variance = torch.zeros_like(scale), torch.ones_like(scale)
    y = torch.nn.functional.batch_norm(
        _channels_second(x), mean, variance, scale, offset, True, 1.0, epsilon
    )
    # Torch's running variance is sum((x - mean)^2) / (n - 1), Keras keeps sum((x - mean)^2) / n.
    return _channels_last(y), mean, variance * ((n - 1.0) / n)


def fused_batch_norm_infer(x, scale, offset, mean, variance, epsilon):
    """Normalizes `x (B, H, W, C)` by the given statistics `(C,)`."""
    y = torch.nn.functional.batch_norm(
        _channels_second(x), mean, variance, scale, offset, False, 0.0, epsilon
    )
    return _channels_last(y)


def _channels_second(x):
    # A view: the memory stays (B, H, W, C), which Torch knows as its channels-last format.
    return x.permute(0, 3, 1, 2)


def _channels_last(x):
    return x.permute(0, 2, 3, 1)


def input_gradient(function, x):
    """Returns the gradient of `sum(function(x))` by x, which can be differentiated again."""
    with torch.enable_grad():  # evaluation runs without
        x = x if x.requires_grad else x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(
            function(x).sum(), x, create_graph=True, materialize_grads=True
        )
    return gradient


def device_name():
    """Returns the name of the first GPU that Torch sees, or "CPU"."""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"


def has_gpu():
    """Returns whether a GPU is visible to Torch."""
    return torch.cuda.is_available()


def get_rng_state():
    """Returns the state of Torch's global generator on the CPU."""
    return torch.get_rng_state()


def set_rng_state(state):
    """Puts back what `get_rng_state` returned."""
    torch.set_rng_state(torch.as_tensor(state, dtype=torch.uint8, device="cpu"))


def enable_determinism():
    """Makes Torch use deterministic kernels only, for the rest of the process."""
    # cuBLAS is deterministic only with a fixed workspace, chosen before its first call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)


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
    with left_unchanged(model), torch.enable_grad():
        loss = whole_loss(model, x, y, sample_weight, training)
        # Not `backward`: it would write into the parameters' own `grad`.
        gradients = torch.autograd.grad(loss, variables, allow_unused=True, materialize_grads=True)
    return loss.item(), [g.float().cpu().numpy() for g in gradients]


def peek_batch(arguments, count=1):
    """Returns the next batch that a train function would take, and arguments that still yield it.

    Args:
        arguments: tuple, what `fit` calls `model.train_function` with.
        count: batches that one call takes.

    Returns:
        The batch as the data source gives it, or None where it cannot be seen, and the arguments.
    """
    (batches,) = arguments
    return batches[0], arguments
