"""What each kind of layer does to channels: makes them, passes them on, joins them."""

import functools
import math

from kerasdnn.pruning.trace import Label

import keras
import numpy as np
from keras import tree


def _one(args, kwargs):
    labels = [a for a in tree.flatten((args, kwargs)) if isinstance(a, Label)]
    return labels[0] if len(labels) == 1 else None


@functools.cache
def _behaviour(function):
    """Returns (acts on each channel alone, is 0 at 0) of an activation, by trying it."""
    x = np.array([[0.3, -1.2, 2.0, 0.0]], "float32")
    try:
        whole, part = (
            keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(v)))
            for v in (x, x[:, :3])
        )
    except Exception:  # a function of another kind: nothing is known of it
        return False, False
    alone = whole.shape == x.shape and np.allclose(whole[:, :3], part, atol=1e-5)
    return alone, alone and whole[0, 3] == 0


def activate(trace, path, function, ids, zero, shape):
    """Returns the label behind an activation function."""
    if function is not None and ids is not None:
        alone, fixes_zero = _behaviour(function)
        if not alone:
            trace.units.fix(ids, f"the activation of {path} mixes channels")
        zero = zero if fixes_zero else False
    return Label(ids, zero, shape)


def positions(shape):
    """Returns the product of the axes between batch and channels, free ones as 1."""
    return math.prod(n or 1 for n in shape[1:-1])


def _plain(layer):
    """Whether a layer has the one kernel that its class says, nothing added to it."""
    return not getattr(layer, "lora_enabled", False) and not getattr(
        layer, "quantization_mode", None
    )


def dense(trace, layer, path, args, kwargs, shapes):
    """A dense layer reads all its inputs and makes `units` channels."""
    x = _one(args, kwargs)
    if x is None or x.ids is None or not _plain(layer):
        return None
    trace.consume(x, path)
    trace.cut(layer.kernel, 0, x.ids)
    ids = trace.produce(layer, path, layer.units, [(layer.kernel, 1)])
    trace.clear(layer.kernel, 1, ids)
    trace.clear(layer.bias, 0, ids)
    trace.edit(layer, "units", ids)
    trace.macs += math.prod(layer.kernel.shape) * positions(shapes[0])
    return activate(trace, path, layer.activation, ids, True, shapes[0])


