"""The measurements of `autotune`: a few guarded steps each, then turns."""

import dataclasses
import math
import statistics
import time
import warnings

from kerasdnn import backend
from kerasdnn.runtime.choice import Setting, table_row

import keras
import numpy as np

CLEARLY_FASTER = 1.03  # a candidate replaces the default from this ratio on
LOSS_TOLERANCE = 0.05  # of the default's loss, in each of the first steps
LOSS_SLACK = 1e-3  # added to it, for losses near zero
CHECK_STEPS = 3  # first steps of each candidate, the first of which compiles
TOO_SLOW = (3.0, 1.5)  # times the default's step, one or the faster of two: no further steps
PROBE_SHARE = 8  # the probe of another precision is a forward pass of 1/8 of a batch
PROBE_TOO_SLOW = 4.0  # times the default's probe: the step is not even tried
PROBE_NOISE = 0.01  # seconds; a probe within it says nothing
ROUNDS = (3, 9)  # fewest and most rounds in which the candidates take turns
TURN_SECONDS = 0.15  # a turn is as many steps as fit in it, at least one
SETUP_SHARE = 0.6  # of the seconds may pass before no new candidate is started


@dataclasses.dataclass
class Trial:
    """One setting on its way: its model while it is in the race, and what was seen of it."""

    setting: Setting
    status: str = "measured"
    reason: str = ""
    model: object = None
    losses: list = dataclasses.field(default_factory=list)
    times: list = dataclasses.field(default_factory=list)  # seconds a step, a value each turn
    ratio: float | None = None

    def stop(self, status, reason):
        """Takes it out of the race and frees its model."""
        self.status, self.reason, self.model = status, reason, None


class Trials:
    """Runs the candidates against the default within a number of seconds."""

    def __init__(self, build, batches, default, rewind, seconds):
        self.build, self.batches, self.rewind = build, batches, rewind
        self.seconds = seconds
        self.began = time.perf_counter()
        self.weights = self.step = self.probe = None  # the default's
        self.trials = [Trial(default)]

    def elapsed(self):
        """Returns the seconds since the start."""
        return time.perf_counter() - self.began

    def run(self, settings):
        """Tries the settings in their order and returns the best trial."""
        default = self.trials[0]
        self._first_steps(default)
        costs = [self.elapsed()]
        for setting in settings:
            trial = Trial(setting)
            self.trials.append(trial)
            left = self.seconds * SETUP_SHARE - self.elapsed()
            if left < 0 or self.elapsed() + max(costs) > self.seconds:
                trial.stop("skipped", f"the {self.seconds:g} seconds are used up")
                continue
            start = self.elapsed()
            self._guarded(trial)
            costs.append(self.elapsed() - start)
        racing = [trial for trial in self.trials if trial.model is not None]
        self._take_turns(racing)
        return self._pick(racing)

    def table(self, best):
        """Returns a row for each trial, the default first."""
        best.status = "chosen"
        rows = []
        for trial in self.trials:
            step = statistics.median(trial.times) if trial.times else None
            rows.append(
                table_row(
                    *dataclasses.astuple(trial.setting),
                    trial.status,
                    trial.reason,
                    self._batch_size() / step if step else None,
                    trial.ratio,
                    statistics.fmean(trial.losses) if _finite(trial.losses) else None,
                )
            )
        return rows

    def _guarded(self, trial):
        # Whatever a candidate does, the caller still has the default.
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self._first_steps(trial)
            notes = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
            trial.reason = trial.reason or " ".join(dict.fromkeys(notes))
        except Exception as error:
            trial.stop("failed", f"{type(error).__name__}: {str(error).strip()}".splitlines()[0])

    def _first_steps(self, trial):
        default = self.trials[0]
        self.rewind()
        trial.model = trial.setting.make(self.build)
        if trial is default:
            self.weights = [np.array(w) for w in trial.model.get_weights()]
        else:
            trial.model.set_weights(self.weights)
            if self._fails_probe(trial):
                return
        times = []
        for number in range(CHECK_STEPS):
            seconds, loss = self._timed_step(trial.model, number)
            times.append(seconds)
            trial.losses.append(loss)
            if trial is default:
                continue
            expected = default.losses[number]
            if not _finite([loss]) or abs(loss - expected) > _tolerance(expected):
                trial.stop("rejected", f"loss {loss:.4g} in step {number + 1}, not {expected:.4g}")
                return
            # The first step compiles; from the second on the time counts.
            slowdown = min(times[1:], default=0.0) / self.step
            if slowdown > TOO_SLOW[0 if number == 1 else 1]:
                trial.stop("slower", f"a step takes {slowdown:.1f} x the default's")
                return
        if trial is default:
            self.step = min(times[1:])

    def _fails_probe(self, trial):
        # A CPU that emulates a precision would take minutes for one whole step.
        if trial.setting.precision == self.trials[0].setting.precision:
            return False
        if backend.current().has_gpu():
            return False
        if self.probe is None:
            self.probe = self._probe(self.trials[0].model)
        seconds = self._probe(trial.model)
        if seconds > max(PROBE_TOO_SLOW * self.probe, PROBE_NOISE):
            trial.stop("slower", f"a small forward pass takes {seconds / self.probe:.1f} x as long")
            return True
        return False

    def _probe(self, model):
        rows = max(1, self._batch_size() // PROBE_SHARE)
        batch = keras.tree.map_structure(lambda a: None if a is None else a[:rows], self.batches[0])
        model.test_on_batch(*batch)  # compiles
        start = time.perf_counter()
        model.test_on_batch(*batch)
        return time.perf_counter() - start

    def _take_turns(self, racing):
        steps = max(1, math.ceil(TURN_SECONDS / self.step))
        for number in range(ROUNDS[1] if len(racing) > 1 else 1):
            if number >= ROUNDS[0] and self.elapsed() > self.seconds:
                break
            # Every second round backwards, so that a drift of the machine favours nobody.
            for trial in racing if number % 2 == 0 else racing[::-1]:
                if trial.model is None:
                    continue
                runs = [self._timed_step(trial.model, number * steps + k) for k in range(steps)]
                trial.times.append(sum(seconds for seconds, _ in runs) / steps)
                if trial is not self.trials[0] and not _finite([loss for _, loss in runs]):
                    trial.stop("rejected", "the loss is no longer finite")

    def _pick(self, racing):
        default = self.trials[0]
        for trial in racing:
            pairs = zip(default.times, trial.times)
            trial.ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        best = max((t for t in racing if t.model is not None), key=lambda trial: trial.ratio)
        return best if best.ratio > CLEARLY_FASTER else default

    def _timed_step(self, model, number):
        model.reset_metrics()  # the loss of this step, not the mean since the first
        batch = self.batches[number % len(self.batches)]
        start = time.perf_counter()
        logs = model.train_on_batch(*batch, return_dict=True)
        return time.perf_counter() - start, float(logs["loss"])

    def _batch_size(self):
        return keras.tree.flatten(self.batches[0])[0].shape[0]


def _finite(values):
    return bool(values) and all(math.isfinite(value) for value in values)


def _tolerance(loss):
    return LOSS_TOLERANCE * abs(loss) + LOSS_SLACK
