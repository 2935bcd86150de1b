"""Initial weights that are all the same, or far too small or large."""

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding
from kerasdnn.diagnosis.plan import hidden_layers, one_sided

ODD = 2.2  # times the usual deviation, or its inverse
SAME = 1e-3  # deviation over mean below which a kernel counts as constant


def constant(evidence):
    """Units that start equal get equal gradients and stay equal."""
    found = []
    hidden = {la.name for la in hidden_layers(evidence.model)}
    for layer in evidence.model.layers:
        if layer.kernel is None or layer.name not in hidden or (layer.units or 0) < 2:
            continue
        if layer.kind == "Embedding" or not layer.trainable:
            continue
        if layer.kernel_std > SAME * max(abs(layer.kernel_mean), 1e-12):
            continue
        broken = layer.bias_std is not None and layer.bias_std > 1e-6
        zero = layer.kernel_mean == 0.0
        # A block that ends in zeros starts as the identity: fine where a shortcut passes it.
        if zero and (not evidence.model.straight or broken):
            continue
        found.append(
            Finding(
                "init.constant",
                "info" if broken else "error",
                f"All weights start at {layer.kernel_mean:g}: the {layer.units} units compute the "
                "same and get the same gradient.",
                evidence={"mean": layer.kernel_mean, "std": layer.kernel_std},
                location=layer.name,
                remedy='kernel_initializer="he_normal"',
                confidence=0.95,
                change={"kind": "initializer", "layers": _all_kernels(evidence)},
                recipe="initializers",
            )
        )
    return found[:1]


def scale(evidence):
    """Weights whose size makes signals explode or fade from layer to layer."""
    gain = judgement.gain(evidence, "fresh kernels")
    worst = odd = None
    for layer in evidence.model.layers:
        if layer.kernel is None or layer.kind == "Embedding" or not layer.kernel_expected_std:
            continue
        ratio = layer.kernel_std / layer.kernel_expected_std
        distance = max(ratio, 1 / max(ratio, 1e-12), ODD if one_sided(layer) else 0.0)
        if worst is None or distance > worst:
            worst, odd = distance, layer
    if odd is None or worst < ODD or odd.kernel_std == 0:
        return []
    helped = gain is not None and gain >= 0.1
    severity = judgement.severity(evidence, gain)
    facts = {
        "std": odd.kernel_std,
        "expected_std": odd.kernel_expected_std,
        "gain_in_skill_of_fresh_weights": gain,
    }
    batch = evidence.batch
    if batch is not None and batch.expected_loss and batch.loss is not None:
        facts["initial_loss"], facts["expected_loss"] = batch.loss, batch.expected_loss
    size = "small" if odd.kernel_std < odd.kernel_expected_std else "large"
    text = f"The initial weights are {worst:.2g} times too {size} for {odd.inputs} inputs."
    if one_sided(odd):
        facts["mean"] = odd.kernel_mean
        text = f"The initial weights have mostly one sign, around {odd.kernel_mean:.3g}."
    return [
        Finding(
            "init.scale",
            severity,
            text,
            evidence=facts,
            location=odd.name,
            remedy='kernel_initializer="he_normal"',
            confidence=min(0.9, 0.55 + gain) if helped else 0.2,
            stage="dynamics" if helped else "data",
            proved=gain,
            change={"kind": "initializer", "layers": _all_kernels(evidence)},
            recipe="initializers",
        )
    ]


def _all_kernels(evidence):
    return [la.index for la in evidence.model.layers if la.kernel]
