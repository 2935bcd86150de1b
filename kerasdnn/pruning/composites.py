"""Layers with layers inside: attention, squeeze-and-excitation, residual and Transformer blocks."""

import math

from kerasdnn.pruning import rules
from kerasdnn.pruning.trace import Label

from keras import tree


def _inner(trace, layer, path, x):
    """Follows one label through a layer inside."""
    shape = layer.compute_output_shape(x.shape)
    return trace.apply(layer, f"{path}/{layer.name}", [x], {}, [shape])[0]


def attention(trace, layer, path, args, kwargs, shapes):
    """Multi-head attention: heads can go, a head with all its weights."""
    labels = [a for a in tree.flatten((args, kwargs)) if isinstance(a, Label)]
    config = layer.get_config()
    plain = not config.get("use_gate") and not config["output_shape"] and labels
    if not plain or any(x.ids is None or len(x.shape) != 3 for x in labels) or len(labels) > 3:
        return None
    query, value = labels[0], labels[min(1, len(labels) - 1)]
    key = labels[2] if len(labels) == 3 else value
    for x in (query, value, key):
        trace.consume(x, path)
    projections = (layer.query_dense, layer.key_dense, layer.value_dense)
    kernels = [(p.kernel, 1) for p in projections] + [(layer.output_dense.kernel, 0)]
    heads = trace.produce(layer, path, layer.num_heads, kernels, step=1)
    for projection, x in zip(projections, (query, key, value), strict=True):
        trace.cut(projection.kernel, 0, x.ids)  # (D, H, D / H)
        trace.clear(projection.kernel, 1, heads)
        trace.clear(projection.bias, 0, heads)
    out = layer.output_dense  # (H, D / H, D), back to the width of the query
    trace.cut(out.kernel, 0, heads)
    produced = [(out.kernel, 2)]
    trace.produce(layer, f"{path}/attention_output", None, produced, ids=query.ids)
    trace.clear(out.kernel, 2, query.ids)
    trace.clear(out.bias, 0, query.ids)
    trace.edit(layer, "num_heads", heads)
    length, memory = (x.shape[1] or 1 for x in (query, value))
    trace.macs += sum(math.prod(k.shape) for k, _ in kernels) * length
    trace.macs += 2 * length * memory * layer.num_heads * layer.key_dim
    return Label(query.ids, True, shapes[0])


def squeeze_excite(trace, layer, path, args, kwargs, shapes):
    """The gate has one output a channel; its hidden layer follows by `ratio`."""
    x = rules._one(args, kwargs)
    if x is None or x.ids is None:
        return None
    squeeze, excite = layer.squeeze, layer.excite
    trace.consume(x, path)
    trace.cut(squeeze.kernel, 0, x.ids)
    hidden = trace.produce(
        squeeze,
        f"{path}/squeeze",
        squeeze.units,
        [(squeeze.kernel, 1)],
        step=1,
        follows=lambda kept: max(1, kept(x.ids) // layer.ratio),
    )
    trace.clear(squeeze.kernel, 1, hidden)
    trace.clear(squeeze.bias, 0, hidden)
    behind = rules.activate(trace, path, layer.activation, hidden, True, (None, len(hidden)))
    trace.consume(behind, path)
    trace.cut(excite.kernel, 0, hidden)
    trace.cut(excite.kernel, 1, x.ids)
    trace.cut(excite.bias, 0, x.ids)
    trace.macs += math.prod(squeeze.kernel.shape) + math.prod(excite.kernel.shape)
    return Label(x.ids, x.zero, shapes[0])


def residual_block(trace, layer, path, args, kwargs, shapes):
    """ResNet blocks: the width inside and the width of the shortcut."""
    x = shortcut = rules._one(args, kwargs)
    groups = getattr(layer, "groups", 1)
    if x is None or x.ids is None or groups == layer.filters > 1:
        return None
    convolutions, last = list(layer.convolutions), len(layer.convolutions) - 1

    def activated(x):
        return rules.activate(trace, path, layer.activation, x.ids, x.zero, x.shape)

    for index, convolution in enumerate(convolutions):
        norm = layer.normalizations[index]
        if layer.norm_first:
            x = activated(_inner(trace, norm, path, x))
            if index == 0 and layer.projection is not None:
                shortcut = x
            x = _inner(trace, convolution, path, x)
        else:
            x = _inner(trace, norm, path, _inner(trace, convolution, path, x))
            x = x if index == last else activated(x)
    if layer.gate is not None:
        x = _inner(trace, layer.gate, path, x)
    if layer.use_shortcut:
        if layer.projection is not None:
            trace.edit(layer, "use_projection", lambda kept: True)
            shortcut = _inner(trace, layer.projection, path, shortcut)
        if layer.projection_norm is not None:
            shortcut = _inner(trace, layer.projection_norm, path, shortcut)
        trace.tie(x.ids, shortcut.ids)
        x = Label(x.ids, x.zero & shortcut.zero, x.shape)
    _block_widths(trace, layer)
    return x if layer.norm_first else activated(x)


def _block_widths(trace, layer):
    """What the block's arguments say of its widths."""
    widths = [trace.slices[id(c.kernel)][1][3] for c in layer.convolutions]
    if len(widths) == 2:
        trace.edit(layer, "hidden_filters", widths[0])
        trace.edit(layer, "filters", widths[1])
        return
    trace.tie(widths[0], widths[1])
    trace.edit(layer, "filters", widths[0])
    # A quotient, so that the rounded product is the number of channels that are left.
    trace.edit(layer, "expansion", lambda kept: kept(widths[2]) / kept(widths[0]))


def encoder_block(trace, layer, path, args, kwargs, shapes):
    """A Transformer block: heads and the hidden layer of the MLP; the residual path stays.

    Layer normalization takes mean and variance over all channels of that path, so that removing
    one would change the others.
    """
    x = next((a for a in tree.flatten((args, kwargs)) if isinstance(a, Label)), None)
    if x is None or x.ids is None:
        return None
    trace.fix(x, f"layer normalization in {path}")
    whole = Label(x.ids, True, x.shape)
    inside = layer.attention
    found = len(trace.producers)
    attention(trace, inside, f"{path}/{inside.name}", [whole, whole], {}, [x.shape])
    heads = trace.producers[found].ids
    trace.edit(layer, "num_heads", heads)
    trace.edit(layer, "key_dim", lambda kept: inside.key_dim)
    hidden = _inner(trace, layer.mlp_hidden, path, whole)
    trace.edit(layer, "mlp_dim", hidden.ids)
    trace.consume(hidden, path)
    kernel = layer.mlp_output.kernel
    trace.cut(kernel, 0, hidden.ids)
    trace.macs += math.prod(kernel.shape) * rules.positions(x.shape)
    return [Label(x.ids, False, x.shape), *map(trace.constant, shapes[1:])]
