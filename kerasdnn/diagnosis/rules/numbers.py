"""Losses of a regression: can the output reach the targets, and are they numbers at all?"""

import math

from kerasdnn.diagnosis.rules.heads import RANGES, UNREACHED, finding, multi_label, soft, task


def numbers(e, out, loss, label):
    """Losses of a regression."""
    width = label.shape[-1] if label.shape else 1
    steps = out.shape[0] if len(out.shape) == 2 else None
    if steps is not None and steps > 1 and label.shape in ((), (1,)):
        text = (
            f"The output has {steps} steps a row, the targets one number: each step is trained to "
            "be that number. The last recurrent layer may return sequences."
        )
        line = "return_sequences=False in the last recurrent layer"
        facts = {"output_shape": list(out.shape), "label_shape": list(label.shape)}
        spread = finding("output.broadcast", "error", text, out, label, facts, 0.9)
        spread.remedy, spread.change = line, None  # another layer than the head is to change
        return [spread]
    found = []
    if out.units and out.units > 1 and width == 1 and len(out.shape) == 1:
        text = (
            f"The targets have one column and the output {out.units} units: each unit is trained "
            "to be the same number."
        )
        found.append(
            finding("output.broadcast", "error", text, out, label, {"columns": width}, 0.97)
        )
        if label.kind == "classes":
            text = f"{loss.name} compares class numbers as if they were quantities."
            found.append(task(e, out, label, text, severity="info", confidence=0.6))
        return found
    if label.kind == "multihot" and out.activation == "softmax":
        return [multi_label(out, label)]
    if label.kind == "onehot" and out.activation in ("softmax", "linear", "relu"):
        text = f"The rows name one class each; {loss.name} learns them slowly: use cross-entropy."
        sure = 0.75 if out.activation == "softmax" else 0.85
        return [task(e, out, label, text, severity=soft(e), confidence=sure)]
    if label.kind in ("real", "classes", "signed", "binary"):
        found += reach(out, label)
    if label.kind == "binary" and not found and out.activation == "sigmoid":
        text = f"{loss.name} on a yes or no learns more slowly than binary cross-entropy."
        found.append(task(e, out, label, text, severity="info", confidence=0.3))
    if label.kind == "binary" and not found and out.activation in ("linear", "relu", "tanh"):
        text = (
            f"The labels are 0 and 1, but {loss.name} on {out.activation} treats them as numbers."
        )
        found.append(task(e, out, label, text, severity="info", confidence=0.4))
    return found


def reach(out, label):
    """Targets outside of what the last activation can give."""
    low, high = RANGES.get(out.activation, (-math.inf, math.inf))
    slack = 1e-3 * max(1.0, label.high - label.low)
    share = _share_outside(label, low, high)
    if (label.low >= low - slack and label.high <= high + slack) or share <= UNREACHED:
        return []
    reach = f"[{low:g}, {high:g}]" if math.isfinite(high) else f"{low:g} and above"
    text = (
        f"{out.activation} only reaches {reach}; {share:.0%} of the targets, which go from "
        f"{label.low:g} to {label.high:g}, lie outside."
    )
    change = {
        "kind": "head",
        "activation": "linear",
        "units": out.units,
        "loss": "mean_squared_error",
    }
    line = f'Dense({out.units}, activation="linear"); y = (y - y.mean(0)) / y.std(0)'
    facts = {"lowest": label.low, "highest": label.high, "share_outside": share}
    return [finding("output.range", "error", text, out, label, facts, 0.97, change, line)]


def _share_outside(label, low, high):
    share = 0.0
    if low == 0.0:
        share += label.below_zero
    if high == 1.0 and low == 0.0:
        share += label.above_one
    if low == -1.0:
        share = label.outside_unit
    if high == 6.0 and label.high > 6:
        share = max(share, 1.0 if label.low > 6 else 0.02)
    return share
