"""Puts what was seen into the plain form that a report has."""

import math

import keras
import numpy as np


def find_nan(model, rows, trace):
    """Returns where a loss that is not a number comes from: inputs, weights or the loss itself."""
    batch = rows.take(trace.nan_index)
    for leaf in keras.tree.flatten((batch.x, batch.y)):
        if np.asarray(leaf).dtype.kind == "f" and not np.all(np.isfinite(leaf)):
            return {"step": trace.nan_step, "what": "input", "where": f"batch {trace.nan_step}"}
    for variable in model.trainable_variables:
        if not np.all(np.isfinite(keras.ops.convert_to_numpy(variable))):
            return {"step": trace.nan_step, "what": "weight", "where": variable.path}
    return {"step": trace.nan_step, "what": "loss", "where": f"batch {trace.nan_step}"}


def curves(run):
    """Returns the curves of a report from a `Dynamics`."""
    found = {"loss": run.loss, "val_loss": run.val_loss, "rate": run.rate, **run.metrics}
    found["loss_step"] = run.step_loss
    return {k: [_number(v) for v in values] for k, values in found.items() if values}


def layers(run):
    """Returns the layer statistics of a report from a `Dynamics`."""
    rows = {
        "gradient_norm": run.gradient_norm_by_layer,
        "update_ratio": run.update_ratio_by_layer,
        "dead_share": run.dead_share_by_layer,
        "saturated_share": run.saturated_share_by_layer,
        "activation_std": run.activation_std_by_layer,
    }
    matrices = {k: [[_number(v) for v in row] for row in table] for k, table in rows.items()}
    return {"names": list(run.layers), "time": list(run.time), **matrices}


def summary(facts, model):
    """Returns what a report says about the program."""
    optimizer = facts.optimizer
    return {
        "model": model.name,
        "kind": facts.kind,
        "parameters": facts.parameters,
        "loss": ", ".join(loss.name for loss in facts.losses if loss is not None),
        "optimizer": optimizer.name if optimizer else None,
        "learning_rate": optimizer.rate if optimizer else None,
        "batch_size": facts.batch_size,
        "epochs": facts.epochs,
        "rows": facts.rows,
        "backend": keras.backend.backend(),
    }


def _number(value):
    if value is None or not math.isfinite(value):
        return None
    return float(value)
