"""Gradients that fade or grow on their way to the first layers."""

import math

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding

FADED = 1e-3  # gradient of the first kernel over that of the last, each relative to its weight
FADED_A_LAYER = 0.1  # in a network of few layers: the factor from each to the one before
STANDS = 1e-6  # update over weight, a step
LARGE = 1e3


def vanishing(evidence):
    """The first layers get next to no gradient while the training is not done."""
    run = evidence.run
    if not judgement.unwell(evidence) or len(run.layers) < 3 or not run.gradient_norm_by_layer:
        return []
    ratios = [_first_over_last(run, row) for row in range(len(run.time))]
    ratios = [r for r in ratios if r is not None]
    threshold = max(FADED, FADED_A_LAYER ** (len(run.layers) - 1))
    if not ratios or min(ratios[0], sorted(ratios)[len(ratios) // 2]) > threshold:
        return []
    helps = judgement.gain(evidence, "relu")
    facts = {
        "gradient_first_over_last": ratios[0],
        "threshold": threshold,
        "by_layer": run.gradient_norm_by_layer[0],
        "gain_in_skill_with_relu": helps,
    }
    zero = ratios[0] == 0.0
    helped = helps is not None and helps >= 0.1
    return [
        _finding(
            "grad.vanish",
            "info" if (run.skill or 0.0) >= judgement.HALF_WAY else "warning",
            "The gradient fades on its way to the first layers"
            + (": nothing of it arrives." if zero else f" to {ratios[0]:.1g} of that of the last."),
            facts,
            run.layers[0],
            'activation="relu", kernel_initializer="he_normal", BatchNormalization between layers',
            min(0.95, 0.65 + helps) if helped else 0.6,
            {"kind": "all", "changes": _cures(evidence)},
            helps,
        )
    ]


def _cures(evidence):
    from kerasdnn.diagnosis.plan import SATURATING, hidden_layers, recurrent

    hidden = [la for la in hidden_layers(evidence.model) if not recurrent(la)]
    curved = [la.index for la in hidden if la.activation in SATURATING]
    changes = []
    if curved:
        changes.append({"kind": "activation", "layers": curved, "activation": "relu"})
    return [*changes, {"kind": "batch_norm"}]


def _first_over_last(run, row):
    gradients, weights = run.gradient_norm_by_layer[row], run.weight_norm_by_layer[row]
    pairs = [
        g / (w or 1.0)
        for g, w in zip(gradients, weights, strict=True)
        if g is not None and math.isfinite(g)
    ]
    if len(pairs) < 3 or pairs[-1] == 0:
        return None
    return pairs[0] / pairs[-1]


def exploding(evidence):
    """Gradients beyond all bounds, or no number at all."""
    run = evidence.run
    norms = [g for row in run.gradient_norm_by_layer for g in row if g is not None]
    if not norms:
        return []
    start = [g for g in run.gradient_norm_by_layer[0] if g is not None]
    largest = max(norms)
    bad = not math.isfinite(largest) or (largest > LARGE and judgement.unwell(evidence))
    if not bad:
        return []
    index = run.gradient_norm_by_layer[0].index(max(start)) if start else 0
    return [
        _finding(
            "grad.explode",
            "warning",
            f"The gradient norm reaches {largest:.3g}.",
            {"largest": largest, "threshold": LARGE, "at_start": max(start) if start else None},
            run.layers[index],
            "optimizer=keras.optimizers.Adam(1e-3, clipnorm=1.0)",
            0.5,
            {"kind": "clip", "norm": 1.0},
        )
    ]


def clipped(evidence):
    """Gradients cut to next to nothing."""
    gain = judgement.gain(evidence, "usual clipping")
    if gain is None or gain < judgement.HELPS:
        return []
    facts = {"gain_in_skill_at_clipnorm_1": gain, **evidence.model.optimizer.clip}
    return [
        _finding(
            "grad.clipped",
            judgement.severity(evidence, gain),
            "Clipping leaves next to nothing of the gradient; with a norm of 1 it learns.",
            facts,
            "optimizer",
            "clipnorm=1.0",
            min(0.95, 0.6 + gain),
            {"kind": "clip", "norm": 1.0},
            gain,
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
        recipe="gradients",
    )
