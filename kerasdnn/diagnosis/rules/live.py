"""What a live run tells of the learning rate: no other is tried, but the steps are measured."""

import math
import statistics

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding

HIGH, LOW = 0.1, 1e-5  # update over weight of a step; about 1e-3 is usual
FELL = 0.1  # share of the loss that a training with too low a rate has not even taken off
SWINGS = 0.42  # share of the loss changes that go up; 0.5 is a curve without a trend


def updates(evidence):
    """Steps that are far too large or far too small for the weights that they move."""
    run = evidence.run
    if run is None or evidence.trials or not judgement.unwell(evidence):
        return []
    ratio = typical_ratio(run)
    if ratio is None:
        return []
    facts = {"update_over_weight": ratio, "usual": 1e-3}
    if ratio > HIGH and (run.nan is not None or _wild(run)):
        text = (
            f"Each step changes the weights by {ratio:.0%} of their size; the loss does not settle."
        )
        change = {"kind": "optimizer", "factor": 0.1}
        return [_finding("lr.high", text, {**facts, "threshold": HIGH}, 0.7, change, "/ 10")]
    if ratio < LOW and run.nan is None and not judgement.improved(run.loss, FELL):
        text = f"Each step changes the weights by {ratio:.1g} of their size: next to nothing moves."
        change = {"kind": "optimizer", "factor": 10.0}
        return [_finding("lr.low", text, {**facts, "threshold": LOW}, 0.6, change, "* 10")]
    return []


def typical_ratio(run):
    """Returns the median over time of the median over layers of update over weight, or None."""
    rows = []
    for row in run.update_ratio_by_layer:
        known = [v for v in row if v is not None and math.isfinite(v)]
        if known:
            rows.append(statistics.median(known))
    return statistics.median(rows) if rows else None


def _wild(run):
    pieces = [v for v in judgement.loss_pieces(run) if v is not None and math.isfinite(v)]
    if len(pieces) < 4:
        return not judgement.improved(run.loss)
    return judgement.swings(pieces) > SWINGS or not judgement.improved(pieces)


def _finding(name, text, facts, confidence, change, rate):
    return Finding(
        name,
        "warning",
        text,
        evidence=facts,
        location="optimizer.learning_rate",
        remedy=f"optimizer.learning_rate = optimizer.learning_rate {rate}",
        confidence=confidence,
        stage="dynamics",
        change=change,
        recipe="loss_not_converging",
    )
