"""Shapes of output and labels that Keras refuses: found before the training is started."""

from kerasdnn.diagnosis.finding import Finding
from kerasdnn.diagnosis.rules.heads import BINARY, CATEGORICAL, SPARSE, proper_head


def misfit(evidence):
    """Returns the finding of labels whose shape the output cannot take, or None."""
    model = evidence.model
    for index, out in enumerate(model.outputs):
        loss = model.losses[index] if index < len(model.losses) else None
        if loss is None or not loss.known or index >= len(evidence.labels) or not out.shape:
            continue
        label = evidence.labels[index]
        if label.kind == "none" or None in out.shape:
            continue
        finding = _one(out, loss, label)
        if finding is not None:
            return finding
    return None


def _one(out, loss, label):
    columns = label.shape[-1] if label.shape else 1
    flat = not label.shape or label.shape == (1,)
    if loss.name in SPARSE:
        rows = label.kind in ("onehot", "distribution") and columns == out.units and columns > 1
        if rows and len(label.shape) == len(out.shape):
            text = f"The labels are one-hot rows of {columns}; {loss.name} wants class numbers."
            change = {"kind": "loss", "loss": "categorical_crossentropy"}
            line = 'loss="categorical_crossentropy"'
            return _finding("loss.task", text, out, label, change, line)
        return None
    if flat and (out.units or 1) > 1 and len(out.shape) == 1:
        if loss.name in CATEGORICAL:
            text = f"The labels are class numbers; {loss.name} expects one-hot rows of {out.units}."
            change = {"kind": "loss", "loss": "sparse_categorical_crossentropy"}
            line = 'loss="sparse_categorical_crossentropy"'
            if label.kind in ("classes", "binary") and label.high < out.units:
                return _finding("loss.task", text, out, label, change, line)
            return _finding("output.units", text, out, label)
        if loss.name in BINARY or not label.shape:
            text = f"The labels have one value a row, the output {out.units}."
            return _finding("output.units", text, out, label)
        return None
    if len(label.shape) == len(out.shape) == 1 and columns != out.units and columns > 1:
        # A single output is silently repeated by the losses of numbers, but not by the others.
        text = f"The labels have {columns} columns, the output {out.units} units."
        return _finding("output.units", text, out, label)
    return None


def shape_error(evidence, text):
    """Turns Keras' message about shapes into a finding, or returns None."""
    words = ("shape", "rank", "dimension", "incompatible", "size")
    if evidence.model is None or not any(word in text.lower() for word in words):
        return None
    return Finding(
        "data.shape",
        "error",
        f"Data and model do not fit: {text}",
        location="x, y",
        confidence=0.9,
        stage="data",
    )


def _finding(name, text, out, label, change=None, line=None):
    if change is None:
        change, line = proper_head(label)
    facts = {"output_shape": list(out.shape), "label_shape": list(label.shape)}
    return Finding(
        name,
        "error",
        text,
        evidence={**facts, "labels": label.kind, "activation": out.activation},
        location=out.layer or out.name,
        remedy=line,
        confidence=0.97,
        change=change,
    )
