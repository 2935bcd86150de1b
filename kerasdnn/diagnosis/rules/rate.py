"""The learning rate: its sign, its size, its schedule."""

import math

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding

# Rates that nothing ordinary needs, by family of optimizer: adaptive ones step by about the rate.
ADAPTIVE = ("Adam", "AdamW", "Nadam", "Adamax", "RMSprop", "Lion", "Adagrad", "Muon")
TOO_HIGH = {"adaptive": 0.3, "plain": 5.0}
TOO_LOW = 1e-7
FEW_STEPS = 50
MOVED, SLOPE = 0.02, 1e-4  # of the size of the weights: way, and gradient at the start


def values(evidence):
    """What can be told from the number alone."""
    optimizer = evidence.model.optimizer
    if optimizer is None or optimizer.rate is None:
        return []
    rate, facts = optimizer.rate, {"rate": optimizer.rate, "optimizer": optimizer.name}
    if rate < 0:
        text = "The learning rate is negative: each step goes uphill."
        return [_finding("lr.sign", "error", text, facts, 1.0, {"rate": abs(_usual(evidence))})]
    if rate == 0:
        text = "The learning rate is 0: no step moves a weight."
        return [_finding("lr.low", "error", text, facts, 1.0, {"rate": _usual(evidence)})]
    limit = TOO_HIGH["adaptive" if optimizer.name in ADAPTIVE else "plain"]
    if rate >= limit and not judgement.learned(evidence):
        text = f"A learning rate of {rate:g} is beyond what {optimizer.name} can use."
        facts["threshold"] = limit
        return [_finding("lr.high", "warning", text, facts, 0.7, {"rate": _usual(evidence)})]
    if rate <= TOO_LOW and not judgement.learned(evidence):
        text = f"A learning rate of {rate:g} moves next to nothing."
        facts["threshold"] = TOO_LOW
        return [_finding("lr.low", "warning", text, facts, 0.8, {"rate": _usual(evidence)})]
    return _schedule(evidence, optimizer, facts)


def _schedule(evidence, optimizer, facts):
    """A schedule that is over long before the training."""
    if optimizer.schedule is None or len(optimizer.rates) < 8 or judgement.learned(evidence):
        return []
    spent = sum(abs(r) < 1e-3 * abs(optimizer.rate) for r in optimizer.rates) / len(optimizer.rates)
    if spent < 0.5:
        return []
    facts.update(schedule=optimizer.schedule, share_of_steps_spent=spent, threshold=0.5)
    text = f"{optimizer.schedule} has used up the learning rate for {spent:.0%} of the steps."
    return [_finding("lr.low", "warning", text, facts, 0.7, {"rate": optimizer.rate})]


def tried(evidence):
    """What trainings at other rates say."""
    base = evidence.trials.get("base")
    if base is None or evidence.model.optimizer is None:
        return []
    found = []
    rate = evidence.model.optimizer.rate
    lower, name_l = _best(evidence, ("rate /10", "rate /100"))
    higher, name_h = _best(evidence, ("rate x10", "rate x100", "rate x1000"))
    before = base["skill"]
    if lower is not None and lower >= 0.1 and (higher is None or lower > higher):
        factor = 0.1 if name_l == "rate /10" else 0.01
        facts = {"rate": rate, "skill": before, "skill_lower": evidence.trials[name_l]["skill"]}
        facts.update(_jumps(evidence))
        text = f"At {factor:g} times the learning rate the same training learns."
        change = {"factor": factor}
        found.append(
            _finding(
                "lr.high",
                judgement.severity(evidence, lower),
                text,
                facts,
                min(0.95, 0.6 + lower),
                change,
                rate,
                lower,
            )
        )
    if higher is not None and higher >= 0.1 and (lower is None or higher >= lower):
        factor = float(name_h.removeprefix("rate x"))
        facts = {"rate": rate, "skill": before, "skill_higher": evidence.trials[name_h]["skill"]}
        text = f"At {factor:g} times the learning rate the same number of steps learns more."
        change = {"factor": factor}
        sure, proved = min(0.9, 0.55 + higher), higher
        longer = judgement.gain(evidence, "epochs x4")
        if abs(rate or 0) >= _usual(evidence) and longer is not None and longer >= 0.5 * higher:
            # At a usual rate it is rather the number of steps that is too small.
            sure, proved = sure - 0.25, min(higher, longer) - 0.05
        severity = judgement.severity(evidence, higher)
        found.append(_finding("lr.low", severity, text, facts, sure, change, rate, proved))
    return found


def hardly_moved(evidence):
    """Weights that end where they started, though there is a gradient to follow."""
    run = evidence.run
    if not run.moved or not judgement.unwell(evidence) or run.nan is not None:
        return []
    slopes = [
        g / (w or 1.0)
        for g, w in zip(run.gradient_norm_by_layer[0], run.weight_norm_by_layer[0], strict=True)
        if g is not None
    ]
    furthest, steepest = max(run.moved), max(slopes, default=0.0)
    if run.stopped_early and len(run.step_loss) < FEW_STEPS:
        return []  # cut before the weights could move
    if furthest > MOVED or steepest < SLOPE or not evidence.model or not evidence.model.optimizer:
        return []
    facts = {
        "rate": evidence.model.optimizer.rate,
        "weights_moved_by": furthest,
        "threshold": MOVED,
        "skill": run.skill,
    }
    text = f"In the whole training the weights have moved by {furthest:.2%} of their size."
    return [_finding("lr.low", "warning", text, facts, 0.65, {"factor": 100.0}, facts["rate"])]


def _best(evidence, names):
    gains = [(judgement.gain(evidence, name), name) for name in names]
    gains = [(g, n) for g, n in gains if g is not None]
    return max(gains) if gains else (None, None)


def _jumps(evidence):
    run = evidence.run
    if len(run.loss) < 3:
        return {}
    return {"share_of_loss_changes_upward": judgement.swings(run.loss)}


def _usual(evidence):
    """Returns the rate that one would start with."""
    name = evidence.model.optimizer.name
    return {"Adadelta": 0.1}.get(name, 1e-3 if name in ADAPTIVE else 0.01)


def _finding(name, severity, text, facts, confidence, change, rate=None, proved=None):
    new = change.get("rate") or (rate or 0.0) * change.get("factor", 1.0)
    return Finding(
        name,
        severity,
        text,
        evidence=facts,
        location="optimizer.learning_rate",
        remedy=f"learning_rate={_round(new)}",
        confidence=confidence,
        stage="dynamics" if "factor" in change else "structure",
        change={"kind": "optimizer", **change},
        proved=proved,
        recipe="loss_not_converging",
    )


def _round(value):
    return f"{value:.3g}" if value and math.isfinite(value) else "1e-3"
