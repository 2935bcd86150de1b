"""How long and in which portions it is trained, and what comes of it: over- and underfit."""

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding

FALLING = 0.04  # share of the loss that the last quarter of a training may still take off


def epochs(evidence):
    """Stopped while it was still getting better."""
    run = evidence.run
    if run.nan is not None or not run.loss or run.stopped_early:
        return []
    gain = judgement.gain(evidence, "epochs x4")
    falling = judgement.still_falling(judgement.loss_pieces(run))
    planned = run.epochs_planned or 1
    steps = planned * (run.steps_per_epoch or 1)
    facts = {
        "epochs": planned,
        "steps": steps,
        "share_of_loss_lost_in_last_quarter": falling,
        "threshold": FALLING,
        "skill": run.skill,
    }
    well = judgement.learned(evidence)
    if gain is not None:
        facts["skill_after_4x"] = evidence.trials["epochs x4"]["skill"]
        if gain < 0.1 and falling < FALLING:
            return []
    elif falling < FALLING and not (planned <= 2 and not well):
        return []
    helped = gain is not None and gain >= 0.1
    severity = "info" if well else judgement.severity(evidence, gain)
    sure = min(0.85, 0.5 + gain) if helped else (0.3 if not well else 0.1)
    if helped and steps < 200:
        sure = min(0.95, sure + 0.1)
    if well and falling < 0.2:
        return []
    return [
        _finding(
            "fit.epochs",
            severity,
            f"The training stops after {steps} steps while the loss is still falling.",
            facts,
            "epochs",
            f"epochs={4 * planned}",
            sure,
            {"kind": "epochs", "factor": 4.0},
            gain,
        )
    ]


def batch(evidence):
    """So large a batch that an epoch has hardly a step, or single rows."""
    run, model = evidence.run, evidence.model
    size, rows = model.batch_size or 0, model.rows or 0
    if not size or not rows or not judgement.unwell(evidence):
        return []
    steps = (run.epochs_planned or 1) * (run.steps_per_epoch or 1)
    if size >= 256 and rows >= 256 and steps < 300 and (run.steps_per_epoch or 1) <= 30:
        text = f"With {size} rows a batch the whole training has only {steps} steps."
        return [
            _finding(
                "fit.batch",
                "info",
                text,
                {"batch_size": size, "steps": steps, "threshold": 300},
                "batch_size",
                "batch_size=32",
                0.3,
                {"kind": "fit", "batch_size": 32},
            )
        ]
    if size == 1 and rows >= 100:
        text = "With a single row a batch every step follows the noise of that row."
        return [
            _finding(
                "fit.batch",
                "info",
                text,
                {"batch_size": 1, "rows": rows},
                "batch_size",
                "batch_size=32",
                0.25,
                {"kind": "fit", "batch_size": 32},
            )
        ]
    return []


def overfit(evidence):
    """Learned by heart: the held-out rows get worse while the training rows get better."""
    run = evidence.run
    if run.skill is None or run.val_skill is None or run.skill < 0.6:
        return []
    gap = run.skill - max(run.val_skill, 0.0)
    if gap < 0.25:
        return []
    rising = _rise(run.val_loss)
    regularized = any(
        la.dropout or la.l1 or la.l2 or la.kind == "BatchNormalization"
        for la in evidence.model.layers
    )
    facts = {
        "skill_training": run.skill,
        "skill_held_out": run.val_skill,
        "rise_of_val_loss": rising,
        "regularized": regularized,
    }
    given = evidence.model.validation is not None
    severity = "warning" if given and gap >= 0.4 and rising > 0.5 and not regularized else "info"
    return [
        _finding(
            "fit.overfit",
            severity,
            f"Training rows are learned ({run.skill:.2f}), held-out rows are not "
            f"({run.val_skill:.2f}).",
            facts,
            "model",
            "Dropout(0.3), weight decay, EarlyStopping(restore_best_weights=True), more rows",
            min(0.7, 0.2 + gap / 2),
            None,
        )
    ]


def _rise(loss):
    values = [v for v in loss if v is not None]
    if len(values) < 3 or min(values) <= 0:
        return 0.0
    return values[-1] / min(values) - 1


def underfit(evidence):
    """Too small a network: neither the rows nor a single batch can be learned."""
    run, one = evidence.run, evidence.batch
    if not judgement.unwell(evidence) or one is None or run.skill is None or run.nan is not None:
        return []
    wider = judgement.gain(evidence, "wider")
    proved = wider is not None and wider >= 0.1
    if not proved and judgement.best_gain(evidence) >= 0.1:
        return []
    falling = judgement.still_falling(judgement.loss_pieces(run))
    by_heart = one.overfit_skill is None or one.overfit_skill >= judgement.LEARNED
    if not proved and (falling >= FALLING or by_heart):
        return []
    widths = [la.units for la in evidence.model.layers if la.kernel and la.units]
    narrow = min(widths[:-1], default=0)
    facts = {
        "skill": run.skill,
        "skill_one_batch": one.overfit_skill,
        "weights": evidence.model.trainable_parameters,
        "narrowest_layer": narrow,
    }
    return [
        _finding(
            "fit.underfit",
            judgement.severity(evidence, wider),
            f"The network is too small: with {8 * narrow} units in its narrowest layer it learns."
            if proved
            else "Neither all rows nor a single batch can be learned, at any rate: the network "
            "may be too small.",
            facts,
            "model",
            "more units in the hidden layers",
            min(0.9, 0.45 + wider) if proved else 0.3,
            {"kind": "widen", "factor": 8},
            wider,
        )
    ]


def _finding(name, severity, text, facts, location, line, confidence, change, proved=None):
    return Finding(
        name,
        severity,
        text,
        evidence=facts,
        location=location,
        remedy=line,
        confidence=confidence,
        stage="dynamics",
        change=change,
        proved=proved,
        recipe="loss_not_converging",
    )
