"""Metrics that do not measure what their name suggests."""

from kerasdnn.diagnosis.finding import Finding

ACCURACIES = ("accuracy", "acc")


def named(evidence):
    """Accuracy of a regression, of several labels at once, or by equality of floats."""
    model = evidence.model
    if not evidence.labels or not model.metrics:
        return []
    label, out = evidence.labels[0], model.outputs[0]
    metrics = set(model.metrics)
    if "Accuracy" in metrics and label.kind != "none" and out.activation != "unknown":
        text = "metrics.Accuracy compares for equality: a probability is never equal to a label."
        return [_finding(text, "warning", 'metrics=["accuracy"]', label, 0.6)]
    if metrics.isdisjoint(ACCURACIES):
        return []
    if label.kind == "real":
        text = "Accuracy counts equal numbers, which a regression does not produce."
        return [_finding(text, "info", 'metrics=["mae"]', label, 0.3)]
    if label.kind == "multihot" and (out.units or 0) > 1:
        text = "With several labels a row, Keras takes accuracy as that of the highest unit."
        return [_finding(text, "info", 'metrics=["binary_accuracy"]', label, 0.3)]
    return []


def _finding(text, severity, line, label, confidence):
    return Finding(
        "metric.wrong",
        severity,
        text,
        evidence={"labels": label.kind},
        location="metrics",
        remedy=line,
        confidence=confidence,
    )
