"""Rules, one file for each family: pure functions from `Evidence` to findings."""

from kerasdnn.diagnosis.judgement import unwell
from kerasdnn.diagnosis.plan import wanted_trials
from kerasdnn.diagnosis.rules import (
    activation,
    architecture,
    callbacks,
    data,
    fit,
    gradient,
    initialization,
    labels,
    loss,
    metric,
    output,
    rate,
    regularization,
    scale,
    symptom,
)
from kerasdnn.diagnosis.rules.data import not_finite
from kerasdnn.diagnosis.rules.misfit import misfit, shape_error

STRUCTURE = (
    output.head,
    labels.for_loss,
    metric.named,
    architecture.frozen,
    architecture.norm_axis,
    architecture.norm_momentum,
    architecture.norm_of_single_rows,
    callbacks.direction,
    activation.linear,
    activation.softmax_hidden,
    regularization.dropout_behind_head,
    initialization.constant,
    rate.values,
)
DATA = (
    data.imbalance,
    data.order,
    data.tiny,
    data.constant,
    data.ids,
    scale.inputs,
    scale.targets,
    scale.validation,
    loss.reduction,
    loss.rows_mixed,
    output.observed,
    initialization.scale,
)
DYNAMICS = (
    rate.tried,
    rate.hardly_moved,
    fit.epochs,
    fit.batch,
    fit.overfit,
    fit.underfit,
    labels.unrelated,
    regularization.strong,
    regularization.augmented,
    callbacks.too_early,
    gradient.clipped,
    loss.uphill,
    gradient.vanishing,
    gradient.exploding,
    activation.dead,
    activation.saturated,
    symptom.curve,
)


def structure(evidence):
    """Returns the findings of model, loss and labels."""
    return _run(STRUCTURE, evidence) if evidence.model is not None else []


def data(evidence):
    """Returns the findings of the data and of the first batch."""
    return _run(DATA, evidence)


def dynamics(evidence):
    """Returns the findings of a training run and of its variants."""
    return _run(DYNAMICS, evidence) if evidence.run is not None else []


def _run(rules, evidence):
    return [finding for rule in rules for finding in rule(evidence)]


__all__ = [
    "data",
    "dynamics",
    "misfit",
    "not_finite",
    "shape_error",
    "structure",
    "unwell",
    "wanted_trials",
]
