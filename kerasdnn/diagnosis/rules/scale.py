"""Inputs and targets far from unit scale, judged where the first trainable layer gets them."""

import math

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding
from kerasdnn.diagnosis.plan import unscaled_x, unscaled_y

LARGE, UNEVEN = 20.0, 100.0  # rms; deviation of the widest feature over that of the narrowest


def inputs(evidence):
    """Inputs that are too large, too small, or of very uneven size."""
    found = []
    for item in evidence.inputs or []:
        if not unscaled_x(item):
            continue
        helps = _gain(evidence, "scaled x", "scaled y")
        facts = {
            "rms": item.received_rms,
            "mean": item.received_mean,
            "expected_rms": 1.0,
            "feature_std_lowest": item.feature_std_low,
            "feature_std_highest": item.feature_std_high,
        }
        severity, sure = _grade(evidence, item, helps)
        if helps is not None:
            facts["gain_in_skill_when_scaled"] = helps
        how = "small" if item.received_rms < 1 else "large"
        text = (
            f"The first layer with weights gets inputs that are {how}: rms {item.received_rms:.3g}"
        )
        uneven = (item.feature_std_high or 0) / max(item.feature_std_low or 1.0, 1e-12)
        text += (
            f", features up to {uneven:.2g} times as wide as others." if uneven > UNEVEN else "."
        )
        found.append(
            Finding(
                "data.scale_x",
                severity,
                text,
                evidence=facts,
                location=item.received_by or item.name,
                remedy="x = (x - x.mean(0)) / x.std(0)",
                confidence=sure,
                stage="data",
                change={"kind": "scale_x"},
                proved=helps,
                recipe="loss_not_converging",
            )
        )
    return found[:1]


def _gain(evidence, alone, other):
    """Returns what scaling one brings, or scaling both where the other alone does not bring it."""
    own, others = judgement.gain(evidence, alone), judgement.gain(evidence, other)
    both = judgement.gain(evidence, "scaled x and y")
    if both is not None and both - (others or 0.0) >= judgement.HELPS:
        return max(both, own or 0.0)
    return own


def _grade(evidence, item, helps):
    if judgement.learned(evidence):
        return "info", 0.15
    if helps is not None:
        if helps >= 0.1:
            return judgement.severity(evidence, helps), min(0.97, 0.65 + helps)
        return "info", 0.2
    low, high = item.feature_std_low or 0.0, item.feature_std_high or 0.0
    uneven = high / low if low else 1.0
    size = max(item.received_rms / LARGE, 0.02 / max(item.received_norm or 1.0, 1e-12))
    if item.received_rms >= LARGE or (item.received_norm or 1) < 0.05 or uneven >= 1e4:
        return "warning", min(0.85, 0.5 + 0.1 * math.log10(max(size, uneven / 1e3, 1.0)))
    return "info", 0.25


def targets(evidence):
    """Targets of a regression that are far from unit scale."""
    found = []
    for label in evidence.labels or []:
        if label.kind != "real" or not unscaled_y(label):
            continue
        helps = _gain(evidence, "scaled y", "scaled x")
        facts = {"mean": label.mean, "std": label.std, "expected_std": 1.0}
        severity, sure = "info", 0.3
        if judgement.learned(evidence):
            sure = 0.1
        elif helps is not None:
            facts["gain_in_skill_when_scaled"] = helps
            if helps >= 0.1:
                severity, sure = judgement.severity(evidence, helps), min(0.95, 0.6 + helps)
        elif evidence.run is None and max(label.std, abs(label.mean)) >= 50:
            severity, sure = "warning", 0.5
        found.append(
            Finding(
                "data.scale_y",
                severity,
                f"The targets have mean {label.mean:.3g} and deviation {label.std:.3g}, far from "
                "what a fresh network puts out.",
                evidence=facts,
                location="y",
                remedy="y = (y - y.mean(0)) / y.std(0)",
                confidence=sure,
                stage="data",
                change={"kind": "scale_y"},
                proved=helps,
                recipe="loss_not_converging",
            )
        )
    return found[:1]


def validation(evidence):
    """Validation inputs that were scaled otherwise than the training inputs."""
    for item in evidence.inputs or []:
        ratio = item.validation_ratio
        if ratio is None or 0.05 < ratio < 20:
            continue
        return [
            Finding(
                "data.scale_x",
                "warning",
                f"The validation inputs are {ratio:.3g} times as large as the training inputs.",
                evidence={"ratio": ratio, "expected_ratio": 1.0},
                location="validation_data",
                remedy="scale x_val with the mean and deviation of x_train",
                confidence=0.8,
                stage="data",
            )
        ]
    return []
