"""The rows themselves: missing numbers, order, balance, how many there are."""

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding

import keras
import numpy as np

SHIFTED = 0.5  # share of the validation rows whose classes are not where they should be
IMBALANCE = 10.0  # rows of the largest class for each of the smallest


def not_finite(rows):
    """Returns the finding of data with NaN or infinity, or None."""
    for place, part in (("x", rows.x), ("y", rows.y)):
        if part is None:
            continue
        for array in keras.tree.flatten(part):
            array = np.asarray(array)
            if array.dtype.kind != "f":
                continue
            bad = ~np.isfinite(array)
            if bad.any():
                rows_bad = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1))
                return Finding(
                    "data.nan",
                    "error",
                    f"{place} contains NaN or infinity in {len(rows_bad)} of {len(array)} rows: "
                    "one of them makes every weight NaN.",
                    evidence={
                        "rows": len(rows_bad),
                        "first_row": int(rows_bad[0]),
                        "share": float(bad.mean()),
                    },
                    location=place,
                    remedy=f"keep = np.isfinite({place}).all(-1); x, y = x[keep], y[keep]",
                    confidence=1.0,
                    stage="data",
                    change={"kind": "labels", "to": "finite"},
                )
    return None


def imbalance(evidence):
    """Classes of very different size without weights."""
    if not evidence.labels or evidence.model is None or evidence.model.weighted:
        return []
    counts = evidence.labels[0].counts
    if len(counts) < 2:
        return []
    ratio = max(counts.values()) / min(counts.values())
    if ratio < 3:
        return []
    run = evidence.run
    bad = run is not None and run.skill is not None and run.skill < judgement.LEARNED
    severity = "warning" if ratio >= IMBALANCE and bad and max(counts.values()) >= 50 else "info"
    smallest = min(counts, key=counts.get)
    return [
        Finding(
            "data.imbalance",
            severity,
            f"The largest class has {ratio:.3g} times as many rows as the smallest.",
            evidence={"ratio": ratio, "smallest_class": smallest, "threshold": IMBALANCE},
            location="y",
            remedy=f"fit(class_weight={_weights(counts)})",
            confidence=0.5 if severity == "warning" else 0.15,
            stage="data",
            change={"kind": "fit", "class_weight": _class_weight(counts)},
            recipe="loss_not_converging",
        )
    ]


def _class_weight(counts):
    total = sum(counts.values())
    return {name: round(total / (len(counts) * n), 3) for name, n in counts.items()}


def _weights(counts):
    return _class_weight(counts) if len(counts) <= 4 else "{class: rows / (classes * its rows)}"


def order(evidence):
    """Rows stored class by class, and taken so."""
    if not evidence.labels or evidence.model is None:
        return []
    label, model = evidence.labels[0], evidence.model
    facts = {
        "classes": len(label.counts),
        "unseen_in_training": label.unseen,
        "class_shift_of_validation": label.validation_shift,
        "threshold": SHIFTED,
    }
    apart = label.validation_shift > SHIFTED and (label.sorted or label.unseen)
    if apart and model.validation == "split" and label.validation_rows >= 5:
        text = (
            "The rows are stored class by class, and validation_split takes the last ones: "
            f"training and validation have different classes, {label.validation_shift:.0%} apart."
        )
        return [_finding("error", text, facts, 0.97)]
    if label.sorted and not model.shuffle:
        text = "The rows are stored class by class and are not shuffled: a batch has one class."
        return [_finding("warning", text, facts, 0.8)]
    return []


def _finding(severity, text, facts, confidence):
    return Finding(
        "data.order",
        severity,
        text,
        evidence=facts,
        location="x, y",
        remedy="order = np.random.default_rng(0).permutation(len(x)); x, y = x[order], y[order]",
        confidence=confidence,
        stage="data",
        change={"kind": "shuffle"},
    )


def tiny(evidence):
    """Fewer rows than a network needs to find a rule."""
    if not evidence.labels or evidence.model is None:
        return []
    label, model = evidence.labels[0], evidence.model
    rows, classes = label.rows, len(label.counts)
    each = rows / classes if classes > 2 else rows
    if rows >= 100 and each >= 15:
        return []
    per_class = f", {each:.3g} for each of {classes} classes" if classes > 2 else ""
    return [
        Finding(
            "data.tiny",
            "info",
            f"There are only {rows} rows{per_class}, for {model.trainable_parameters:,} weights.",
            evidence={"rows": rows, "rows_a_class": each, "weights": model.trainable_parameters},
            location="x",
            remedy="collect more rows, augment them, or start from a trained model",
            confidence=0.35 if rows < 30 else 0.25,
            stage="data",
            recipe="loss_not_converging",
        )
    ]


def ids(evidence):
    """Numbers that are names, of words say, taken for quantities."""
    if evidence.model is None:
        return []
    for item in evidence.inputs or []:
        if not item.ids or not item.judged:
            continue
        run = evidence.run
        worked = judgement.learned(evidence) and (run.val_skill is None or run.val_skill > 0.5)
        text = (
            f"The inputs are whole numbers up to {item.high:g} that look like ids, of words say: "
            "as quantities they say nothing."
        )
        line = f"Embedding({int(item.high) + 1}, 32) as the first layer"
        return [
            Finding(
                "arch.ids",
                "info" if worked else "warning",
                text,
                evidence={"lowest": item.low, "highest": item.high, "dtype": item.dtype},
                location=item.received_by or item.name,
                remedy=line,
                confidence=0.2 if worked else 0.8,
                stage="data",
            )
        ]
    return []


def constant(evidence):
    """Inputs that never change."""
    for inputs in evidence.inputs or []:
        if inputs.rows > 1 and inputs.constant == 1.0 and inputs.shape:
            return [
                Finding(
                    "data.constant",
                    "error",
                    "All rows of the input are the same: there is nothing to learn from.",
                    evidence={"rows": inputs.rows, "distinct": 1},
                    location=inputs.name,
                    remedy="check how x is read",
                    confidence=0.95,
                    stage="data",
                )
            ]
    return []
