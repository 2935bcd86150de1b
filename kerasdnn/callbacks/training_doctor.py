"""The findings of `diagnose`, from a live `fit`."""

import contextlib
import math
import time

from kerasdnn.callbacks.gradient_monitor import GradientMonitor, joined
from kerasdnn.diagnosis import Dynamics, Evidence, Report, measure, ranking, rules, structure
from kerasdnn.diagnosis.facts import BatchFacts
from kerasdnn.diagnosis.program import Rows
from kerasdnn.diagnosis.rules import live
from kerasdnn.diagnosis.skill import guess_loss, skill
from kerasdnn.diagnosis.summary import curves, layers, summary
from kerasdnn.diagnosis.training import current_rate

import keras
import numpy as np

ROWS = 1024  # of the first epoch that labels and inputs are judged by
KEYS = {  # name in Dynamics -> name in the rows of the monitor
    "gradient_norm_by_layer": "gradient_norm",
    "weight_norm_by_layer": "weight_norm",
    "update_ratio_by_layer": "update_ratio",
    "dead_share_by_layer": "dead",
    "saturated_share_by_layer": "saturated",
    "activation_std_by_layer": "std",
}


class TrainingDoctor(GradientMonitor):
    """Says why a training does not converge, while it runs and without changing it.

    The rules are those of `diagnosis.diagnose`. A live run shows the model, the labels and inputs
    of the first batches, the loss, and by layer gradients, updates and activations; it does not try
    the training at other rates, as `diagnose` does. What could not be seen stands in the notes of
    the report. The training is the same to the bit with this callback and without.

    Args:
        every: int, observe the gradients at every so many steps, or "auto" for four times an epoch.
        probe: inputs on which activations are read. Default None: the first rows trained on.
        probe_size: int, rows of the probe. Default 256.
        csv: path of a CSV file with the numbers of `GradientMonitor`, or None.
        tensorboard: folder of an event file with them, or None.

    Attributes:
        report: `diagnosis.Report`, also before the training has ended.

    Example:
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("adam", "binary_crossentropy")  # which expects probabilities
    >>> x = np.random.default_rng(0).normal(size=(64, 4))
    >>> doctor = TrainingDoctor()
    >>> history = model.fit(x, (x[:, 0] > 0) * 1.0, verbose=0, callbacks=[doctor])
    >>> doctor.report.top.id
    'loss.logits'
    """

    _KEPT = (*GradientMonitor._KEPT, "_history", "_rates")

    def set_model(self, model):
        super().set_model(model)
        self._report = self._facts = None
        self._structure_seconds = 0.0
        self._history, self._rates, self._planned = {}, [], None
        self._stopped = False

    def _rows_wanted(self):
        return max(ROWS, 0 if self.probe is not None else self.probe_size)

    def _look(self):
        super()._look()
        began = time.perf_counter()
        epochs, steps = self.params.get("epochs"), self.params.get("steps")
        self._planned = epochs
        try:  # with a batch size of 1, so many rows are so many steps
            self._facts = structure.read_model(self.model, batch_size=1, epochs=epochs, rows=steps)
        except Exception as error:  # a model that nobody thought of must train all the same
            self.notes.append(f"the model could not be read: {type(error).__name__}: {error}"[:200])
        self._structure_seconds = time.perf_counter() - began

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(_float(value))
        with contextlib.suppress(AttributeError):  # several optimizers have no one rate
            self._rates.append(current_rate(self.model))
        self._report = None

    def _finish(self):
        self._stopped = bool(self.model.stop_training)
        self._report = self._examine(ended=True)

    @property
    def report(self):
        if self._steps is None:
            raise RuntimeError(
                "TrainingDoctor has seen no training yet; pass it to fit(callbacks=[doctor]) first."
            )
        if self._report is None:
            self._report = self._examine(ended=False)
        return self._report

    # --- the examination ---
    def _examine(self, *, ended):
        began = time.perf_counter()
        notes = list(self.notes)
        rows = self._kept_rows()
        evidence = Evidence(model=self._facts, run=self._dynamics())
        if self._facts is not None and self._facts.own_step and not self.rows:
            notes.append("the training step is the model's own: only its logs were seen")
        if rows is not None:
            notes.append(f"labels and inputs: {len(rows):,} rows of the first epoch were looked at")
            self._judge_rows(evidence, rows, ended, notes)
        found = self._apply(evidence, rows)
        report = Report(
            findings=ranking.rank(found, evidence),
            program=summary(self._facts, self.model) if self._facts is not None else {},
            notes=notes,
            curves=curves(evidence.run),
            layers=layers(evidence.run),
        )
        live_note = f"{self.observed_steps} steps observed in {self.epochs_seen} epochs"
        seconds = self.seconds + time.perf_counter() - began
        report.passes = [
            {"name": "structure", "seconds": round(self._structure_seconds, 3), "note": ""},
            {"name": "live", "seconds": round(seconds, 3), "note": live_note},
        ]
        report.evidence = evidence
        return report

    def _kept_rows(self):
        if not self._batches:
            return None
        x, y, weight = (
            joined([batch[part] for batch in self._batches])
            if self._batches[0][part] is not None
            else None
            for part in range(3)
        )
        size = len(keras.tree.flatten(self._batches[0][0])[0])
        return Rows(x, y, weight, batch_size=size)

    def _judge_rows(self, evidence, rows, ended, notes):
        evidence.labels = measure.read_labels(rows.y)
        facts = self._facts
        if facts is None:
            return
        measure.settle_kinds(evidence.labels, facts)
        facts.batch_size = rows.batch_size
        facts.shuffle = False  # the rows stand in the order in which they were trained on
        steps = self.params.get("steps") or evidence.run.steps_per_epoch
        facts.rows = steps * rows.batch_size if steps else len(rows)
        evidence.batch = self._first_batch(evidence, rows)
        if ended:
            try:
                with keras.StatelessScope():  # layers in front of the first kernel are called
                    evidence.inputs = measure.read_inputs(self.model, rows)
                self._judge_skill(evidence, rows)
            except Exception as error:  # the user's layers are called here
                notes.append(f"inputs were not judged: {type(error).__name__}: {error}"[:200])

    def _judge_skill(self, evidence, rows):
        run, labels, losses = evidence.run, evidence.labels, self._facts.losses
        if run.nan is not None or not labels or rows.y is None or self._activations is None:
            return
        outputs = []
        for start in range(0, len(rows), 256):
            part = rows.take(slice(start, start + 256)).x
            if self._try_read(part) is None:
                return
            outputs.append(keras.tree.flatten(self.output))
        targets = keras.tree.flatten(rows.y)
        if len(outputs[0]) != len(targets):
            return
        found = []
        for index, (target, label) in enumerate(zip(targets, labels, strict=True)):
            loss = losses[index] if index < len(losses) else None
            output = np.concatenate([part[index] for part in outputs])
            logits = loss is not None and (loss.from_logits or "hinge" in loss.name)
            found.append(skill(output, target, label.kind, logits=logits))
        known = [value for value in found if value is not None]
        run.skill = float(np.mean(known)) if known else None
        if len(labels) == 1:
            run.val_skill = _skill_of_metrics(run, labels[0], losses[0] if losses else None)
            if run.val_skill is not None:
                self._facts.validation = "data"

    def _first_batch(self, evidence, rows):
        """Returns what the first step showed, before any weight had moved."""
        batch = BatchFacts()
        labels, losses = evidence.labels, self._facts.losses
        if self.step_loss and math.isfinite(self.step_loss[0][1]):
            batch.loss = self.step_loss[0][1]
        if len(labels) == 1 and losses and losses[0] is not None and rows.y is not None:
            y = keras.tree.flatten(rows.y)[0]
            if np.asarray(y).dtype.kind in "biuf":
                batch.expected_loss = guess_loss(labels[0].kind, y, losses[0].name)
        if self._first_output is not None:
            output = np.asarray(keras.tree.flatten(self._first_output)[0], "float64")
            if output.size and np.isfinite(output).all():
                batch.output_low, batch.output_high = float(output.min()), float(output.max())
                batch.output_std = float(output.std(axis=0).mean())
                if output.ndim > 1 and output.shape[-1] > 1:
                    sums = output.sum(-1)
                    batch.row_sum = (float(sums.min()), float(sums.max()))
        return batch

    def _dynamics(self):
        history = dict(self._history)
        loss, val_loss = history.pop("loss", []), history.pop("val_loss", [])
        run = Dynamics(
            epochs_planned=self._planned,
            steps_per_epoch=self._steps.calls // max(self.epochs_seen, 1),
            loss=loss,
            val_loss=val_loss,
            metrics=history,
            rate=list(self._rates),
            step_loss=[value for _, value in self.step_loss],
        )
        names = dict.fromkeys(name for row in self.rows for name in row["layers"])
        order = [n for n in dict.fromkeys(self._names.values()) if n in names] if names else []
        kernels = [
            n for n in order if any("weight_norm" in r["layers"].get(n, {}) for r in self.rows)
        ]
        run.layers = kernels or order
        run.time = [row["time"] for row in self.rows]
        for field, key in KEYS.items():
            table = [[row["layers"].get(n, {}).get(key) for n in run.layers] for row in self.rows]
            setattr(run, field, table)
        clipped = [
            n["clip_rate"] for r in self.rows[-1:] for n in r["layers"].values() if "clip_rate" in n
        ]
        run.clip_rate = max(clipped, default=None)
        run.nan = self._find_nan(run)
        run.stopped_early = self._stopped
        run.reason = "callback" if self._stopped else ""
        return run

    def _find_nan(self, run):
        """Returns where a loss that is no number was first seen, or None."""
        bad = [at for at, value in self.step_loss if not math.isfinite(value)]
        if not bad and all(map(math.isfinite, run.loss)):
            return None
        for part, name in ((0, "x"), (1, "y")):
            for batch in self._batches:
                for array in keras.tree.flatten(batch[part]) if batch[part] is not None else []:
                    if array.dtype.kind == "f" and not np.isfinite(array).all():
                        return {"step": 0, "what": "input", "where": name}
        step = round((bad[0] if bad else run.epochs_planned or 1) * (run.steps_per_epoch or 1))
        for row in self.rows:
            broken = [
                name
                for name, numbers in row["layers"].items()
                if not math.isfinite(numbers.get("gradient_norm", 0.0))
            ]
            if broken and len(broken) < len(run.layers):
                return {"step": min(step, row["step"]), "what": "gradient", "where": broken[-1]}
            if broken:
                break
        return {"step": step, "what": "loss", "where": f"step {step}"}

    def _apply(self, evidence, rows):
        found = []
        if rows is not None:
            bad = rules.not_finite(rows)
            found += [bad] if bad is not None else []
        if evidence.model is None:
            return found
        if evidence.labels:
            found += rules.structure(evidence)
            found += rules.data(evidence)
        return found + rules.dynamics(evidence) + live.updates(evidence)


def _skill_of_metrics(run, label, loss):
    """Returns the skill on validation data, as far as accuracy or squared error tell it."""
    for name, values in run.metrics.items():
        if name.startswith("val_") and name.endswith("accuracy") and label.counts and values:
            largest = max(label.counts.values()) / sum(label.counts.values())
            return (values[-1] - largest) / (1 - largest) if largest < 1 else None
    if loss is not None and loss.name == "mean_squared_error" and run.val_loss and label.std:
        return 1 - run.val_loss[-1] / label.std**2
    return None


def _float(value):
    try:
        return float(keras.ops.convert_to_numpy(value))
    except (TypeError, ValueError):
        return math.nan
