"""Other diagnosers on the same histories, where they are installed: what they see is the curve."""

import math
import warnings

# What their findings mean in the vocabulary of kerasdnn.diagnosis; several ids: any is accepted.
SK_AUTOD = {
    "LR too high": ("lr.high", "loss.oscillation"),
    "LR too low": ("lr.low", "fit.epochs"),
    "Exploding gradient": ("grad.explode", "lr.high", "loss.nan"),
    "Underfitting": ("fit.underfit", "loss.plateau", "loss.at_lnC"),
    "Classic overfitting": ("fit.overfit",),
    "Missed early stopping": ("fit.overfit",),
    "Dying ReLU proxy": ("act.dead",),
    "Label noise floor": ("data.labels",),
    "Noisy training": ("loss.oscillation", "fit.batch", "lr.high"),
    "Data leakage": ("data.order",),
}
RUNMEDIC = {
    "non_finite": ("loss.nan", "lr.high"),
    "divergence": ("lr.high", "grad.explode", "loss.nan"),
    "loss_spikes": ("loss.oscillation", "lr.high"),
    "no_learning": ("loss.at_lnC", "loss.plateau", "lr.low"),
    "overfitting": ("fit.overfit",),
    "val_below_train": ("reg.strong",),
    "grad_spikes": ("grad.explode",),
    "constant_lr_plateau": ("loss.plateau", "lr.high"),
}
KERAS = {
    "softmax over axis": ("output.softmax_one_unit",),
    "binary_crossentropy": ("output.units", "loss.task"),
    "from_logits": ("loss.logits",),
}


def sk_autod(report):
    """Returns `(ids, ...)` of the warnings of sk-autod, or None where it is not installed."""
    try:
        from sk_autod import diagnose
    except ImportError:
        return None
    loss = report.curves.get("loss", [])
    held = report.curves.get("val_loss") or loss  # it wants two curves
    count = min(len(loss), len(held))
    try:
        found = diagnose(loss[:count], held[:count]).findings
    except (TypeError, ValueError):  # fewer than five epochs, or not finite
        return []
    return [SK_AUTOD.get(f.detector_name, ()) for f in found if f.severity.value != "INFO"]


def runmedic(report):
    """Returns `(ids, ...)` of the warnings of runmedic, or None where it is not installed."""
    try:
        from runmedic import roles
        from runmedic.checks import run_checks
        from runmedic.model import Run
    except ImportError:
        return None
    run = Run("case", "csv", "-")
    for name in ("loss", "val_loss", "rate"):
        series = run.get({"rate": "lr"}.get(name, name))
        for step, value in enumerate(report.curves.get(name, [])):
            series.add(step, math.nan if value is None else value)
    run.finalize()
    try:
        found = run_checks(run, roles.detect(run))
    except (KeyError, TypeError, ValueError, IndexError):
        return []
    return [RUNMEDIC.get(f.check, ()) for f in found if f.severity != "info"]


def keras_warnings(program):
    """Returns `(ids, ...)` of what Keras itself warns of in a build and one step."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = program.build()
            model.train_on_batch(program.x[:8], program.y[:8])
        except Exception:  # an error says as much as a warning, but names no cause
            return []
    texts = [str(item.message).lower() for item in caught]
    return [ids for text in texts for words, ids in KERAS.items() if words in text]
