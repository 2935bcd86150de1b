"""`repair(program, report)`: applies remedies, retrains, keeps what measurably helps."""

import dataclasses
import warnings

from kerasdnn.diagnosis import edits, measure, structure
from kerasdnn.diagnosis.examination import diagnose
from kerasdnn.diagnosis.finding import Finding
from kerasdnn.diagnosis.program import Program, read_rows, read_validation
from kerasdnn.diagnosis.skill import model_skill
from kerasdnn.diagnosis.training import Trainer, caller_untouched, clock
from kerasdnn.errors import InputError

import keras
import numpy as np

ENOUGH = 0.95  # skill from which nothing more is tried
HELPS = 0.02  # gain in skill from which a remedy is kept
ROUNDS, CANDIDATES = 4, 3
HELD, HELD_FROM = 0.15, 200  # share of the rows kept out to measure on, from so many rows on


@dataclasses.dataclass
class Outcome:
    """What one training of a program reached."""

    skill: float | None = None  # on training rows: 1 perfect, 0 no better than a constant
    val_skill: float | None = None  # on rows that were not trained on
    loss: list = dataclasses.field(default_factory=list)
    val_loss: list = dataclasses.field(default_factory=list)
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""

    @property
    def score(self):
        """One number to compare by: the mean of the skills that are known, none below 0."""
        known = [max(s, 0.0) for s in (self.skill, self.val_skill) if s is not None]
        return float(np.mean(known)) if known else 0.0


@dataclasses.dataclass
class Repaired:
    """What `repair` returns.

    Attributes:
        program: the repaired `Program`, or the given one where nothing helped.
        applied: list of dictionaries `id, remedy, change, before, after`, in order.
        rejected: the same for remedies that were tried and did not help.
        before, after: the `Outcome` of both programs.
        report: the `Report` that the first remedies came from.
    """

    program: Program
    applied: list
    rejected: list
    before: Outcome
    after: Outcome
    report: object = None

    @property
    def helped(self):
        """Whether the training is measurably better than before."""
        return bool(self.applied) and self.after.score - self.before.score >= HELPS

    def __str__(self):
        lines = [f"Repair: skill {self.before.score:.3f} before, {self.after.score:.3f} after"]
        for number, step in enumerate(self.applied, 1):
            lines.append(f"{number}. {step['id']}: {step['before']:.3f} -> {step['after']:.3f}")
            lines.append(f"   -> {step['remedy']}")
        if not self.applied:
            lines.append("no remedy helped; the program is unchanged")
        return "\n".join(lines)


