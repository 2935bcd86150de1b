"""`diagnose(program)`: three passes, cheapest first; the caller's model stays as it is."""

import contextlib
import io
import time
import warnings

from kerasdnn.diagnosis import measure, probes, ranking, rules, structure
from kerasdnn.diagnosis.evidence import Dynamics, Evidence
from kerasdnn.diagnosis.finding import Finding
from kerasdnn.diagnosis.program import read_rows, read_validation
from kerasdnn.diagnosis.report import Report
from kerasdnn.diagnosis.skill import model_skill
from kerasdnn.diagnosis.summary import curves, find_nan, layers, summary
from kerasdnn.diagnosis.training import State, Trainer, caller_untouched, clock
from kerasdnn.diagnosis.trials import Trials
from kerasdnn.diagnosis.watch import Watch, moved
from kerasdnn.errors import InputError

import keras
import numpy as np

PASSES = ("structure", "data", "dynamics")
OBSERVATIONS = 8  # of gradients and activations during the training
RUN_SHARE, BROKEN_SHARE = 0.5, 0.05  # of the seconds, for the training itself
TRIAL_STEPS = 1000  # of a variant at most: one that learns more in fewer steps is better, too
HOLD_OUT, HOLD_OUT_FROM = 0.15, 200  # share of the rows, from so many rows on


class Finished(Exception):  # noqa: N818 - not an error
    """Nothing more can be found out; the findings say why."""


def diagnose(program, *, passes=PASSES, seconds=30.0):
    """Says why a training does not converge, the most likely cause first.

    Three passes: the structure of model, loss and labels, without any step; the data and the first
    batch; a short training of a copy and of variants with one thing changed. The caller's model,
    random states and dtype policy are left as they were.

    Args:
        program: a `Program`.
        passes: which of "structure", "data" and "dynamics" to run.
        seconds: about how long the training and its variants may take.

    Returns:
        A `Report`. Bad input, an error inside the program and Ctrl-C end up in it as a finding or a
        note.

    Example:
    >>> from kerasdnn.diagnosis import Program, diagnose
    >>> def build():
    ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "softmax")])
    ...     model.compile("adam", "binary_crossentropy")
    ...     return model
    >>> x = np.random.default_rng(0).normal(size=(64, 4))
    >>> report = diagnose(Program(build, x, (x[:, 0] > 0) * 1.0), passes=("structure",))
    >>> report.top.id
    'output.softmax_one_unit'
    """
    doctor = _Doctor(program, seconds)
    with caller_untouched(), warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            for name in PASSES:
                if name in _with_earlier(passes):
                    doctor.run_pass(name)
        except Finished:
            pass
        except KeyboardInterrupt:
            doctor.report.notes.append("interrupted: what had been found so far")
        finally:
            doctor.put_back()
    return doctor.finish()


