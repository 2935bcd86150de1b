"""What the loss curve shows: symptoms, which the ranking puts behind their cause."""

import math

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding

SWINGS = 0.42  # share of the loss changes that go up; 0.5 is a curve without a trend


def curve(evidence):
    """NaN, divergence, oscillation, a plateau."""
    run = evidence.run
    if run.nan is not None:
        return [_nan(run.nan)]
    if not judgement.unwell(evidence) or not run.loss:
        return []
    pieces = judgement.loss_pieces(run)
    batch = evidence.batch
    expected = batch.expected_loss if batch is not None else None
    found = []
    grown = len(pieces) >= 4 and pieces[-1] > 1.5 * abs(pieces[0]) + 1e-9
    if grown and not (evidence.model is not None and evidence.model.own_loss):
        facts = {"first": pieces[0], "last": pieces[-1]}
        found.append(_finding("loss.oscillation", "The loss grows.", facts, 0.4, "warning"))
    elif len(pieces) >= 6 and judgement.swings(pieces) > SWINGS and _wide(pieces):
        facts = {"share_upward": judgement.swings(pieces), "threshold": SWINGS}
        found.append(_finding("loss.oscillation", "The loss swings without a trend.", facts, 0.35))
    elif expected and abs(run.loss[-1] - expected) < 0.03 * expected and len(pieces) >= 3:
        facts = {"loss": run.loss[-1], "loss_of_a_constant_guess": expected}
        text = "The loss stays at what a constant guess gets: nothing is learned from the inputs."
        stuck = batch.overfit_skill is not None and batch.overfit_skill < 0.5
        facts["skill_one_batch"] = batch.overfit_skill
        severity = "warning" if stuck and (run.skill or 0.0) < 0.05 else "info"
        found.append(_finding("loss.at_lnC", text, facts, 0.35, severity))
    elif len(pieces) >= 4 and judgement.still_falling(pieces) < 0.02:
        facts = {"skill": run.skill, "loss": pieces[-1]}
        text = "The loss has stopped falling at a poor value."
        found.append(_finding("loss.plateau", text, facts, 0.25))
    return found


def _wide(pieces):
    middle = sum(pieces) / len(pieces)
    return max(pieces) - min(pieces) > 0.2 * abs(middle)


def _nan(nan):
    where = {
        "input": "the data of that batch",
        "weight": f"the weights of {nan['where']}",
        "gradient": f"the gradient of {nan['where']}",
    }.get(nan["what"], "the loss itself")
    return Finding(
        "loss.nan",
        "error",
        f"The loss is not a number from step {nan['step']} on; first seen in {where}.",
        evidence=dict(nan),
        location=str(nan["where"]),
        remedy="optimizer=keras.optimizers.Adam(1e-3, clipnorm=1.0)",
        confidence=0.5,
        stage="dynamics",
        change={"kind": "all", "changes": [{"kind": "clip", "norm": 1.0}]},
    )


def _finding(name, text, facts, confidence, severity="info"):
    return Finding(
        name,
        severity,
        text,
        evidence={k: v for k, v in facts.items() if v is None or math.isfinite(v)},
        location="loss",
        confidence=confidence,
        stage="dynamics",
    )
