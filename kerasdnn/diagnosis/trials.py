"""Trainings with one thing changed: what mends the training is its cause.

A trial starts from the same weights, takes the same number of steps and is measured on the same
rows as the training it is compared with.
"""

import dataclasses
import math

from kerasdnn.diagnosis import edits
from kerasdnn.diagnosis.skill import model_skill
from kerasdnn.diagnosis.structure import fans
from kerasdnn.diagnosis.training import Trainer, clock, scale_rate

import keras
import numpy as np

HELD_ROWS = 30  # held-out rows from which they have a say


class Trials:
    """Runs trials on one model, within seconds."""

    def __init__(self, model, rows, program, state, labels, facts, *, held, deadline):
        self.model, self.rows, self.program = model, rows, program
        self.state, self.labels, self.facts = state, labels, facts
        self.deadline = deadline
        self.probe = rows.sample(512, seed=2)
        self.held = held.sample(1000) if held is not None and len(held) >= HELD_ROWS else None

    def outcome(self, model, probe, held, trace):
        """Returns what a training reached: skill, loss at its end, and how far it went."""
        skill = val_skill = None
        if trace.stopped != "nan":
            skill = model_skill(model, probe, self.labels, self.facts)
            if held is not None:
                val_skill = model_skill(model, held, self.labels, self.facts)
        last = trace.step_loss[-max(1, len(trace.step_loss) // 10) :]
        return {
            "skill": skill,
            "val_skill": val_skill,
            "loss": float(np.mean(last)) if last else math.nan,
            "steps": trace.steps,
            "nan": trace.stopped == "nan",
        }

    def _train(self, model, rows, epochs, steps, program=None):
        trainer = Trainer(model, rows, program or self.program)
        return trainer.run(epochs, self.deadline, max_steps=steps)

    def rate(self, factor, epochs, steps):
        """Trains at another learning rate."""
        self.state.restore()
        if not scale_rate(self.model, factor):
            return self.rebuilt({"kind": "optimizer", "factor": factor}, epochs, steps)
        trace = self._train(self.model, self.rows, epochs, steps)
        return self.outcome(self.model, self.probe, self.held, trace)

    def unstopped(self, epochs):
        """Trains for as many epochs as planned, without the callbacks."""
        self.state.restore()
        program = self.program.replace(fit={"callbacks": None})
        trace = self._train(self.model, self.rows, epochs, None, program)
        return self.outcome(self.model, self.probe, self.held, trace)

    def scaled(self, epochs, steps, *, x=False, y=False):
        """Trains on standardized inputs, targets or both."""
        self.state.restore()
        rows, held = self.rows, self.held
        scaled_x = _scaling(rows.x) if x else _same
        scaled_y = _scaling(rows.y, columns=True) if y else _same
        rows = dataclasses.replace(rows, x=scaled_x(rows.x), y=scaled_y(rows.y))
        if held is not None:
            held = dataclasses.replace(held, x=scaled_x(held.x), y=scaled_y(held.y))
        trace = self._train(self.model, rows, epochs, steps)
        return self.outcome(self.model, rows.sample(512, seed=2), held, trace)

    def fresh_kernels(self, epochs, steps):
        """Trains from He's or Glorot's initial weights."""
        self.state.restore()
        generator = np.random.default_rng(0)
        for variable in self.model.trainable_variables:
            name = variable.path.split("/")[-1]
            if len(variable.shape) >= 2:
                fan_in, fan_out = fans(variable.shape)
                limit = math.sqrt(6 / (fan_in + fan_out))
                variable.assign(generator.uniform(-limit, limit, variable.shape))
            elif name == "bias":
                variable.assign(np.zeros(variable.shape))
        trace = self._train(self.model, self.rows, epochs, steps)
        return self.outcome(self.model, self.probe, self.held, trace)

    def rebuilt(self, change, epochs, steps):
        """Trains a model that was rebuilt with a change, or returns None where it cannot be."""
        try:
            program = edits.apply(self.program, change)
            model = program.build()
        except (edits.CannotChangeError, ValueError, TypeError):
            return None
        rows = self.rows
        if change["kind"] == "fit" and change.get("batch_size"):
            rows = dataclasses.replace(rows, batch_size=int(change["batch_size"]))
        trace = self._train(model, rows, epochs, steps, program)
        return self.outcome(model, self.probe, self.held, trace)

    def time_left(self):
        """Returns the seconds before the deadline."""
        return self.deadline - clock()


def _scaling(value, columns=False):
    """Returns the function that standardizes arrays as these ones ask for."""
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(value)]
    factors = []
    for leaf in leaves:
        if leaf.dtype.kind not in "biuf":
            factors.append(None)
        elif columns:
            deviation = leaf.std(axis=0)
            factors.append((leaf.mean(axis=0), np.where(deviation > 1e-12, deviation, 1.0)))
        else:
            factors.append(edits.standardizer(leaf))

    def scale(other):
        arrays = [
            array if pair is None else ((np.asarray(array) - pair[0]) / pair[1]).astype("float32")
            for array, pair in zip(keras.tree.flatten(other), factors, strict=True)
        ]
        return keras.tree.pack_sequence_as(other, arrays)

    return scale


def _same(value):
    return value