def convolution(trace, layer, path, args, kwargs, shapes):
    """A convolution; with groups the k-th channel of every group goes together."""
    x = _one(args, kwargs)
    if x is None or x.ids is None or layer.data_format != "channels_last" or not _plain(layer):
        return None
    transposed = "Transpose" in type(layer).__name__
    trace.consume(x, path)
    in_axis, out_axis = (-1, -2) if transposed else (-2, -1)
    groups = getattr(layer, "groups", 1)
    ids = trace.produce(layer, path, layer.filters, [(layer.kernel, out_axis)])
    if groups > 1 and groups == len(x.ids):
        # One input a group, as in a depthwise convolution: a group goes with its input.
        each = layer.filters // groups
        trace.units.tie(np.repeat(x.ids, each), ids)
        trace.edit(layer, "groups", x.ids)
    else:
        if groups > 1:
            for channels in (x.ids.reshape(groups, -1), ids.reshape(groups, -1)):
                for other in channels[1:]:
                    trace.units.tie(channels[0], other)
        trace.cut(layer.kernel, in_axis, x.ids[: len(x.ids) // groups])
    trace.clear(layer.kernel, out_axis, ids)
    trace.clear(layer.bias, 0, ids)
    trace.edit(layer, "filters", ids)
    places = positions(x.shape if transposed else shapes[0])
    trace.macs += math.prod(layer.kernel.shape) * places
    return activate(trace, path, layer.activation, ids, True, shapes[0])


def depthwise(trace, layer, path, args, kwargs, shapes):
    """A depthwise convolution passes channels on, each `depth_multiplier` times."""
    x = _one(args, kwargs)
    if x is None or x.ids is None or layer.data_format != "channels_last":
        return None
    ids = np.repeat(x.ids, layer.depth_multiplier)
    trace.clear(layer.kernel, -2, x.ids)
    trace.clear(layer.bias, 0, ids)
    trace.macs += math.prod(layer.kernel.shape) * positions(shapes[0])
    return activate(trace, path, layer.activation, ids, True, shapes[0])


def separable(trace, layer, path, args, kwargs, shapes):
    """A depthwise convolution and a 1 x 1 convolution."""
    x = _one(args, kwargs)
    if x is None or x.ids is None or layer.data_format != "channels_last":
        return None
    trace.consume(x, path)
    trace.cut(layer.depthwise_kernel, -2, x.ids)
    trace.cut(layer.pointwise_kernel, -2, np.repeat(x.ids, layer.depth_multiplier))
    ids = trace.produce(layer, path, layer.filters, [(layer.pointwise_kernel, -1)])
    trace.clear(layer.pointwise_kernel, -1, ids)
    trace.clear(layer.bias, 0, ids)
    trace.edit(layer, "filters", ids)
    kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
    trace.macs += sum(math.prod(k.shape) for k in kernels) * positions(shapes[0])
    return activate(trace, path, layer.activation, ids, True, shapes[0])


def batch_norm(trace, layer, path, args, kwargs, shapes):
    """Batch normalization passes channels on; with its scale and offset at zero they are zero."""
    x = _one(args[:1], {})
    if x is None or x.ids is None or layer.axis not in (-1, len(x.shape) - 1):
        return None
    if layer.gamma is None:
        trace.consume(x, path)
    for variable in (layer.gamma, layer.beta, layer.moving_mean):
        trace.clear(variable, 0, x.ids)
    trace.cut(layer.moving_variance, 0, x.ids)
    return Label(x.ids, True, shapes[0])


def embedding(trace, layer, path, args, kwargs, shapes):
    """An embedding makes `output_dim` channels."""
    if not _plain(layer):
        return None
    ids = trace.produce(layer, path, layer.output_dim, [(layer.embeddings, 1)])
    trace.clear(layer.embeddings, 1, ids)
    trace.edit(layer, "output_dim", ids)
    return Label(ids, True, shapes[0])


def recurrent(trace, layer, path, args, kwargs, shapes):
    """A recurrent layer reads channels; its own units stay."""
    x = _one(args, kwargs)
    if x is None or x.ids is None or not hasattr(layer.cell, "kernel"):
        return None
    trace.consume(x, path)
    trace.cut(layer.cell.kernel, 0, x.ids)
    kernels = (layer.cell.kernel, layer.cell.recurrent_kernel)
    trace.macs += sum(math.prod(k.shape) for k in kernels) * positions(x.shape)
    return [trace.constant(shape) for shape in shapes]


def same(trace, layer, path, args, kwargs, shapes):
    """Every channel on its own, and zero stays zero: pooling, padding, dropout."""
    x = _one(args[:1], {})
    channels_last = getattr(layer, "data_format", None) in (None, "channels_last")
    if x is None or x.ids is None or not channels_last or len(x.ids) != shapes[0][-1]:
        return None
    return Label(x.ids, x.zero, shapes[0])


def activation(trace, layer, path, args, kwargs, shapes):
    """A layer or operation that is a function of each number alone."""
    x = _one(args[:1], {})
    if x is None or x.ids is None:
        return None
    return activate(trace, path, layer, x.ids, x.zero, shapes[0])


def prelu(trace, layer, path, args, kwargs, shapes):
    """A slope for each channel."""
    x = _one(args, kwargs)
    if x is None or x.ids is None:
        return None
    trace.cut(layer.alpha, -1, x.ids)
    return Label(x.ids, x.zero, shapes[0])


def layer_scale(trace, layer, path, args, kwargs, shapes):
    """A factor for each channel."""
    x = _one(args, kwargs)
    if x is None or x.ids is None or len(layer.weights) != 1:
        return None
    trace.cut(layer.weights[0], 0, x.ids)
    if hasattr(layer, "projection_dim"):
        trace.edit(layer, "projection_dim", x.ids)
    return Label(x.ids, x.zero, shapes[0])


def rescaling(trace, layer, path, args, kwargs, shapes):
    """One scale and one offset for all channels."""
    x = _one(args, kwargs)
    if x is None or x.ids is None or np.size(layer.scale) > 1 or np.size(layer.offset) > 1:
        return None
    return Label(x.ids, x.zero & bool(np.all(layer.offset == 0)), shapes[0])
