"""Are the labels what the loss can read, and do they belong to their inputs?"""

import math

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding
from kerasdnn.diagnosis.rules.heads import CATEGORICAL, SPARSE

MANY_ROWS = 5  # for each feature; and a hundred in all


def for_loss(evidence):
    """Range, integers and number of distinct classes."""
    found = []
    for index, out in enumerate(evidence.model.outputs):
        losses = evidence.model.losses
        loss = losses[index] if index < len(losses) else None
        if loss is None or not evidence.labels or index >= len(evidence.labels):
            continue
        label = evidence.labels[index]
        if label.kind == "none":
            continue
        if loss.name in SPARSE:
            found += _sparse(out, label)
        if label.constant and label.rows > 1 and loss.known and not found:
            text = f"All targets are {label.low:g}: there is nothing to tell apart."
            found.append(_finding("data.labels", text, {"distinct": 1}, 0.9))
    return found


def _sparse(out, label):
    facts = {"lowest": label.low, "highest": label.high, "units": out.units, "dtype": label.dtype}
    if not label.integer:
        text = (
            f"Class labels must be whole numbers; {label.distinct} values from {label.low:g} to "
            f"{label.high:g} are cut to {label.truncated_classes} classes."
        )
        facts["classes_after_cast"] = label.truncated_classes
        change = {"kind": "labels", "to": "zero_based"}
        return [
            _finding("data.labels", text, facts, 0.98, change, "y = y * 255  # undo the scaling")
        ]
    if label.low < 0 or (label.low >= 1 and out.units and label.high == out.units):
        text = (
            f"Class labels go from 0 to units - 1; these go from {label.low:g} to {label.high:g}."
        )
        change = {"kind": "labels", "to": "zero_based"}
        line = "y = np.unique(y, return_inverse=True)[1]"
        return [_finding("data.labels", text, facts, 0.97, change, line)]
    if out.units and out.units > 1 and label.high >= out.units:
        text = f"The labels name {label.high + 1:g} classes, the output has {out.units} units."
        change = {"kind": "head", "activation": None, "units": int(label.high) + 1, "loss": None}
        return [_finding("output.units", text, facts, 0.97, change, f"Dense({label.high + 1:g})")]
    return []


def _finding(name, text, facts, confidence, change=None, line="", severity="error"):
    return Finding(
        name,
        severity,
        text,
        evidence=facts,
        location="y",
        remedy=line,
        confidence=confidence,
        change=change,
    )


def unrelated(evidence):
    """One batch can be learned by heart, but nothing carries over to rows that were held out."""
    run, batch = evidence.run, evidence.batch
    if run.val_skill is None or run.skill is None or run.nan is not None:
        return []
    if run.val_skill > 0.05 or not evidence.labels or evidence.labels[0].unseen:
        return []
    by_heart = max(run.skill, (batch.overfit_skill if batch else None) or 0.0)
    if by_heart < 0.5 or run.val_skill > 0.25 * by_heart:
        return []
    facts = {
        "skill_training": run.skill,
        "skill_held_out": run.val_skill,
        "skill_one_batch": batch.overfit_skill if batch else None,
    }
    text = (
        "Rows can be learned by heart, but nothing carries over to held-out rows: the labels may "
        "not belong to their inputs, or the inputs say nothing about them."
    )
    trained = run.skill >= judgement.HALF_WAY
    many = trained and len(evidence.labels) == 1 and rows_a_feature(evidence) >= MANY_ROWS
    sure = 0.75 if many else 0.6 if run.skill < judgement.LEARNED else 0.45
    line = "check that x and y are in the same order: plot a few x[i] with y[i]"
    # With few rows and many features learning by heart is to be expected.
    severity = "warning" if many else "info"
    facts["rows_a_feature"], facts["threshold"] = rows_a_feature(evidence), MANY_ROWS
    return [_finding("data.labels", text, facts, sure, None, line, severity=severity)]


def rows_a_feature(evidence):
    """Returns how many rows there are for each number of a row of the inputs."""
    width = sum(math.prod(item.shape or (1,)) for item in evidence.inputs or [])
    return evidence.labels[0].rows / max(width, 1) if evidence.inputs else 0.0


__all__ = ["CATEGORICAL", "for_loss", "unrelated"]
