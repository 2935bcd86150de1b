"""Masks: which weights can be pruned, which ones to prune, and how they are kept at zero."""

from kerasdnn.optimizers.masked import Masked
from kerasdnn.pruning.select import check_ignored, is_ignored

import numpy as np
from keras import ops


class Prunable:
    """A weight that can be pruned, its place in the model and its layer."""

    def __init__(self, path, layer, variable):
        self.path, self.layer, self.variable = path, layer, variable

    def value(self):
        """Returns the weight as an array."""
        return ops.convert_to_numpy(self.variable)


def prunable_weights(model, ignored=()):
    """Returns the `Prunable` kernels of a model: rank 2 or more, trainable, each once.

    Args:
        model: a built `keras.Model`.
        ignored: layers to leave whole: names (a composite layer's name stands for all that is
            inside it), layer classes, or layers.
    """
    if not model.built:
        raise ValueError(
            "Pruning expects a built model; this one has no weights yet. Call it once, or start "
            "it with keras.Input."
        )
    check_ignored(model, ignored)
    found, seen = [], set()

    def visit(layer, path):
        if is_ignored(layer, ignored):
            return
        inside = [child for child in layer._flatten_layers(include_self=False, recursive=False)]
        of_children = {id(w) for child in inside for w in child.weights}
        for weight in layer.trainable_weights:
            if id(weight) in of_children or id(weight) in seen:
                continue
            if weight.name.endswith("kernel") and len(weight.shape) > 1:
                seen.add(id(weight))
                found.append(Prunable("/".join([*path, weight.name]), layer, weight))
        for child in inside:
            visit(child, [*path, child.name])

    visit(model, [])
    return found


def magnitude_masks(weights, sparsity, *, scope="global", alive=None):
    """Returns a mask for each array: false on the share `sparsity` of smallest magnitude.

    Args:
        weights: list of arrays.
        sparsity: float in [0, 1), the share of zeros, exact to one weight.
        scope: "global" compares all weights with one another, "layer" those of an array.
        alive: list of masks; what is false there stays pruned. Default: all are alive.
    """
    scores = [np.abs(np.asarray(w, "float64")) for w in weights]
    return lowest_masks(scores, sparsity, scope=scope, alive=alive)


def lowest_masks(scores, sparsity, *, scope="global", alive=None):
    """Returns masks that leave out the share `sparsity` of lowest scores."""
    if alive is not None:
        scores = [np.where(a, s, -1.0) for s, a in zip(scores, alive, strict=True)]
    if scope == "layer":
        masks = [_keep_highest(s.ravel(), sparsity).reshape(s.shape) for s in scores]
    else:
        flat = _keep_highest(np.concatenate([s.ravel() for s in scores]), sparsity)
        parts = np.split(flat, np.cumsum([s.size for s in scores])[:-1])
        masks = [part.reshape(s.shape) for part, s in zip(parts, scores, strict=True)]
    if alive is None:
        return masks
    return [m & np.asarray(a, "bool") for m, a in zip(masks, alive, strict=True)]


def _keep_highest(scores, sparsity):
    count = round(sparsity * scores.size)
    mask = np.ones(scores.size, "bool")
    if count:
        # Stable, so that a mask is reproducible where many weights are equal.
        mask[np.argsort(scores, kind="stable")[:count]] = False
    return mask


def n_m_mask(weight, n, m, axes=(-2,)):
    """Returns the mask that keeps the `n` largest of each `m` neighbours along the input axes.

    The groups run along `axes`, the axes that a matrix product sums over, as in the 2:4 kernels
    of GPUs. None when `m` does not divide the number of inputs.
    """
    axes = tuple(a % weight.ndim for a in axes)
    others = [a for a in range(weight.ndim) if a not in axes]
    moved = np.abs(np.transpose(weight, [*others, *axes]))  # (outputs..., inputs...)
    rows = moved.reshape(-1, int(np.prod([weight.shape[a] for a in axes])))
    if rows.shape[1] % m:
        return None
    groups = rows.reshape(-1, m)
    best = np.argsort(-groups, axis=1, kind="stable")[:, :n]
    mask = np.zeros(groups.shape, "bool")
    np.put_along_axis(mask, best, True, axis=1)
    return np.transpose(mask.reshape(moved.shape), np.argsort([*others, *axes]))


