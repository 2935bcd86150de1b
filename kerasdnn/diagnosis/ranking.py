"""Puts the cause that explains most of what was seen first, and symptoms behind their cause."""

from kerasdnn.diagnosis.finding import SEVERITIES

SYMPTOMS = {
    "loss.nan",
    "loss.oscillation",
    "loss.plateau",
    "loss.at_lnC",
    "act.dead",
    "act.saturated",
    "grad.vanish",
    "grad.explode",
    "fit.underfit",
    "metric.wrong",
}
STUCK = ("loss.plateau", "loss.at_lnC", "fit.underfit", "fit.epochs")
WILD = ("loss.nan", "loss.oscillation", "grad.explode")
# What each cause can bring about; a symptom is explained by any finding that names it.
EXPLAINS = {
    "output.softmax_one_unit": (*STUCK, *WILD, "lr.low", "grad.vanish", "act.dead", "data.scale_y"),
    "output.activation_loss": (*STUCK, *WILD, "act.dead", "grad.vanish"),
    "output.range": (*STUCK, "act.saturated", "act.dead", "grad.vanish", "lr.low"),
    "output.units": (*STUCK, *WILD, "act.dead", "grad.vanish"),
    "output.broadcast": STUCK,
    "loss.task": (*STUCK, *WILD),
    "loss.logits": (*STUCK, *WILD, "act.dead", "grad.vanish"),
    "loss.reduction": (*WILD, "lr.high", "act.dead", "loss.plateau", "loss.at_lnC"),
    "lr.sign": (*STUCK, *WILD, "lr.high"),
    "lr.high": (
        *WILD,
        "act.dead",
        "act.saturated",
        "grad.vanish",
        "loss.plateau",
        "loss.at_lnC",
        "fit.underfit",
    ),
    "lr.low": (*STUCK, "fit.batch", "grad.vanish"),
    "fit.epochs": ("fit.batch", "loss.plateau", "loss.at_lnC", "fit.underfit"),
    "data.scale_x": (
        *STUCK,
        *WILD,
        "act.dead",
        "act.saturated",
        "grad.vanish",
        "lr.high",
        "lr.low",
    ),
    "data.scale_y": (*STUCK, *WILD, "lr.low", "lr.high", "act.dead", "grad.vanish"),
    "data.labels": (*STUCK, "fit.overfit"),
    "data.order": (*STUCK, "fit.overfit", "data.labels"),
    "data.imbalance": ("loss.plateau", "loss.at_lnC", "fit.underfit"),
    "data.augment": (*STUCK, "reg.strong", "lr.low"),
    "grad.clipped": (*STUCK, "lr.low"),
    "callbacks.early_stopping": (*STUCK, "lr.low"),
    "arch.ids": (*STUCK, *WILD, "data.scale_x", "fit.overfit", "data.labels", "lr.low"),
    "loss.sign": (*STUCK, *WILD, "lr.high", "act.dead", "act.saturated", "grad.vanish"),
    "fit.batch": STUCK,
    "data.nan": (*STUCK, *WILD),
    "data.constant": STUCK,
    "data.tiny": ("fit.overfit", "data.labels"),
    "init.constant": (*STUCK, "grad.vanish", "act.dead", "init.scale", "lr.low"),
    "init.scale": (*STUCK, *WILD, "act.dead", "act.saturated", "grad.vanish", "lr.low", "lr.high"),
    "act.linear": (*STUCK, "lr.low", "fit.epochs"),
    "grad.vanish": (*STUCK, "act.saturated", "lr.low"),
    "act.dead": (*STUCK, "grad.vanish"),
    "act.saturated": (*STUCK, "grad.vanish"),
    "reg.strong": (*STUCK, "act.dead", "grad.vanish", "lr.low"),
    "fit.underfit": ("act.dead", "loss.plateau", "loss.at_lnC"),
    "reg.dropout_out": (*STUCK, "reg.strong"),
    "arch.frozen": (*STUCK, "lr.low"),
}
PARTIAL = 0.5  # share of the best gain below which a change only eases
PROVED = 0.1  # gain in skill from which a change is taken to have mended the training
MENDED = 0.8  # skill from which one change has done all there is to do
CERTAIN = ("program.", "data.nan", "data.shape")


def rank(findings, evidence):
    """Returns the findings, most likely cause first.

    A cause gains by each symptom that it accounts for. A finding that a stronger one accounts for
    is kept as "info", so that the warnings are the causes.
    """
    findings = _one_each(findings)
    ids = {finding.id for finding in findings}
    for finding in findings:
        finding.explains = [name for name in EXPLAINS.get(finding.id, ()) if name in ids]
    best = max((finding.proved or 0.0 for finding in findings), default=0.0)
    for finding in findings:
        eases = finding.proved is not None and finding.proved < PARTIAL * best
        if finding.severity == "warning" and eases:  # another change mends the training
            finding.severity = "info"
    findings.sort(key=_weight, reverse=True)
    _alternatives(findings, evidence)
    for position, finding in enumerate(findings):
        stronger = [
            other
            for other in findings[:position]
            if finding.id in other.explains
            and other.at_least("warning")
            and (finding.proved is None or (other.proved or 1.0) >= finding.proved - PROVED)
        ]
        hard = finding.severity == "error" and not _symptom(finding)
        if stronger and finding.at_least("warning") and not hard:
            finding.severity = "info"
            finding.evidence["explained_by"] = stronger[0].id
    findings.sort(key=_weight, reverse=True)
    return findings


def _alternatives(findings, evidence):
    """Where one change alone mends the training, others that help are other ways to do it."""
    before = max((evidence.trials.get("base") or {}).get("skill") or 0.0, 0.0)
    helped = [f for f in findings if f.at_least("warning") and (f.proved or 0.0) >= PROVED]
    if not helped or before + helped[0].proved < MENDED:
        return
    for finding in helped[1:]:
        if finding.severity == "warning":
            finding.severity = "info"
            finding.evidence["also_mended_by"] = helped[0].id


def _weight(finding):
    """Certainty first, then severity, confidence and what is explained."""
    certain = any(finding.id.startswith(name) for name in CERTAIN)
    symptom = _symptom(finding)
    sure = finding.confidence
    if (finding.proved or 0.0) >= PROVED:  # measured, not guessed; the confidence breaks near ties
        sure = finding.proved + 0.3 * finding.confidence
    score = sure + 0.04 * len(finding.explains) - (0.1 if symptom else 0.0)
    return (certain, SEVERITIES.index(finding.severity) - (1 if symptom else 0), score)


def _symptom(finding):
    """A symptom that was mended by itself, and the training with it, is a cause."""
    return finding.id in SYMPTOMS and (finding.proved or 0.0) < PROVED


def _one_each(findings):
    """Of several findings with one name the surest stays."""
    best = {}
    for finding in sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.confidence)):
        before = best.get(finding.id)
        if before is not None and finding.proved is None:
            finding.proved = before.proved
        best[finding.id] = finding
    return list(best.values())
