"""Channel pruning: a new, smaller model instead of zeros."""

from dataclasses import dataclass

from kerasdnn.layers.convert import conversion_problem
from kerasdnn.pruning import surgery
from kerasdnn.pruning.importance import choose, magnitude_scores, taylor_scores
from kerasdnn.pruning.joins import RULES
from kerasdnn.pruning.select import check_ignored
from kerasdnn.pruning.timing import latency
from kerasdnn.pruning.trace import Trace


@dataclass(frozen=True)
class PruneResult:
    """What `prune_channels` returns; printing it gives the table.

    Attributes:
        model: the smaller model, not compiled.
        removed: dict from layer name (with the names of what it is inside of, after a slash) to
            the array of removed output channels, or heads for attention.
        table: list of dictionaries, a row a layer that makes channels: layer, before, after, and
            why it stayed whole; then the rows "parameters", "multiply-adds" and, if measured,
            "milliseconds".
    """

    model: object
    removed: dict
    table: list

    def __str__(self):
        width = max(len(row["layer"]) for row in self.table)
        return "\n".join(
            f"{row['layer']:<{width}}  {_number(row['before']):>14} -> {_number(row['after']):>14}"
            + (f"   {row['left']}" if row["left"] else "")
            for row in self.table
        )


def _number(value):
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def prune_channels(
    model, ratio, *, round_to=8, ignored=(), importance="l1", data=None, latency_batch=None
):
    """Removes whole channels, neurons and attention heads, and returns a smaller model.

    Channels that depend on each other go together: through sums, products (squeeze-excite),
    concatenation, normalization, depthwise and grouped convolution, pooling, reshaping, shared
    layers and nested models. The smaller model computes exactly what the old one would with the
    weights of these channels at zero. What cannot be cut, such as the residual path of a
    Transformer (layer normalization looks at all of it), is left whole and named in the table.
    Accuracy falls; train on afterwards, at a low learning rate.

    Args:
        model: a functional or sequential `keras.Model`; it is left unchanged.
        ratio: float in (0, 1), the share of channels removed from each group. Parameters and
            multiply-adds fall to about `(1 - ratio)^2`.
        round_to: int, widths stay multiples of it, which fast kernels want; groups that are
            narrower stay whole. 1 for exact shares.
        ignored: layers to leave whole, by name (all that is inside it, too), class or layer.
        importance: "l1", the norm of the weights that make a channel; or "taylor", the first-order
            change of the loss on `data` if it goes.
        data: `(x, y)` of one batch, for "taylor"; the model must then be compiled.
        latency_batch: int or None, also measure both models' prediction of so many samples.

    Returns:
        PruneResult: `model`, `removed`, `table`.

    Raises:
        TypeError: a subclassed model.
        ValueError: a ratio outside (0, 1), an unknown layer or importance, or "taylor" without
            data.

    Example:
    >>> inputs = keras.Input((8, 8, 1))
    >>> x = keras.layers.Conv2D(32, 3, activation="relu", name="conv")(inputs)
    >>> outputs = keras.layers.Dense(2)(keras.layers.Flatten()(x))
    >>> result = prune_channels(keras.Model(inputs, outputs), 0.5)
    >>> result.model.get_layer("conv").filters, len(result.removed["conv"])
    (16, 16)

    References:
        Li et al. (2017), Pruning Filters for Efficient ConvNets, arXiv:1608.08710
        Fang et al. (2023), DepGraph: Towards Any Structural Pruning, arXiv:2301.12900
    """
    _check(model, ratio, round_to, ignored, importance, data)
    trace = Trace(model, RULES, ignored)
    if importance == "l1":
        scores = magnitude_scores(trace)
    else:
        scores = taylor_scores(trace, model, *data)
    choice = choose(trace, ratio, round_to, scores)
    smaller = surgery.cut(model, trace, choice)
    removed, table = {}, []
    for producer in trace.producers:
        keep = choice.keep(producer.ids)
        gone = [i for i in range(len(producer.ids)) if i not in set(keep.tolist())]
        if gone:
            removed[producer.path] = gone
        reasons = [trace.units.reason.get(r) for r in trace.units.roots(producer.ids).tolist()]
        table.append(
            {
                "layer": producer.path,
                "before": len(producer.ids),
                "after": len(keep),
                "left": next((r for r in reasons if r), "") if not gone else "",
            }
        )
    table += _totals(model, smaller, trace, latency_batch)
    return PruneResult(smaller, removed, table)


def _totals(model, smaller, trace, latency_batch):
    pairs = [
        ("parameters", model.count_params(), smaller.count_params()),
        ("multiply-adds", trace.macs, Trace(smaller, RULES).macs),
    ]
    if latency_batch:
        pairs.append(("milliseconds", *latency([model, smaller], latency_batch)))
    return [{"layer": name, "before": a, "after": b, "left": ""} for name, a, b in pairs]


def _check(model, ratio, round_to, ignored, importance, data):
    problem = conversion_problem(model)
    if problem:
        raise TypeError(
            f"prune_channels expects a functional model, whose graph can be followed; {problem}. "
            "Write it as keras.Model(inputs, outputs)."
        )
    if not 0 < ratio < 1:
        raise ValueError(
            f"prune_channels expects ratio in (0, 1), the share removed; received {ratio}. 0.5 "
            "halves every width."
        )
    if not isinstance(round_to, int) or round_to < 1:
        raise ValueError(
            f"prune_channels expects round_to of at least 1; received {round_to!r}. 8 is usual."
        )
    if importance not in ("l1", "taylor"):
        raise ValueError(
            f'prune_channels expects importance "l1" or "taylor"; received {importance!r}. '
            '"l1" needs no data.'
        )
    if importance == "taylor" and (data is None or not model.compiled):
        raise ValueError(
            'prune_channels with importance="taylor" expects a compiled model and data=(x, y) of '
            "one batch; one is missing. Pass them, or use l1."
        )
    check_ignored(model, ignored)
