"""How the loss treats rows: a sum instead of a mean, rows that are mixed."""

import math

from kerasdnn.diagnosis import judgement
from kerasdnn.diagnosis.finding import Finding
from kerasdnn.diagnosis.rules.heads import proper_head

TWICE = (1.7, 2.3)  # loss of a doubled batch over the loss, where losses are summed


def reduction(evidence):
    """A sum over the batch multiplies the rate by the batch size."""
    losses = evidence.model.losses
    batch = evidence.batch
    named = [loss for loss in losses if loss is not None and loss.reduction == "sum"]
    doubled = batch.duplicated_ratio if batch is not None else None
    summed = doubled is not None and TWICE[0] < doubled < TWICE[1]
    if not named and not summed:
        return []
    severity = "info" if judgement.learned(evidence) else "warning"
    facts = {
        "loss_of_doubled_batch": doubled,
        "expected": 1.0,
        "batch_size": evidence.model.batch_size,
    }
    change = {"kind": "optimizer", "factor": 1 / max(evidence.model.batch_size or 1, 1)}
    return [
        Finding(
            "loss.reduction",
            severity,
            "The loss is summed over the batch: gradients, and with them the steps, grow with the "
            "batch size.",
            evidence=facts,
            location="loss",
            remedy='reduction="sum_over_batch_size"',
            confidence=0.85,
            stage="data",
            change=change,
        )
    ]


def uphill(evidence):
    """A loss of the user's own that falls while the predictions get no better."""
    run, batch = evidence.run, evidence.batch
    if batch is None or batch.loss is None or batch.loss >= 0 or not evidence.model.own_loss:
        return []
    if run.skill is None and run.nan is None:
        return []  # nobody knows what it should learn
    known = [v for v in [*run.step_loss, *run.loss] if v is not None and math.isfinite(v)]
    falls = bool(known) and min(known) < 2 * batch.loss
    if not falls or max(run.skill or 0.0, 0.0) > 0.0 or (batch.overfit_skill or 0.0) > 0.05:
        return []
    text = (
        "The loss is negative and falls without end while the predictions get no better: a minus "
        "too many makes each step go uphill."
    )
    facts = {"loss_at_start": batch.loss, "lowest_loss": min(known), "skill": run.skill}
    found = _finding("loss.sign", text, facts, "return loss  # not -loss")
    found.stage, found.confidence = "dynamics", 0.85
    if evidence.labels and evidence.labels[0].kind != "real":
        found.change = proper_head(evidence.labels[0])[0]
    return [found]


def rows_mixed(evidence):
    """Each row must be judged by its own output."""
    batch = evidence.batch
    if batch is None or batch.loss is None:
        return []
    sums = batch.column_sum
    over_rows = sums is not None and 0.98 < sums[0] <= sums[1] < 1.02
    if (batch.batch_dependent or 0.0) > 0.05 and over_rows:
        facts = {"change_of_an_output_without_its_batch": batch.batch_dependent}
        facts["row_sum"], facts["column_sum"] = list(batch.row_sum), list(sums)
        return [
            _finding(
                "output.activation_loss",
                "The outputs of a unit sum to 1 over the batch instead of over the classes: the "
                "softmax runs over the wrong axis.",
                facts,
                "softmax(axis=-1)",
            )
        ]
    label = evidence.labels[0] if evidence.labels else None
    if _blind(evidence):
        return [
            _finding(
                "output.broadcast",
                "The loss stays the same when the labels of the rows are exchanged: each output "
                "is compared with the labels of all rows.",
                {
                    "change_of_the_loss": batch.permuted_change,
                    "expected": "more than 0",
                },
                "y_true = keras.ops.reshape(y_true, keras.ops.shape(y_pred))",
                0.95,
                {"kind": "loss", "loss": "mean_squared_error"} if label.kind == "real" else None,
            )
        ]
    return []


def _blind(evidence):
    """Whether it makes no difference to the loss which label belongs to which row."""
    batch, labels = evidence.batch, evidence.labels
    if batch.permuted_change is None or not labels or labels[0].constant or not _own(evidence):
        return False
    return (batch.output_std or 0.0) > 1e-3 and batch.permuted_change < 1e-6


def _own(evidence):
    """Whether the loss is the user's and judges single numbers; a contrast of rows is meant."""
    model = evidence.model
    if not model.own_loss or model.own_step or not evidence.labels:
        return False
    label, out = evidence.labels[0], model.outputs[0]
    columns = label.shape[-1] if label.shape else 1
    return columns == 1 and out.units == 1


def _finding(name, text, facts, line, confidence=0.75, change=None):
    return Finding(
        name,
        "warning",
        text,
        evidence=facts,
        location="loss",
        remedy=line,
        confidence=confidence,
        stage="data",
        change=change,
    )
