"""The learning-rate range test: one short sweep instead of many trainings."""

from dataclasses import dataclass
from typing import Any

from kerasdnn.callbacks.snapshot import Snapshot
from kerasdnn.callbacks.suggest_rate import RULES
from kerasdnn.optimizers.wrapper import leaf_optimizers

import keras
import numpy as np

SKIPPED_FIRST, SKIPPED_LAST = 0.1, 5  # share of the points, and points, that no rule looks at
FEWEST = 10  # points that a suggestion needs


@dataclass(frozen=True, eq=False)
class LRFindResult:
    """What a sweep found.

    Args:
        suggestion: float, the learning rate of the first rule.
        suggestions: dict from the name of each rule to its learning rate.
        rates: array of the learning rates that were tried, rising.
        losses: array of the smoothed losses at them.
        raw_losses: array of the losses of the single batches.
        diverged: bool, whether the sweep ended because the loss exploded.
    """

    suggestion: float
    suggestions: dict
    rates: Any
    losses: Any
    raw_losses: Any
    diverged: bool

    def plot(self, path):
        """Draws the loss over the learning rate, with the suggestions, into an image file."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axis = pyplot.subplots(figsize=(6, 4), layout="constrained")
        axis.plot(self.rates, self.raw_losses, color="0.8", linewidth=1, label="one batch")
        axis.plot(self.rates, self.losses, color="tab:blue", label="smoothed")
        for i, (rule, rate) in enumerate(self.suggestions.items()):
            loss = np.interp(np.log(rate), np.log(self.rates), self.losses)
            axis.plot(rate, loss, "o", color=f"C{i + 1}", label=f"{rule} {rate:.1e}")
        low, high = np.min(self.losses), np.max(self.losses)
        axis.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
        axis.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axis.legend()
        figure.savefig(path, dpi=150)
        pyplot.close(figure)


@keras.saving.register_keras_serializable(package="kerasdnn")
class _Sweep(keras.optimizers.schedules.LearningRateSchedule):
    """`start * growth ** (step - offset)`, in place of a schedule during the sweep."""

    def __init__(self, start, growth, offset):
        self.start, self.growth, self.offset = start, growth, offset

    def __call__(self, step):
        passed = keras.ops.cast(step, "float32") - float(self.offset)
        return self.start * keras.ops.exp(passed * float(np.log(self.growth)))

    def get_config(self):
        return {"start": self.start, "growth": self.growth, "offset": self.offset}


class LRFinder(keras.callbacks.Callback):
    """Raises the learning rate from batch to batch, watches the loss, and puts everything back.

    The rate of batch i is `start * (end / start) ** (i / (steps - 1))`; the loss is smoothed with
    an exponential average. The sweep ends after `steps` batches, or when the loss is not finite or
    above `divergence` times its lowest. It then stops `fit`, and weights, statistics, random seeds,
    optimizer, learning rates and iteration counts are what they were, to the bit. `lr_find` does
    all of it in one call.

    With several optimizers (`MultiOptimizer`) all rates rise together and keep their ratios; the
    rates told are those of the largest. Learning-rate schedules are set aside during the sweep.

    The rules are known by the names that fastai gave them: "valley", the middle of the longest
    fall; "slide", before the loss bends up; "minimum", a tenth of the rate of the lowest loss;
    "steep", where it falls most steeply.

    Args:
        start: float above 0, the first learning rate.
        end: float above `start`, the last one.
        steps: int, number of batches; at least 20.
        divergence: float above 1.
        smoothing: float in [0, 1), the weight of the past in the average.
        rules: names of the rules; the first one makes `suggestion`.

    Attributes:
        result: `LRFindResult` after training, None before.

    Raises:
        ValueError: an argument out of range, a model that is not built yet, or a sweep too short
            to suggest anything, because the loss was not finite from the start.

    Example:
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> finder = LRFinder(steps=40)
    >>> x = np.random.default_rng(0).normal(size=(320, 4))
    >>> history = model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[finder])
    >>> 1e-6 < finder.result.suggestion < 1
    True

    References:
        Smith (2015), Cyclical Learning Rates for Training Neural Networks, arXiv:1506.01186
    """

    def __init__(
        self,
        start=1e-7,
        end=10.0,
        *,
        steps=100,
        divergence=4.0,
        smoothing=0.98,
        rules=("valley", "slide", "minimum", "steep"),
    ):
        super().__init__()
        rules = (rules,) if isinstance(rules, str) else tuple(rules)
        _require(0 < start < end, "0 < start < end", f"start={start}, end={end}")
        _require(int(steps) == steps and steps >= 20, "at least 20 steps", f"steps={steps}")
        _require(divergence > 1, "divergence above 1", divergence)
        _require(0 <= smoothing < 1, "smoothing in [0, 1)", smoothing)
        known = rules and set(rules) <= set(RULES)
        _require(known, f"rules from {', '.join(RULES)}", rules)
        self.start, self.end, self.steps = float(start), float(end), int(steps)
        self.divergence, self.smoothing, self.rules = divergence, smoothing, rules
        self.result = None
        self._snapshot = None

    def on_train_begin(self, logs=None):
        self._snapshot = Snapshot(self.model)  # builds the optimizer, too
        self._optimizers = [
            _Rate(leaf, self.start, self.end, self.steps)
            for leaf in leaf_optimizers(self.model.optimizer)
        ]
        largest = max(rate.base for rate in self._optimizers)
        for rate in self._optimizers:
            rate.begin(rate.base / largest if largest > 0 else 1.0)
        self._first = max(self._optimizers, key=lambda rate: rate.base)
        if any(rate.is_schedule for rate in self._optimizers):
            self.model.make_train_function(force=True)
        self._rates, self._losses, self._smoothed = [], [], []
        self._average, self._diverged = 0.0, False

    def on_train_batch_begin(self, batch, logs=None):
        model = self.model  # on JAX this brings the state of the last step into the model
        for rate in self._optimizers:
            rate.set(len(self._rates))
        self._rates.append(self._first.value())
        model.reset_metrics()  # so that the loss told is that of this batch

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        self._losses.append(loss)
        self._average = self.smoothing * self._average + (1 - self.smoothing) * loss
        self._smoothed.append(self._average / (1 - self.smoothing ** len(self._losses)))
        lowest = np.min(self._smoothed)  # below zero for losses such as a log-likelihood
        limit = lowest + (self.divergence - 1) * abs(lowest)
        self._diverged = not np.isfinite(loss) or self._smoothed[-1] > limit
        if self._diverged or len(self._losses) == self.steps:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.restore()
        finite = int(np.sum(np.isfinite(self._losses)))  # only the last one may not be
        rates, losses = np.array(self._rates[:finite]), np.array(self._smoothed[:finite])
        skipped = int(SKIPPED_FIRST * self.steps)
        looked_at = slice(skipped, max(finite - SKIPPED_LAST, 0))
        if len(rates[looked_at]) < FEWEST:
            raise ValueError(
                f"LRFinder expects {skipped + FEWEST + SKIPPED_LAST} batches before the loss "
                f"explodes; received {finite}. Give more data or epochs, or lower start "
                f"({self.start:g})."
            )
        suggestions = {
            rule: float(RULES[rule](rates[looked_at], losses[looked_at])) for rule in self.rules
        }
        self.result = LRFindResult(
            suggestion=suggestions[self.rules[0]],
            suggestions=suggestions,
            rates=rates,
            losses=losses,
            raw_losses=np.array(self._losses[:finite]),
            diverged=bool(self._diverged),
        )

    def restore(self):
        """Puts the model back as it was when the sweep began; for a sweep that was interrupted."""
        if self._snapshot is None:
            return
        schedules = [rate for rate in self._optimizers if rate.is_schedule]
        for rate in schedules:
            rate.end()
        self._snapshot.restore(self.model)
        self._snapshot = None
        if schedules:
            self.model.train_function = None  # it was made with the sweep inside


def lr_find(
    model,
    x,
    y=None,
    *,
    sample_weight=None,
    batch_size=32,
    seed=0,
    start=1e-7,
    end=10.0,
    steps=100,
    divergence=4.0,
    smoothing=0.98,
    rules=("valley", "slide", "minimum", "steep"),
):
    """Finds a learning rate for a compiled model in one short sweep; the model stays as it was.

    Draws `steps` batches in an order of its own, so that not even the global random generators
    notice. See `LRFinder` for the sweep and the rules.

    Args:
        model: a compiled and built `keras.Model`.
        x: array or nested arrays, the inputs.
        y: array or nested arrays, the targets, or None.
        sample_weight: array, or None.
        batch_size: int, the one to train with: the best rate depends on it.
        seed: int, of the order of the batches.
        start: as in `LRFinder`.
        end: as in `LRFinder`.
        steps: as in `LRFinder`.
        divergence: as in `LRFinder`.
        smoothing: as in `LRFinder`.
        rules: as in `LRFinder`.

    Returns:
        LRFindResult: `.suggestion`, `.suggestions`, `.rates`, `.losses`, `.plot(path)`.

    Raises:
        ValueError: as in `LRFinder`.

    Example:
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> x = np.random.default_rng(0).normal(size=(64, 4))
    >>> found = lr_find(model, x, x[:, :1], batch_size=8)
    >>> sorted(found.suggestions)
    ['minimum', 'slide', 'steep', 'valley']

    References:
        Smith (2015), Cyclical Learning Rates for Training Neural Networks, arXiv:1506.01186
    """
    finder = LRFinder(
        start, end, steps=steps, divergence=divergence, smoothing=smoothing, rules=rules
    )
    parts = (x,) if y is None else (x, y) if sample_weight is None else (x, y, sample_weight)
    history = getattr(model, "history", None)
    try:
        batches = _Batches(parts, batch_size, steps, seed)
        model.fit(batches, shuffle=False, verbose=0, callbacks=[finder])
    finally:
        finder.restore()
        model.history = history
        model.stop_training = False
    return finder.result


class _Batches(keras.utils.PyDataset):
    """`steps` batches, pass after pass over the samples, each in an order of the seed alone."""

    def __init__(self, parts, batch_size, steps, seed):
        super().__init__()
        self.parts = keras.tree.map_structure(np.asarray, parts)
        samples = len(keras.tree.flatten(self.parts)[0])
        random, order = np.random.default_rng(seed), []
        while len(order) < steps * batch_size:
            order.extend(random.permutation(samples))
        self.order, self.batch_size, self.steps = np.array(order), batch_size, steps

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return keras.tree.map_structure(lambda array: array[rows], self.parts)


class _Rate:
    """The learning rate of one optimizer, whether a variable or a schedule."""

    def __init__(self, optimizer, start, end, steps):
        self.optimizer, self.start = optimizer, start
        self.growth = (end / start) ** (1 / (steps - 1))
        self.base = self.value()
        self.is_schedule = not isinstance(optimizer.learning_rate, keras.Variable)
        self.schedule = optimizer._learning_rate if self.is_schedule else None

    def value(self):
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))

    def begin(self, ratio):
        self.start *= ratio
        if self.is_schedule:
            micro = self.optimizer.gradient_accumulation_steps or 1
            offset = int(keras.ops.convert_to_numpy(self.optimizer.iterations)) * micro
            self.optimizer.learning_rate = _Sweep(self.start, self.growth, offset)

    def set(self, index):
        # A schedule counts the optimizer's own steps: one skipped by loss scaling counts not.
        if not self.is_schedule:
            self.optimizer.learning_rate = self.start * self.growth**index

    def end(self):
        self.optimizer.learning_rate = self.schedule


def _require(condition, expected, received):
    if not condition:
        raise ValueError(
            f"LRFinder expects {expected}; received {received}. The defaults suit most models."
        )
