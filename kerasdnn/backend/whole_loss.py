"""The loss that `fit` would minimise on a batch, and how to look at it without leaving a trace.

Used by `loss_gradients` of each backend.
"""

import contextlib
import inspect

import keras


def whole_loss(model, x, y, sample_weight, training):
    """Returns the scalar of `model.compute_loss` on one batch: the loss and all penalties."""
    x, y, sample_weight = keras.tree.map_structure(
        lambda leaf: None if leaf is None else keras.ops.convert_to_tensor(leaf),
        (x, y, sample_weight),
    )
    y_pred = model(x, **_accepted(model.call, training))
    return model.compute_loss(
        x=x,
        y=y,
        y_pred=y_pred,
        sample_weight=sample_weight,
        **_accepted(model.compute_loss, training),
    )


def _accepted(method, training):
    """Older overrides of `call` and `compute_loss` do without the argument."""
    parameters = inspect.signature(method).parameters.values()
    takes = any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)
    return {"training": training} if takes else {}


@contextlib.contextmanager
def left_unchanged(model):
    """Puts weights, statistics, seeds, optimizer and metrics back as they were at the beginning."""
    if not model.built:
        raise ValueError(
            f"loss_gradients expects a built model; '{model.name}' has no weights yet. "
            "Call it on one batch first."
        )
    before = {id(v): (v, keras.ops.convert_to_numpy(v)) for v in _variables(model)}
    try:
        yield
    finally:
        for variable, value in before.values():
            variable.assign(value)
        for metric in model.metrics:  # one that was first built inside has nothing to go back to
            if any(id(v) not in before for v in metric.variables):
                metric.reset_state()


def _variables(model):
    optimizer = getattr(model, "optimizer", None)
    return [*model.variables, *model.metrics_variables, *(optimizer.variables if optimizer else ())]
