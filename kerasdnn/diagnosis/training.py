"""Trains a copy of a program's model, step by step, and puts everything back afterwards."""

import contextlib
import copy
import dataclasses
import math
import random
import time
import warnings

from kerasdnn import backend

import keras
import numpy as np

# Budgets are in seconds of this process, so that a busy machine does not change a diagnosis.
clock = time.process_time

VALIDATIONS = 50  # of a long training
ONE_BATCH = 2048  # validation rows that are measured at once

# Callbacks that steer the training and write nothing.
STEERING = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.TerminateOnNaN,
)


@contextlib.contextmanager
def caller_untouched():
    """Puts back random states and the dtype policy of the caller when the block ends."""
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    own, policy = backend.current().get_rng_state(), keras.config.dtype_policy()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)  # noqa: NPY002
        backend.current().set_rng_state(own)
        keras.config.set_dtype_policy(policy)


def every_variable(model):
    """Returns the variables of a model and of its optimizer, each once."""
    found = {id(v): v for v in model.variables}
    for metric in getattr(model, "metrics", []):
        found.update((id(v), v) for v in metric.variables)
    if model.optimizer is not None:
        found.update((id(v), v) for v in model.optimizer.variables)
    return list(found.values())


@dataclasses.dataclass
class State:
    """Values of all variables of a model at one moment."""

    variables: list
    values: list
    trainable: list

    @classmethod
    def of(cls, model):
        """Takes the state of a built model."""
        variables = every_variable(model)
        values = [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]
        return cls(variables, values, [])

    def restore(self):
        """Puts the values back."""
        for variable, value in zip(self.variables, self.values, strict=True):
            variable.assign(value)


@dataclasses.dataclass
class Trace:
    """What a training left: losses by step and epoch, metrics, and why it stopped."""

    loss: list = dataclasses.field(default_factory=list)
    val_loss: list = dataclasses.field(default_factory=list)
    metrics: dict = dataclasses.field(default_factory=dict)
    rate: list = dataclasses.field(default_factory=list)
    step_loss: list = dataclasses.field(default_factory=list)
    steps: int = 0
    nan_step: int | None = None
    nan_index: object = None
    stopped: str = ""
    seconds: float = 0.0


class Trainer:
    """Runs epochs of `train_on_batch` on arrays: the order of rows is its own, no global state."""

    def __init__(self, model, rows, program, *, validation=None, seed=0):
        self.model, self.rows, self.validation = model, rows, validation
        self.batch_size = max(1, int(rows.batch_size))
        self.shuffle = bool(program.option("shuffle"))
        self.class_weight = program.fit.get("class_weight")
        self.steps_per_epoch = program.fit.get("steps_per_epoch")
        self.order = np.random.default_rng(seed)
        self.trace = Trace()
        given = program.fit.get("callbacks") or []
        kept = [copy.copy(c) for c in keras.tree.flatten(given) if isinstance(c, STEERING)]
        self.callbacks = keras.callbacks.CallbackList(
            kept, add_history=False, add_progbar=False, model=model
        )
        self.steered = bool(kept)
        self.validate_every = max(1, program.epochs // VALIDATIONS)
        model.stop_training = False
        self.callbacks.on_train_begin()

    def steps(self):
        """Returns the number of steps of an epoch."""
        whole = math.ceil(len(self.rows) / self.batch_size)
        return min(whole, self.steps_per_epoch) if self.steps_per_epoch else whole

    def run(self, epochs, deadline, *, at_epoch=None, max_steps=None):
        """Trains until `epochs`, the deadline (of `clock`) or a loss that is not a number.

        Args:
            epochs: passes over the rows.
            deadline: moment to stop at, between two steps.
            at_epoch: function of the number of finished epochs, called after each.
            max_steps: stop after so many steps.

        Returns:
            The `Trace`, which grows with further calls.
        """
        began = clock()
        for _ in range(epochs):
            if self._epoch(deadline, max_steps) and at_epoch is not None:
                at_epoch(len(self.trace.loss))
            if self.trace.stopped:
                break
            if self.model.stop_training:
                self.trace.stopped = "callback"
                break
        self.trace.seconds += clock() - began
        return self.trace

    def _epoch(self, deadline, max_steps):
        """Trains one epoch; returns whether any step of it was done."""
        trace, count = self.trace, len(self.rows)
        index = self.order.permutation(count) if self.shuffle else np.arange(count)
        epoch = len(trace.loss)
        self.callbacks.on_epoch_begin(epoch)
        self.model.reset_metrics()
        seen, total, logs = 0, 0.0, {}
        for step in range(self.steps()):
            chosen = index[step * self.batch_size : (step + 1) * self.batch_size]
            logs = self._step(self.rows.take(chosen))
            # The metric is the mean so far; the step's own loss is what it added.
            mean = float(logs.get("loss", math.nan))
            seen += len(chosen)
            trace.step_loss.append((mean * seen - total) / len(chosen))
            total, trace.steps = mean * seen, trace.steps + 1
            if not math.isfinite(mean):
                trace.nan_step, trace.nan_index, trace.stopped = trace.steps, chosen, "nan"
                break
            if clock() > deadline or (max_steps and trace.steps >= max_steps):
                trace.stopped = "time" if step + 1 < self.steps() or not max_steps else "steps"
                break
        if not seen:
            return False
        logs = {name: float(value) for name, value in logs.items()}
        trace.loss.append(logs.pop("loss", math.nan))
        if trace.stopped != "nan":
            logs.update(self._validate(epoch))
        for name, value in logs.items():
            if name == "val_loss":
                trace.val_loss.append(value)
            else:
                trace.metrics.setdefault(name, []).append(value)
        trace.rate.append(current_rate(self.model))
        self.callbacks.on_epoch_end(epoch, {"loss": trace.loss[-1], **logs})
        if clock() > deadline and not trace.stopped:
            trace.stopped = "time"
        return True

    def _step(self, batch):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.model.train_on_batch(
                batch.x,
                batch.y,
                sample_weight=batch.weight,
                class_weight=self.class_weight,
                return_dict=True,
            )

    def _validate(self, epoch):
        """Measures the validation rows, in a long training without callbacks not every time."""
        held = self.validation
        if held is None or not len(held) or (epoch % self.validate_every and not self.steered):
            return {}
        self.model.reset_metrics()
        if len(held) <= ONE_BATCH:
            logs = self.model.test_on_batch(held.x, held.y, return_dict=True)
        else:
            size = max(self.batch_size, 256)
            logs = self.model.evaluate(held.x, held.y, batch_size=size, verbose=0, return_dict=True)
        self.model.reset_metrics()
        return {f"val_{name}": float(value) for name, value in logs.items()}


def current_rate(model):
    """Returns the learning rate of the next step, or None."""
    rate = getattr(model.optimizer, "learning_rate", None)
    if rate is None:
        return None
    return float(keras.ops.convert_to_numpy(rate))


def scale_rate(model, factor):
    """Multiplies the learning rate; returns False where a schedule or wrapper hides it."""
    optimizer = model.optimizer
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    schedule = getattr(optimizer, "_learning_rate", None)
    if schedule is None or isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return False
    optimizer.learning_rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate)) * factor
    return True
