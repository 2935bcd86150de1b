"""What heads, losses and labels belong together; shared by the rules about outputs."""

import math

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding

CATEGORICAL = ("categorical_crossentropy", "categorical_focal_crossentropy")
SPARSE = ("sparse_categorical_crossentropy",)
BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
NUMBERS = (
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "log_cosh",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
)
HINGES = ("hinge", "squared_hinge")
RANGES = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "softplus": (0.0, math.inf),
    "exponential": (0.0, math.inf),
    "relu6": (0.0, 6.0),
}
UNREACHED = 0.01  # share of the targets outside the range of the output


def proper_head(label):
    """Returns the change that gives output and loss for such labels, and its line of code."""
    kind = label.kind
    if kind == "binary":
        return _head("sigmoid", 1, "binary_crossentropy")
    if kind == "signed":
        return _head("tanh", 1, "mean_squared_error")
    if kind == "classes":
        units = max(int(label.high) + 1, 2)
        return _head("softmax", units, "sparse_categorical_crossentropy")
    width = label.shape[-1] if label.shape else 1
    if kind in ("onehot", "distribution"):
        return _head("softmax", width, "categorical_crossentropy")
    if kind == "multihot":
        return _head("sigmoid", width, "binary_crossentropy")
    return _head("linear", width, "mean_squared_error")


def _head(activation, units, loss):
    change = {"kind": "head", "activation": activation, "units": units, "loss": loss}
    return change, f'Dense({units}, activation="{activation}"), loss="{loss}"'


def finding(name, severity, message, out, label, evidence, confidence=0.95, change=None, line=None):
    """Returns a finding about the head; without a change the one that fits the labels."""
    if change is None:
        change, line = proper_head(label)
    facts = {"activation": out.activation, "units": out.units, "labels": label.kind}
    return Finding(
        name,
        severity,
        message,
        evidence={**facts, **evidence},
        location=out.layer or out.name,
        remedy=line or "",
        confidence=confidence,
        change=change,
        recipe="loss_not_converging",
    )


def one_unit(out, loss, label):
    """Softmax over one unit."""
    return finding(
        "output.softmax_one_unit",
        "error",
        "Softmax over a single unit is always 1: the output does not depend on the input.",
        out,
        label,
        {"loss": loss.name if loss else None, "axis_size": 1},
        confidence=1.0,
    )


def task(e, out, label, message, *, severity="error", confidence=0.9):
    """Returns the finding of a loss that is for another task."""
    return finding("loss.task", severity, message, out, label, {}, confidence)


def soft(e, severity="warning"):
    """A fault that can still train is only worth knowing where it was seen to train."""
    return "info" if judgement.learned(e) else severity


def multi_label(out, label):
    """Several labels in a row on a head that allows one."""
    facts = {"row_sum_lowest": label.row_sum[0], "row_sum_highest": label.row_sum[1]}
    text = (
        f"The rows have {label.row_sum[0]:g} to {label.row_sum[1]:g} labels at once, but "
        f"{out.activation} with this loss allows one: outputs of a row compete."
    )
    return finding("output.activation_loss", "error", text, out, label, facts, 0.95)
