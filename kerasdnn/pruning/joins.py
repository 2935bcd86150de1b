"""Layers that join tensors or change their shape, and the table of all rules."""

from kerasdnn.pruning import composites, rules
from kerasdnn.pruning.trace import Label

import numpy as np
from keras import tree


def _labels(args, kwargs):
    return [a for a in tree.flatten((args, kwargs)) if isinstance(a, Label)]


def elementwise(trace, layer, path, args, kwargs, shapes):
    """Sum, product, maximum of tensors: channel i of each goes together."""
    labels = _labels(args, kwargs)
    others = [a for a in tree.flatten(args) if not isinstance(a, Label)]
    width = shapes[0][-1]
    if any(x.ids is None for x in labels) or any(np.size(o) != 1 for o in others):
        return None
    full = [x for x in labels if len(x.ids) == width]
    narrow = [x for x in labels if len(x.ids) != width]
    for x in narrow:  # one channel for all
        trace.fix(x, f"{path} spreads it over all channels")
    if not full:
        return None
    for other in full[1:]:
        trace.tie(full[0].ids, other.ids)
    name = type(layer).__name__
    zeros = [x.zero for x in full] + [np.zeros(width, "bool") for _ in narrow]
    product = name == "Multiply"
    zero = np.any(zeros, axis=0) if product else np.all(zeros, axis=0)
    if others and not product:
        zero = zero & all(float(np.ravel(o)[0]) == 0 for o in others)
    return Label(full[0].ids, zero, shapes[0])


def concatenate(trace, layer, path, args, kwargs, shapes):
    """Channels side by side; along another axis channel i of each goes together."""
    labels = _labels(args, kwargs)
    if any(x.ids is None for x in labels):
        return None
    if layer.axis in (-1, len(shapes[0]) - 1):
        ids = np.concatenate([x.ids for x in labels])
        return Label(ids, np.concatenate([x.zero for x in labels]), shapes[0])
    for other in labels[1:]:
        trace.tie(labels[0].ids, other.ids)
    return Label(labels[0].ids, np.all([x.zero for x in labels], axis=0), shapes[0])


def flatten(trace, layer, path, args, kwargs, shapes):
    """Each channel comes once for every place of the grid."""
    (x,) = _labels(args, kwargs)
    grid = x.shape[1:-1]
    if x.ids is None or None in grid or getattr(layer, "data_format", None) == "channels_first":
        return None
    places = int(np.prod(grid, dtype="int64"))
    return Label(np.tile(x.ids, places), np.tile(x.zero, places), shapes[0])


def reshape(trace, layer, path, args, kwargs, shapes):
    """Passes channels on if each slot of the new last axis holds one and the same channel."""
    (x,) = _labels(args, kwargs)
    target = shapes[0][1:]
    if x.ids is None or None in x.shape[1:] or None in target or not hasattr(layer, "target_shape"):
        return None
    spread = [np.broadcast_to(v, x.shape[1:]).reshape(-1, target[-1]) for v in (x.ids, x.zero)]
    if not (spread[0] == spread[0][0]).all():
        return None
    ids, zero = spread[0][0], spread[1].all(axis=0)
    if layer.target_shape[-1] != -1:
        lead = list(layer.target_shape[:-1])
        trace.edit(layer, "target_shape", lambda kept: [*lead, kept(ids)])
    return Label(ids, zero, shapes[0])


def permute(trace, layer, path, args, kwargs, shapes):
    """Channels must stay last."""
    (x,) = _labels(args, kwargs)
    return Label(x.ids, x.zero, shapes[0]) if layer.dims[-1] == len(layer.dims) else None


def mean(trace, layer, path, args, kwargs, shapes):
    """A mean or maximum over places, not over channels."""
    (x,) = _labels(args, kwargs)
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    if x.ids is None or None in axes or any(a in (-1, len(x.shape) - 1) for a in axes):
        return None
    return Label(x.ids, x.zero, shapes[0])


_SAME = [
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "Resizing",
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "GaussianDropout",
    "AlphaDropout",
    "StochasticDepth",
    "DropPath",
    "Identity",
    "Swish",
    "ActivityRegularization",
    "Copy",
    "Masking",
]
_ACTIVATION = [
    "ReLU",
    "LeakyReLU",
    "ELU",
    "Activation",
    "Softmax",
    "Relu",
    "Relu6",
    "Sigmoid",
    "Silu",
    "Gelu",
    "Tanh",
    "Softplus",
    "Elu",
    "Selu",
    "HardSigmoid",
    "HardSilu",
    "Abs",
    "Square",
    "Sqrt",
    "Negative",
]

RULES = {
    "Dense": rules.dense,
    **{f"Conv{n}D{t}": rules.convolution for n in (1, 2, 3) for t in ("", "Transpose")},
    "DepthwiseConv1D": rules.depthwise,
    "DepthwiseConv2D": rules.depthwise,
    "SeparableConv1D": rules.separable,
    "SeparableConv2D": rules.separable,
    "BatchNormalization": rules.batch_norm,
    "FusedBatchNormalization": rules.batch_norm,
    "Embedding": rules.embedding,
    **dict.fromkeys(("SimpleRNN", "LSTM", "GRU"), rules.recurrent),
    **dict.fromkeys(_SAME, rules.same),
    **dict.fromkeys(_ACTIVATION, rules.activation),
    "PReLU": rules.prelu,
    "LayerScale": rules.layer_scale,
    "Rescaling": rules.rescaling,
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), elementwise),
    "Concatenate": concatenate,
    "Flatten": flatten,
    "Reshape": reshape,
    "Permute": permute,
    **dict.fromkeys(("Mean", "Max"), mean),
    "MultiHeadAttention": composites.attention,
    "SqueezeExcite": composites.squeeze_excite,
    "ResidualBlock": composites.residual_block,
    "BottleneckBlock": composites.residual_block,
    "TransformerEncoderBlock": composites.encoder_block,
}
