"""Ends trials that cannot win, and the search when its time is up."""

import json
import math
import statistics
import time
from pathlib import Path

from kerasdnn import results
from kerasdnn.callbacks import TrainingDoctor
from kerasdnn.errors import InputError

ENOUGH = 3  # curves of other trials, before their median says anything
HOPELESS = 5  # failed trials without any that was completed
FATAL = ("loss.nan", "data.nan", "lr.high")  # findings of the doctor
DEAD = 0.999  # share of a layer's units; without a way around it, nothing passes such a layer


class TimeIsUp(Exception):  # noqa: N818 - not an error
    """The time of the search has passed; the next trial does not begin."""


class EarlyEnding:
    """Mixin in front of any Keras Tuner tuner that trains: no time for trials that cannot win.

    A trial ends after the epoch in which

    - its loss is no longer a number: it counts as failed;
    - `TrainingDoctor` finds that it diverges or that a layer is dead;
    - its best objective so far is worse than the median, over the other trials, of the mean
      objective up to that epoch (the median stopping rule).

    What it reached until then is its score, except where it failed. The curve of every trial and
    the reason why it ended are in `curve.json` of its folder.

    Args:
        *args: arguments of the tuner.
        minutes: float, the time of the whole search; None for no limit. The trial that is under
            way then ends after its epoch. Defaults to None.
        doctor: bool, whether the doctor may end trials. Defaults to True.
        median: bool, whether the median rule may. Defaults to True.
        **kwargs: further arguments of the tuner.

    Example:
    >>> class Tuner(EarlyEnding, kerasdnn.tuning.NoRepeatBayesian):
    ...     pass
    >>> def build(hp):
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    ...     rate = hp.Choice("rate", [0.1, 1e9])
    ...     model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
    ...     return model
    >>> import tempfile
    >>> x, y = np.ones((32, 2), "float32"), np.ones((32, 1), "float32")
    >>> tuner = Tuner(build, "val_loss", directory=tempfile.mkdtemp())
    >>> tuner.search(x, y, validation_data=(x, y), epochs=3, verbose=0)
    >>> [trial.status for trial in tuner.oracle.trials.values()]
    ['COMPLETED', 'FAILED']

    References:
        Golovin et al. (2017), Google Vizier: A Service for Black-Box Optimization
    """

    def __init__(self, *args, minutes=None, doctor=True, median=True, **kwargs):
        self.minutes, self.use_doctor, self.use_median = minutes, doctor, median
        self._until, self._doctor, self._curve, self._reason = None, None, [], None
        self._failed = False
        # Failed trials are told by their score; three in a row are no reason to give up.
        kwargs.setdefault("max_consecutive_failed_trials", None)
        super().__init__(*args, **kwargs)

    def search(self, *args, **kwargs):
        """Searches until the trials or the minutes are used up."""
        if self.minutes is not None:
            self._until = time.monotonic() + 60 * self.minutes
        try:
            super().search(*args, **kwargs)
        except TimeIsUp:
            self.on_search_end()

    def pre_create_trial(self):
        """Begins no trial when the time has passed, or when every one so far has failed."""
        super().pre_create_trial()
        trials = getattr(self.oracle, "trials", {}).values()  # a worker sees its own only
        failed = [trial for trial in trials if trial.status == "FAILED"]
        if len(failed) >= HOPELESS and not any(t.status == "COMPLETED" for t in trials):
            raise InputError(
                f"The search expects trials that end with a number; all {len(failed)} so far "
                f"failed, the last one with: {last_line(failed[-1].message)}. Mend build(hp) first."
            )
        if self._until is not None and time.monotonic() > self._until:
            raise TimeIsUp

    def run_trial(self, trial, *args, **kwargs):
        """Runs one trial under the eyes of the doctor."""
        self._curve, self._reason, self._failed = [], None, False
        self._doctor = _Doctor() if self.use_doctor else None
        doctors = [self._doctor] if self.use_doctor else []
        kwargs["callbacks"] = [*kwargs.get("callbacks", ()), *doctors]
        begin = time.monotonic()
        try:
            reached = super().run_trial(trial, *args, **kwargs)
        finally:
            self._keep(trial, time.monotonic() - begin, kwargs.get("epochs"))
            self._doctor = None
        if not self._failed:
            return reached
        # Not raised, because Keras Tuner would print a traceback; `on_trial_end` says it.
        worst = -math.inf if self.oracle.objective.direction == "max" else math.inf
        return {self.oracle.objective.name: worst}

    def on_trial_end(self, trial):
        """Tells the oracle, also of a trial that has failed."""
        if self._failed:
            trial.status, trial.message, self._failed = "FAILED", self._reason, False
        super().on_trial_end(trial)

    def on_epoch_end(self, trial, model, epoch, logs=None):
        """Ends the trial after this epoch if it has no hope."""
        super().on_epoch_end(trial, model, epoch, logs)
        logs = logs or {}
        objective = self.oracle.objective
        found = float(objective.get_value(logs)) if objective.has_value(logs) else None
        self._curve.append(found)
        numbers = [float(v) for v in (logs.get("loss"), found) if v is not None]
        if not all(map(math.isfinite, numbers)):
            self._end(model, f"not a number after epoch {epoch + 1}", failed=True)
        elif self._until is not None and time.monotonic() > self._until:
            self._end(model, "the time is up")
        elif finding := self._diagnosis():
            self._end(model, finding)
        elif self.use_median and self._below_the_median(trial):
            self._end(model, f"below the median after epoch {epoch + 1}")

    def _end(self, model, reason, failed=False):
        model.stop_training = True
        self._reason, self._failed = reason, failed

    def _diagnosis(self):
        """Returns the doctor's reason to end the trial, or None."""
        if self._doctor is None:
            return None
        report = self._doctor.report
        for finding in report.findings:
            grows = finding.id == "loss.oscillation" and "last" in finding.evidence
            told = finding.stage == "dynamics" and finding.severity != "info"
            if (finding.id in FATAL or grows) and told:
                return f"{finding.id}: {finding.message}"
        facts, run = report.evidence.model, report.evidence.run
        if facts is None or not facts.straight or not run.dead_share_by_layer:
            return None
        # The last layer's bias may still learn: the loss falls, and the rule waits for the end.
        for layer, share in zip(run.layers, run.dead_share_by_layer[-1], strict=True):
            if share is not None and share >= DEAD:
                return f"act.dead: in '{layer}' no unit is active on any row"
        return None

    def _below_the_median(self, trial):
        epochs, sign = len(self._curve), -1 if self.oracle.objective.direction == "max" else 1
        mine = [sign * v for v in self._curve if v is not None]
        means = []
        for other, curve in self._curves():
            values = [v for v in curve[:epochs] if v is not None]
            if other != trial.trial_id and len(curve) >= epochs and values:
                means.append(sign * statistics.fmean(values))
        return bool(mine) and len(means) >= ENOUGH and min(mine) > statistics.median(means)

    def _curves(self):
        """Yields trial and curve of all that have ended, also in other processes."""
        for path in Path(self.project_dir).glob("trial_*/curve.json"):
            yield path.parent.name.removeprefix("trial_"), json.loads(path.read_text())["objective"]

    def _keep(self, trial, seconds, epochs):
        content = {
            "objective": self._curve,
            "seconds": round(seconds, 3),
            "epochs": epochs,
            "ended": self._reason,
        }
        results.write_json(Path(self.get_trial_dir(trial.trial_id)) / "curve.json", content)


class _Doctor(TrainingDoctor):
    """The doctor of one trial."""

    def __deepcopy__(self, memo):
        # Keras Tuner copies callbacks for every execution; this one has to be asked afterwards.
        return self


def last_line(message):
    """Returns what a traceback ends with."""
    lines = (message or "its objective was not a number").strip().splitlines()
    return lines[-1].split(": ", 1)[-1] if "FailedTrialError" in lines[-1] else lines[-1]