class _Doctor:
    def __init__(self, program, seconds):
        self.program, self.seconds = program, seconds
        self.report, self.evidence, self.found = Report(), Evidence(), []
        self.model = self.state = self.rows = self.held = None

    # --- frame ---
    def run_pass(self, name):
        """Runs one pass and keeps its time; an error inside becomes a finding or a note."""
        began = time.perf_counter()
        try:
            getattr(self, f"_{name}")()
        except (Finished, KeyboardInterrupt):
            raise
        except Exception as error:  # a fault of the user's code is a finding, not a crash
            self._failed(name, error)
        finally:
            seconds = round(time.perf_counter() - began, 3)
            self.report.passes.append({"name": name, "seconds": seconds, "note": ""})

    def _failed(self, name, error):
        text = _first_line(error)
        found = rules.shape_error(self.evidence, text)
        if found is None:
            found = Finding(
                "program.error",
                "error",
                f"The training stops with {type(error).__name__}: {text}",
                location="fit",
                confidence=0.9,
                stage=name,
            )
        self.found.append(found)
        raise Finished

    def finish(self):
        """Ranks what was found and fills the report."""
        if self.evidence.model is not None:
            self.found += rules.structure(self.evidence)
            self.found += rules.data(self.evidence)
            self.found += rules.dynamics(self.evidence)
        self.report.findings = ranking.rank(self.found, self.evidence)
        self.report.evidence = self.evidence
        run = self.evidence.run
        if run is not None:
            self.report.curves = curves(run)
            self.report.layers = layers(run)
        return self.report

    def put_back(self):
        """Restores the model, which may be the caller's own."""
        if self.state is not None:
            self.state.restore()

    # --- passes ---
    def _structure(self):
        self._read()
        self._build()
        validation_y = self.held.y if self.held is not None else None
        train = self.rows
        self.evidence.model = facts = structure.read_model(
            self.model,
            batch_size=train.batch_size,
            epochs=self.program.epochs,
            rows=len(train),
            program=self.program,
        )
        self.evidence.labels = measure.read_labels(train.y, validation_y)
        measure.settle_kinds(self.evidence.labels, facts)
        self.report.program = summary(self.evidence.model, self.model)
        misfit = rules.misfit(self.evidence)
        if misfit is not None:
            self.found.append(misfit)
            raise Finished

    def _read(self):
        try:
            every = read_rows(self.program)
            self.held, self.rows = read_validation(self.program, every)
        except InputError as error:
            self.found.append(_fault("data.shape", str(error), "x"))
            raise Finished from None
        except Exception as error:
            self.found.append(_fault("data.shape", f"The data cannot be read: {error}", "x"))
            raise Finished from None
        self.report.notes += self.rows.notes
        if not len(self.rows):
            self.found.append(_fault("data.tiny", "There is no row to train on.", "x"))
            raise Finished
        bad = rules.not_finite(self.rows)
        if bad is not None:
            self.found.append(bad)

    def _build(self):
        try:
            self.model = self.program.build()
        except Exception as error:
            text = f"`build` raises {type(error).__name__}: {_first_line(error)}"
            self.found.append(_fault("program.build", text, "build"))
            raise Finished from None
        if not isinstance(self.model, keras.Model):
            text = f"`build` returns {type(self.model).__name__}, not a keras.Model."
            self.found.append(_fault("program.build", text, "build", "return model"))
            raise Finished
        if not getattr(self.model, "compiled", False):
            self.found.append(
                _fault(
                    "program.compile",
                    "The model that `build` returns is not compiled: it has no loss to train with.",
                    "build",
                    'model.compile("adam", loss=..., metrics=[...])',
                )
            )
            raise Finished
        if not self.model.built:
            try:
                self.model(keras.tree.map_structure(lambda a: a[:1], self.rows.x))
            except Exception as error:
                text = f"The model does not take the inputs: {_first_line(error)}"
                self.found.append(_fault("data.shape", text, "x"))
                raise Finished from None
        self._inputs_fit()
        optimizer = self.model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        self.state = State.of(self.model)

    def _inputs_fit(self):
        wanted = [tuple(tensor.shape[1:]) for tensor in getattr(self.model, "inputs", None) or []]
        given = [np.shape(array)[1:] for array in keras.tree.flatten(self.rows.x)]
        for want, have in zip(wanted, given, strict=False):
            pairs = zip(want, have, strict=False)
            if len(want) == len(have) and any(w not in (None, h) for w, h in pairs):
                text = f"Data and model do not fit: the model takes rows of {want}, x has {have}."
                self.found.append(_fault("data.shape", text, "x"))
                raise Finished

    def _data(self):
        e = self.evidence
        e.inputs = measure.read_inputs(self.model, self.rows, self.held)
        if any(f.not_finite for f in e.inputs) or any(f.not_finite for f in e.labels):
            raise Finished
        self.watch = Watch(self.model, self.rows)
        # Where the structure is wrong, no step taken with it tells more.
        deadline = clock() + (0.0 if self.broken() else self.seconds / 4)
        e.batch = probes.probe(
            self.model, self.rows, self.program, self.watch, e.labels, e.model, deadline=deadline
        )

    def broken(self):
        """Whether the structure alone is a certain fault."""
        return any(f.severity == "error" for f in rules.structure(self.evidence))

    def _dynamics(self):
        broken = self.broken()
        self._base_run(self.seconds * (BROKEN_SHARE if broken else RUN_SHARE))
        if not broken and rules.unwell(self.evidence):
            self._trials()

    def _base_run(self, seconds):
        self.state.restore()
        e, train, held = self.evidence, self.rows, self.held
        extra = None
        if held is None and len(train) >= HOLD_OUT_FROM:
            # The rows held out are the doctor's own: no training of the user's has them.
            order = np.random.default_rng(3).permutation(len(train))
            cut = int(len(train) * HOLD_OUT)
            extra, train = train.take(np.sort(order[:cut])), train.take(np.sort(order[cut:]))
        trainer = Trainer(self.model, train, self.program, validation=held)
        run = e.run = Dynamics(epochs_planned=self.program.epochs, steps_per_epoch=trainer.steps())
        run.layers = list(self.watch.kernels)
        marks = _marks(self.program.epochs)
        previous = start = self._observe(run, 0.0, None)
        began = clock()

        def at_epoch(epoch):
            nonlocal previous
            if epoch in marks and trainer.trace.stopped != "nan":
                previous = self._observe(run, float(epoch), previous)

        deadline = began + seconds
        trace = trainer.run(self.program.epochs, deadline, at_epoch=at_epoch)
        self.base_seconds = clock() - began
        run.moved = moved(start, self.watch.kernels)
        run.loss, run.val_loss, run.metrics = trace.loss, trace.val_loss, trace.metrics
        run.rate, run.step_loss = trace.rate, trace.step_loss
        run.stopped_early, run.reason = bool(trace.stopped), trace.stopped
        if trace.stopped == "nan":
            run.nan = find_nan(self.model, train, trace)
        else:
            probe = train.sample(512, seed=2)
            run.skill = model_skill(self.model, probe, e.labels, e.model)
            other = held if held is not None else extra
            if other is not None and len(other):
                run.val_skill = model_skill(self.model, other.sample(2000), e.labels, e.model)
        self.train, self.trace, self.other = train, trace, held if held is not None else extra
        if trace.stopped == "time":
            self.report.notes.append(
                f"the training was cut after {trace.steps} steps, "
                f"{len(trace.loss)} of {self.program.epochs} epochs"
            )

    def _observe(self, run, epoch, previous):
        """Adds a row of the layer statistics; returns the weights for the next one."""
        _, gradients, weights = self.watch.gradients()
        activations = self.watch.activations()
        values = {
            name: np.array(keras.ops.convert_to_numpy(v)) for name, v in self.watch.kernels.items()
        }
        run.time.append(epoch)
        run.gradient_norm_by_layer.append([gradients.get(name) for name in run.layers])
        run.weight_norm_by_layer.append([weights.get(name) for name in run.layers])
        moved = [None] * len(run.layers)
        if previous is not None:
            steps = max(1.0, (epoch - run.time[-2]) * (run.steps_per_epoch or 1))
            moved = [
                float(np.linalg.norm(values[n] - previous[n]) / steps / (weights[n] or 1.0))
                for n in run.layers
            ]
        run.update_ratio_by_layer.append(moved)

        def column(key):
            return [activations.get(name, {}).get(key) for name in run.layers]

        run.dead_share_by_layer.append(column("dead"))
        run.saturated_share_by_layer.append(column("saturated"))
        run.activation_std_by_layer.append(column("std"))
        return values

    def _trials(self):
        e, steps = self.evidence, min(self.trace.steps, TRIAL_STEPS)
        deadline = clock() + self.seconds
        trials = Trials(
            self.model,
            self.train,
            self.program,
            self.state,
            e.labels,
            e.model,
            held=self.other,
            deadline=deadline,
        )
        e.trials["base"] = trials.outcome(self.model, trials.probe, trials.held, self.trace)
        epochs = max(1, len(self.trace.loss))
        if self.trace.stopped == "nan":  # a variant is to show that it gets through the training
            epochs = self.program.epochs
            steps = min(epochs * (e.run.steps_per_epoch or 1), TRIAL_STEPS)
        for name, run in rules.wanted_trials(e, trials, epochs, steps):
            if trials.time_left() < 0.7 * self.base_seconds:
                self.report.notes.append(f"no time was left to try: {name}")
                continue
            outcome = run()
            if outcome is not None:
                e.trials[name] = outcome


def _with_earlier(passes):
    """Each pass needs what the earlier ones have read."""
    last = max((PASSES.index(name) for name in passes), default=0)
    return PASSES[: last + 1]


def _marks(epochs):
    points = np.unique(np.geomspace(1, max(epochs, 1), OBSERVATIONS).round().astype(int))
    return {int(p) for p in points}


def _first_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _fault(name, message, location, remedy=""):
    return Finding(
        name, "error", message, location=location, remedy=remedy, confidence=1.0, stage="structure"
    )