def repair(program, report=None, *, seconds=120.0):
    """Applies the remedies of a report, retrains, and keeps what measurably helps.

    After each remedy that is kept, the new program is diagnosed again, as one fault may hide
    another. When no finding has a remedy left, a few that often help are tried.

    Args:
        program: a `Program`.
        report: the `Report` of `diagnose(program)`; made here if None.
        seconds: about how long all of it may take.

    Returns:
        A `Repaired`.
    """
    with caller_untouched(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _Workshop(program, report, seconds).work()


def outcome(program, seconds):
    """Trains a program from the start and returns its `Outcome`; errors become its `error`."""
    result, began = Outcome(), clock()
    try:
        held, rows = read_validation(program, read_rows(program))
        extra = None
        if held is None and len(rows) >= HELD_FROM:
            order = np.random.default_rng(3).permutation(len(rows))
            cut = int(len(rows) * HELD)
            extra, rows = rows.take(np.sort(order[:cut])), rows.take(np.sort(order[cut:]))
        model = program.build()
        if not model.built:
            model(keras.tree.map_structure(lambda a: a[:1], rows.x))
        facts = structure.read_model(model, batch_size=rows.batch_size, program=program)
        trainer = Trainer(model, rows, program, validation=held)
        trace = trainer.run(program.epochs, began + seconds)
        result.loss, result.val_loss, result.epochs = trace.loss, trace.val_loss, len(trace.loss)
        labels = measure.read_labels(rows.y)
        if trace.stopped == "nan":
            result.error, result.skill = "the loss is not a number", 0.0
        else:
            result.skill = model_skill(model, rows.sample(1000, seed=2), labels, facts)
            other = held if held is not None else extra
            if other is not None and len(other):
                result.val_skill = model_skill(model, other.sample(2000), labels, facts)
    except (InputError, ValueError, TypeError, RuntimeError) as error:
        result.error = str(error).strip().split("\n")[0]
    except Exception as error:  # what the backend raises has no common class
        result.error = f"{type(error).__name__}: {str(error).strip()[:200]}"
    result.seconds = clock() - began
    return result


class _Workshop:
    def __init__(self, program, report, seconds):
        self.program, self.report = program, report
        self.end = clock() + seconds
        self.each = seconds / 6  # for one training
        self.applied, self.rejected, self.tried = [], [], set()

    def work(self):
        if self.report is None:
            self.report = diagnose(self.program, seconds=self.each)
        before = self.now = outcome(self.program, self.each)
        current, report = self.program, self.report
        for _ in range(ROUNDS):
            if self.now.score >= ENOUGH or clock() > self.end:
                break
            better = self._round(current, report)
            if better is None:
                break
            current = better
            if self.now.score < ENOUGH and clock() < self.end:
                report = diagnose(current, seconds=self.each / 2)
        if self.now.score < 0.8:
            current = self._usual(current)
        return Repaired(current, self.applied, self.rejected, before, self.now, self.report)

    def _round(self, program, report):
        """Tries the first findings; returns the program with the first that helps, or None."""
        wanted = [f for f in report.findings if f.change is not None and _worth(f)]
        for finding in wanted[:CANDIDATES]:
            better = self._try(program, finding)
            if better is not None:
                return better
            if clock() > self.end:
                break
        return None

    def _try(self, program, finding):
        key = (finding.id, repr(sorted(finding.change.items(), key=str)))
        if key in self.tried:
            return None
        self.tried.add(key)
        try:
            new = edits.apply(program, finding.change)
            result = outcome(new, min(self.each, max(self.end - clock(), 1.0)))
        except (edits.CannotChangeError, ValueError, TypeError) as error:
            self._note(self.rejected, finding, None, str(error))
            return None
        # What cannot work as it is is mended first: its gain may show only after the next remedy.
        must = finding.severity == "error" and not result.error
        gain = result.score - self.now.score
        if (gain >= HELPS or (must and gain > -HELPS)) and not result.error:
            self._note(self.applied, finding, result.score)
            self.now = result
            return new
        self._note(self.rejected, finding, result.score, result.error)
        return None

    def _note(self, where, finding, after, error=""):
        where.append(
            {
                "id": finding.id,
                "remedy": finding.remedy,
                "change": finding.change,
                "before": self.now.score,
                "after": after,
                "error": error,
            }
        )

    def _usual(self, program):
        """Tries what often helps, whatever the cause, one after the other."""
        for name, line, change in USUAL:
            if self.now.score >= 0.8 or clock() > self.end:
                break
            finding = Finding(name, "info", "", remedy=line, change=change)
            better = self._try(program, finding)
            program = better if better is not None else program
        return program


USUAL = (
    ("data.scale_x", "x = (x - x.mean(0)) / x.std(0)", {"kind": "scale_x"}),
    ("lr.low", "optimizer=Adam(1e-2)", {"kind": "optimizer", "name": "Adam", "rate": 1e-2}),
    ("lr.high", "optimizer=Adam(1e-3)", {"kind": "optimizer", "name": "Adam", "rate": 1e-3}),
    ("fit.epochs", "epochs=5 * epochs", {"kind": "epochs", "factor": 5}),
    ("grad.vanish", "BatchNormalization between the layers", {"kind": "batch_norm"}),
    ("fit.underfit", "more units", {"kind": "widen", "factor": 4}),
)


def _worth(finding):
    return finding.at_least("warning") or finding.confidence >= 0.2
