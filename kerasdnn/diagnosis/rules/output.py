"""Does the end of the model fit the loss and the labels?"""

from kerasdnn.diagnosis.rules.heads import (
    BINARY,
    CATEGORICAL,
    HINGES,
    NUMBERS,
    SPARSE,
    UNREACHED,
    finding,
    multi_label,
    one_unit,
    soft,
    task,
)
from kerasdnn.diagnosis.rules.numbers import numbers, reach

import keras


def head(evidence):
    """Checks each output against its loss and its labels."""
    found = []
    model = evidence.model
    if model.kind == "subclass" and len(evidence.labels or []) > 1:
        return []  # which layer makes which output cannot be told
    for index, out in enumerate(model.outputs):
        loss = model.losses[index] if index < len(model.losses) else None
        label = evidence.labels[index] if evidence.labels and index < len(evidence.labels) else None
        if label is None or label.kind == "none":
            continue
        found += _check(evidence, out, loss, label)
    return found


def _check(e, out, loss, label):
    if out.softmax_axis_size == 1:
        return [one_unit(out, loss, label)]
    if out.activation == "softmax" and out.softmax_axis not in (None, -1):
        return [_across(e, out, label)]
    twice = _curved_logits(e, out, label)
    if twice:
        return twice
    if loss is None or not loss.known:
        return reach(out, label) if loss is not None and label.kind == "real" else []
    if loss.name in BINARY:
        return _binary(e, out, loss, label)
    if loss.name in CATEGORICAL + SPARSE:
        return _categorical(e, out, loss, label)
    if loss.name in NUMBERS:
        return numbers(e, out, loss, label)
    if loss.name in HINGES and out.activation in ("softmax", "sigmoid"):
        return [
            task(
                e,
                out,
                label,
                f"{loss.name} wants scores of both signs; {out.activation} gives shares in [0, 1].",
            )
        ]
    if loss.name == "cosine_similarity" and out.units == 1:
        text = "The cosine of single numbers is 1 or -1 whatever their size: nothing to learn."
        return [task(e, out, label, text)]
    if loss.name in ("poisson", "kl_divergence") and label.below_zero > UNREACHED:
        return [task(e, out, label, f"{loss.name} is not defined for negative targets.")]
    return []


def _across(e, out, label):
    """Softmax over steps or places instead of over the classes."""
    text = (
        f"The softmax runs over axis {out.softmax_axis} of the output instead of over its "
        f"{out.units} classes, which are the last axis."
    )
    facts = {"axis": out.softmax_axis, "expected_axis": -1}
    name, line = "output.activation_loss", "Softmax(axis=-1)"
    found = finding(name, soft(e, "error"), text, out, label, facts, 0.95, {}, line)
    found.change = None
    return found


def _curved_logits(e, out, label):
    """Softmax or sigmoid behind a layer that bends its values already."""
    bent = out.head_activation
    if out.activation not in ("softmax", "sigmoid") or out.layer == out.head:
        return []
    if bent not in ("relu", "relu6", "softmax", "sigmoid", "tanh"):
        return []
    text = f"{out.activation} gets what {bent} has bent: most of what it could say is cut off."
    change = {"kind": "activation", "layers": e.model.positions([out.head]), "activation": "linear"}
    line = f"activation=None in the layer '{out.head}'"
    facts = {"activation_before": bent}
    return [finding("output.activation_loss", soft(e), text, out, label, facts, 0.85, change, line)]


# --- Families of losses ---------------------------------------------------------------------------
def _binary(e, out, loss, label):
    found = _binary_labels(e, out, loss, label)
    if found:
        return found
    if loss.from_logits:
        return _applied_twice(e, out, label) if out.activation in ("sigmoid", "softmax") else []
    if out.activation == "linear":
        return [_logits(out, loss, label)]
    if out.activation == "softmax" and label.kind == "multihot":
        return [multi_label(out, label)]
    if out.activation == "sigmoid" and label.kind == "onehot" and (out.units or 0) >= 3:
        text = (
            "Each row has exactly one class, but the loss judges every unit on its own: guessing "
            "no class at all already gives a small loss."
        )
        confidence = 0.6 if out.units < 10 else 0.85
        severity = soft(e)
        return [task(e, out, label, text, severity=severity, confidence=confidence)]
    if out.activation in ("relu", "tanh", "softplus", "exponential", "elu", "selu", "softsign"):
        return [_not_probability(e, out, loss, label)]
    return []


def _binary_labels(e, out, loss, label):
    outside = {"lowest": label.low, "highest": label.high, "expected": "0 to 1"}
    if label.kind == "signed":
        change = {"kind": "labels", "to": "zero_one"}
        text = "Binary cross-entropy expects labels 0 and 1; these are -1 and 1."
        line = "y = (y + 1) / 2"
        return [finding("data.labels", "error", text, out, label, outside, 0.95, change, line)]
    if label.kind == "classes":
        text = (
            f"The labels name {label.distinct} classes up to {label.high:g}, but the output is "
            f"{out.units} unit for a yes or no: the loss can go below zero."
        )
        return [finding("output.units", "error", text, out, label, outside, 0.97)]
    if label.kind == "real" and (label.above_one or label.below_zero):
        text = (
            "Binary cross-entropy is for labels from 0 to 1; these targets are numbers from "
            f"{label.low:g} to {label.high:g}, a regression."
        )
        return [finding("loss.task", "error", text, out, label, outside, 0.97)]
    return []


