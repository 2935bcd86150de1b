"""Activations: missing, dead or saturated."""

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding
from kerasdnn.diagnosis.plan import SATURATING, hidden_layers, linear_stack, recurrent

DEAD, SATURATED = 0.5, 0.5  # share of the units; share of the activations


def linear(evidence):
    """A stack of layers without anything curved between them is one linear layer."""
    stacked = linear_stack(evidence.model)
    if not stacked:
        return []
    gain = judgement.gain(evidence, "curved")
    severity, sure = "warning", 0.6
    if judgement.learned(evidence) or (gain is not None and gain < 0.1):
        severity, sure = "info", 0.2
    elif gain is not None:
        severity, sure = judgement.severity(evidence, gain), min(0.95, 0.6 + gain)
    return [
        Finding(
            "act.linear",
            severity,
            f"Nothing curved stands between the {len(stacked) + 1} layers with weights: together "
            "they compute one linear function.",
            evidence={
                "layers": [la.name for la in stacked],
                "activation": "linear",
                "gain_in_skill_with_relu": gain,
            },
            location=stacked[0].name,
            remedy='activation="relu" in the hidden layers',
            confidence=sure,
            proved=gain,
            change={
                "kind": "activation",
                "layers": [la.index for la in stacked],
                "activation": "relu",
            },
            recipe="activations",
        )
    ]


def softmax_hidden(evidence):
    """Softmax between layers makes the units of a layer share one unit of signal."""
    if not evidence.model.straight or evidence.model.kind == "subclass":
        return []  # beside a branch it may be a gate or an attention
    layers = [la for la in hidden_layers(evidence.model) if la.activation == "softmax"]
    if not layers:
        return []
    severity = "info" if judgement.learned(evidence) else "warning"
    return [
        Finding(
            "act.saturated",
            severity,
            f"Softmax inside the network: the outputs of '{layers[0].name}' sum to 1, so each is "
            "small and its gradient smaller.",
            evidence={"layers": [la.name for la in layers], "activation": "softmax"},
            location=layers[0].name,
            remedy='activation="relu"',
            confidence=0.7,
            change={
                "kind": "activation",
                "layers": [la.index for la in layers],
                "activation": "relu",
            },
            proved=judgement.gain(evidence, "relu"),
            recipe="activations",
        )
    ]


def dead(evidence):
    """Units that no row of the data ever switches on."""
    return _share(
        evidence,
        "dead_share_by_layer",
        "act.dead",
        DEAD,
        "of the units are never active on any row: no gradient reaches their weights.",
        'activation="leaky_relu", kernel_initializer="he_normal", a lower learning rate',
        "leaky_relu",
    )


def saturated(evidence):
    """Sigmoid or tanh units at their ends, where the slope is gone."""
    hidden = {la.name for la in hidden_layers(evidence.model) if not recurrent(la)}
    found = _share(
        evidence,
        "saturated_share_by_layer",
        "act.saturated",
        SATURATED,
        "of the activations are at the flat ends of the function: their slope is gone.",
        'activation="relu", or scale the inputs',
        "relu",
    )
    return [f for f in found if f.location in hidden]


def _share(evidence, table, name, threshold, text, line, activation):
    run = evidence.run
    rows = getattr(run, table)
    if not rows or not judgement.unwell(evidence):
        return []
    best, where, at = 0.0, None, 0.0
    for row, time in ((rows[0], run.time[0]), (rows[-1], run.time[-1])):
        for layer, share in zip(run.layers, row, strict=True):
            if share is not None and share > best:
                best, where, at = share, layer, time
    if where is None or best < threshold:
        return []
    layers = [
        la.index
        for la in hidden_layers(evidence.model)
        if not recurrent(la)
        and (la.activation in SATURATING if name == "act.saturated" else la.activation == "relu")
    ]
    whole = best >= 0.999
    gain = judgement.gain(evidence, "relu") if name == "act.saturated" else None
    sure = 0.8 if whole else 0.5 if best > 0.8 else 0.4
    if gain is not None and gain >= 0.1:
        sure = min(0.9, 0.6 + gain)
    return [
        Finding(
            name,
            "info" if (run.skill or 0.0) >= judgement.HALF_WAY else "warning",
            f"In '{where}', {best:.0%} {text}",
            evidence={"share": best, "threshold": threshold, "epoch": at},
            location=where,
            remedy=line,
            confidence=sure,
            stage="dynamics",
            proved=gain,
            change={"kind": "activation", "layers": layers, "activation": activation},
            recipe="activations",
        )
    ]
