"""Callbacks that end the training when they should not."""

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding
from kerasdnn.diagnosis.plan import run_ended_by_callback

GROWS = ("acc", "auc", "precision", "recall", "f1", "iou")  # what is better when it is larger


def direction(evidence):
    """A monitor that is told to grow though it should fall, or the other way round."""
    for item in evidence.model.stopping:
        name = str(item["monitor"]).lower()
        better = "min" if "loss" in name or "error" in name else None
        better = "max" if any(word in name for word in GROWS) else better
        if better is None or item["mode"] in ("auto", better):
            continue
        severity = "info" if judgement.learned(evidence) else "error"
        text = (
            f"EarlyStopping takes a training in which {item['monitor']} gets better for one that "
            f"does not improve: mode is {item['mode']!r}."
        )
        return [_finding(severity, text, item, f'mode="{better}"', 0.95)]
    return []


def too_early(evidence):
    """Stopped by a callback, though it would have gone on to learn."""
    run = evidence.run
    gain = judgement.gain(evidence, "no stopping")
    if not run_ended_by_callback(evidence) or gain is None or gain < judgement.HELPS:
        return []
    facts = {
        "epochs": len(run.loss),
        "epochs_planned": run.epochs_planned,
        "skill": run.skill,
        "skill_without": evidence.trials["no stopping"]["skill"],
    }
    for item in evidence.model.stopping[:1]:
        facts.update(item)
    text = f"A callback ends the training after {len(run.loss)} epochs, before it has learned."
    severity, sure = judgement.severity(evidence, gain), min(0.95, 0.6 + gain)
    return [_finding(severity, text, facts, "EarlyStopping(patience=10)", sure, gain, "dynamics")]


def _finding(severity, text, facts, line, confidence, proved=None, stage="structure"):
    return Finding(
        "callbacks.early_stopping",
        severity,
        text,
        evidence=facts,
        location="callbacks",
        remedy=line,
        confidence=confidence,
        stage=stage,
        change={"kind": "fit", "callbacks": None},
        proved=proved,
    )
