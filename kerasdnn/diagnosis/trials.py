"""Trainings with one thing changed: what mends the training is its cause.

A trial starts from the same weights, takes the same number of steps and is measured on the same
rows as the training it is compared with.
"""

import math

from kerasdnn.diagnosis import edits
from kerasdnn.diagnosis.program import Rows
from kerasdnn.diagnosis.skill import model_skill
from kerasdnn.diagnosis.training import State, Trainer, clock, scale_rate

import keras
import numpy as np


class Trials:
    """Runs trials on one model, within seconds."""

    def __init__(self, model, rows, program, state, labels, facts, *, deadline):
        self.model, self.rows, self.program = model, rows, program
        self.state, self.labels, self.facts = state, labels, facts
        self.deadline = deadline
        self.probe = rows.sample(512, seed=2)

    def outcome(self, model, probe, trace):
        """Returns what a training reached: skill, loss of its last epoch, and how far it went."""
        skill = (
            None if trace.stopped == "nan" else model_skill(model, probe, self.labels, self.facts)
        )
        last = trace.step_loss[-max(1, len(trace.step_loss) // 10) :]
        return {
            "skill": skill,
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
        return self.outcome(self.model, self.probe, trace)

    def scaled(self, epochs, steps, *, x=False, y=False):
        """Trains on standardized inputs, targets or both."""
        self.state.restore()
        rows = Rows(
            _standardized(self.rows.x) if x else self.rows.x,
            _standardized(self.rows.y, columns=True) if y else self.rows.y,
            self.rows.weight,
            self.rows.batch_size,
        )
        trace = self._train(self.model, rows, epochs, steps)
        return self.outcome(self.model, rows.sample(512, seed=2), trace)

    def fresh_kernels(self, epochs, steps):
        """Trains from He's or Glorot's initial weights."""
        self.state.restore()
        generator = np.random.default_rng(0)
        for variable in self.model.trainable_variables:
            name = variable.path.split("/")[-1]
            if len(variable.shape) >= 2:
                from kerasdnn.diagnosis.structure import fans

                fan_in, fan_out = fans(variable.shape)
                limit = math.sqrt(6 / (fan_in + fan_out))
                variable.assign(generator.uniform(-limit, limit, variable.shape))
            elif name == "bias":
                variable.assign(np.zeros(variable.shape))
        trace = self._train(self.model, self.rows, epochs, steps)
        return self.outcome(self.model, self.probe, trace)

    def rebuilt(self, change, epochs, steps):
        """Trains a model that was rebuilt with a change, or returns None where it cannot be."""
        try:
            program = edits.apply(self.program, change)
            model = program.build()
        except (edits.CannotChangeError, ValueError, TypeError):
            return None
        rows = self.rows
        if change["kind"] == "fit" and change.get("batch_size"):
            rows = Rows(rows.x, rows.y, rows.weight, int(change["batch_size"]))
        trace = self._train(model, rows, epochs, steps, program)
        return self.outcome(model, self.probe, trace)

    def time_left(self):
        """Returns the seconds before the deadline."""
        return self.deadline - clock()


def _standardized(value, columns=False):
    def scale(array):
        array = np.asarray(array)
        if array.dtype.kind not in "biuf":
            return array
        if columns:
            mean, deviation = array.mean(axis=0), array.std(axis=0)
            deviation = np.where(deviation > 1e-12, deviation, 1.0)
        else:
            mean, deviation = edits.standardizer(array)
        return ((array - mean) / deviation).astype("float32")

    return keras.tree.map_structure(scale, value)


__all__ = ["State", "Trials"]