def _categorical(e, out, loss, label):
    sparse = loss.name in SPARSE
    if label.kind == "real" and (not sparse or not label.integer) and not _scaled_classes(label):
        text = f"{loss.name} is for classes; the targets are numbers up to {label.high:g}."
        return [task(e, out, label, text, confidence=0.95)]
    if out.units == 1:
        name = "loss.task" if label.kind == "binary" and not sparse else "output.units"
        text = (
            f"{loss.name} needs a unit for each class; a single one leaves it nothing to compare."
        )
        return [finding(name, "error", text, out, label, {"classes": label.distinct}, 0.97)]
    if label.kind == "multihot":
        return [multi_label(out, label)]
    if loss.from_logits:
        if out.activation in ("softmax", "sigmoid"):
            return _applied_twice(e, out, label)
        if out.activation in ("relu", "relu6"):
            return [_not_probability(e, out, loss, label, severity=soft(e))]
        return []
    if out.activation == "linear":
        return [_logits(out, loss, label)]
    if out.activation == "sigmoid":
        return [_not_probability(e, out, loss, label, severity=soft(e), confidence=0.8)]
    if out.activation in ("relu", "tanh", "softplus", "elu", "selu", "softsign", "leaky_relu"):
        return [_not_probability(e, out, loss, label)]
    if out.activation in ("hard_sigmoid", "gelu", "silu", "relu6", "log_softmax"):
        return [_not_probability(e, out, loss, label)]
    return []


def _scaled_classes(label):
    """Integers that were divided, as pixels are: few distinct values, evenly spaced, from 0."""
    return label.kind == "real" and label.low == 0 and 2 <= label.distinct <= 100


def _logits(out, loss, label):
    text = (
        f"The output is linear, but {loss.name} expects probabilities: values outside [0, 1] are "
        "clipped and have no gradient."
    )
    change = {"kind": "head", "activation": _probability(loss), "units": None, "loss": None}
    cls = "".join(part.capitalize() for part in loss.name.split("_"))
    line = f"loss=keras.losses.{cls}(from_logits=True)"
    facts = {"loss": loss.name, "from_logits": False}
    return finding("loss.logits", "error", text, out, label, facts, 0.97, change, line)


def _probability(loss):
    return "sigmoid" if loss.name in BINARY else "softmax"


def _not_probability(e, out, loss, label, *, severity="error", confidence=0.95):
    activation = _probability(loss)
    text = f"{loss.name} expects what {activation} gives; {out.activation} gives something else."
    change = {"kind": "head", "activation": activation, "units": None, "loss": None}
    if out.head != out.layer:
        change["drop"] = e.model.positions([out.layer])
    line = f'activation="{activation}" in the last layer'
    facts = {"loss": loss.name, "from_logits": loss.from_logits}
    name = "output.activation_loss"
    return finding(name, severity, text, out, label, facts, confidence, change, line)


def _applied_twice(e, out, label):
    """TensorFlow finds the logits behind the activation and trains as meant; others do not."""
    mends = keras.backend.backend() == "tensorflow"
    severity = "info" if mends else soft(e)
    text = f"from_logits=True behind {out.activation}: the activation is applied twice."
    if mends:
        text += " TensorFlow corrects this, JAX and Torch do not."
    change = {"kind": "head", "activation": "linear", "units": None, "loss": None}
    line = "activation=None in the last layer, or from_logits=False in the loss"
    return [finding("loss.logits", severity, text, out, label, {}, 0.9, change, line)]


# --- Seen in the first batch ----------------------------------------------------------------------
def observed(e):
    """Of an output that structure cannot tell: do its values look like what the loss expects?"""
    batch, model = e.batch, e.model
    if batch is None or model is None or len(model.outputs) != 1 or batch.output_low is None:
        return []
    out, loss = model.outputs[0], model.losses[0] if model.losses else None
    if out.activation != "unknown" or loss is None or not loss.known or not e.labels:
        return []
    label = e.labels[0]
    low, high = batch.output_low, batch.output_high
    if low == high == 1.0 and label.rows > 1:
        return [one_unit(out, loss, label)]
    facts = {"lowest_output": low, "highest_output": high}
    shares = low >= -1e-6 and high <= 1 + 1e-6
    if loss.name in BINARY + CATEGORICAL + SPARSE and not loss.from_logits and not shares:
        text = (
            f"{loss.name} expects values from 0 to 1; the outputs go from {low:.3g} to {high:.3g}."
        )
        finding = _logits(out, loss, label)
        finding.message, finding.stage = text, "data"
        finding.evidence.update(facts)
        return [finding]
    if loss.name in CATEGORICAL + SPARSE and batch.row_sum is not None and shares:
        sums = batch.row_sum
        if not loss.from_logits and (sums[0] < 0.98 or sums[1] > 1.02):
            finding = _not_probability(e, out, loss, label, confidence=0.8)
            text = (
                f"The shares of a row should sum to 1; they sum to {sums[0]:.3g} to {sums[1]:.3g}."
            )
            finding.message, finding.stage = text, "data"
            return [finding]
    return []