def input_axes(item):
    """Returns the axes of a kernel that its layer sums over, or None if it has none (depthwise)."""
    if item.variable.name.startswith("depthwise"):
        return None
    equation = getattr(item.layer, "equation", None)
    if equation is None:
        return (-2,)
    operands, result = equation.replace("...", "").split("->")
    data, kernel = operands.split(",")
    axes = tuple(i for i, letter in enumerate(kernel) if letter in data and letter not in result)
    return axes or None


def masked_optimizer(model, *, install=False):
    """Returns the `Masked` of a compiled model's optimizer, or None; may put one in place.

    It goes around the innermost optimizer, so that a loss scale, or an optimizer that only
    watches, stays outside and may be taken away without it.
    """
    holder, optimizer = None, model.optimizer
    while optimizer is not None:
        if isinstance(optimizer, Masked):
            if install and not optimizer.built:
                optimizer.build(model.trainable_variables)
            return optimizer
        inner = getattr(optimizer, "inner_optimizer", None)
        if inner is None:
            break
        holder, optimizer = optimizer, inner
    if not install or optimizer is None:
        return None
    masked = Masked(optimizer)
    _exchange(model, holder, optimizer, masked)
    masked.build(model.trainable_variables)
    return masked


def _exchange(model, holder, old, new):
    """Puts one optimizer in the place of another, also in what a saved model says of itself."""
    if holder is None:
        model.optimizer = new
    else:
        holder.inner_optimizer = new
    if model._compile_config.config["optimizer"] is old:
        model._compile_config.config["optimizer"] = new
    model.train_function = None  # it was compiled with the old one


def current_masks(model, items):
    """Returns the masks in force, one for each item: those of the optimizer, or the zeros found.

    A kernel that is all zero counts as not pruned: residual branches start like that.
    """
    optimizer = masked_optimizer(model) if model.compiled else None
    masks = []
    for item in items:
        if optimizer is not None and optimizer.built:
            masks.append(ops.convert_to_numpy(optimizer.mask(item.variable)).astype("bool"))
        else:
            value = item.value()
            masks.append(value != 0 if value.any() else np.ones(value.shape, "bool"))
    return masks


def apply_masks(model, masks, ignored=()):
    """Zeroes weights; if the model is compiled, its training keeps them at zero from now on.

    Args:
        model: a built model.
        masks: list of bool arrays, one for each of `prunable_weights(model, ignored)`.
        ignored: as for `prunable_weights`.

    Raises:
        ValueError: masks of another model's shape; the model is then unchanged.
    """
    items = prunable_weights(model, ignored)
    shapes = [tuple(np.shape(m)) for m in masks]
    expected = [tuple(item.variable.shape) for item in items]
    if shapes != expected:
        place = next(
            (i for i, pair in enumerate(zip(shapes, expected)) if pair[0] != pair[1]),
            min(len(shapes), len(expected)),
        )
        raise ValueError(
            f"Expected {len(expected)} masks of the shapes of the model's kernels; received "
            f"{len(shapes)}, which differ from number {place} on"
            + (f" ({items[place].path})" if place < len(items) else "")
            + ". Take masks of the same architecture."
        )
    optimizer = masked_optimizer(model, install=True) if model.compiled else None
    for item, mask in zip(items, masks, strict=True):
        if optimizer is not None:
            optimizer.set_mask(item.variable, mask)
        else:
            item.variable.assign(np.where(mask, item.value(), 0))


def strip(model):
    """Takes the masks out of a pruned model's optimizer, for an ordinary Keras model again.

    The zeros stay in the weights; a later `fit` may change them. The model is changed in place.

    Args:
        model: a `keras.Model`.

    Returns:
        The same model.

    Example:
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    >>> model.compile("adam", "mse")
    >>> callback = kerasdnn.callbacks.PruneToSparsity(0.5, begin=0.0, end=0.0)
    >>> history = model.fit(np.ones((8, 4)), np.ones((8, 4)), callbacks=[callback], verbose=0)
    >>> type(model.optimizer).__name__, type(strip(model).optimizer).__name__
    ('Masked', 'Adam')
    """
    masked = masked_optimizer(model) if model.compiled else None
    if masked is None:
        return model
    holder = model.optimizer if model.optimizer is not masked else None
    while holder is not None and holder.inner_optimizer is not masked:
        holder = holder.inner_optimizer
    _exchange(model, holder, masked, masked.inner_optimizer)
    return model
