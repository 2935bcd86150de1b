"""Magnitude pruning while a model trains."""

import warnings

from kerasdnn.pruning import masks as pruning

import keras
import numpy as np

_SCHEDULES = {
    # Zhu and Gupta: many weights early, when the network has most to spare.
    "polynomial": lambda t: 1.0 - (1.0 - t) ** 3,
    "constant": lambda t: 1.0,
}


class PruneToSparsity(keras.callbacks.Callback):
    """Sets the smallest weights to zero while the model trains, until a share of them is zero.

    With the default schedule the sparsity at time t of the pruning phase (0 to 1) is
    `target * (1 - (1 - t)^3)`. What is pruned stays zero: the optimizer is put inside an
    `optimizers.Masked`, which remains in the model, so that the zeros also survive saving,
    loading and further training. `pruning.strip` takes it away. A fit that goes on with a sparse
    model starts from its masks. The logs get `sparsity`.

    Args:
        target: float in (0, 1), the share of zeros among all prunable weights: the kernels of
            dense, convolution, attention and recurrent layers.
        schedule: "polynomial", "constant" (all at `begin`), or a function of t in [0, 1] that
            returns the share of `target` reached.
        scope: "global" prunes the smallest of all weights, "layer" the same share of each kernel,
            "global" usually being the more accurate.
        n_m: None, or a pair such as (2, 4): of each 4 neighbours along a kernel's inputs the 2
            largest stay, the pattern that sparse tensor cores run; `target` must be 1 - n/m. The
            pattern is chosen once, at `begin`.
        ignored: layers to leave whole, by name (all that is inside it, too), class or layer.
        begin: float in [0, 1], share of this fit after which pruning begins.
        end: float in [0, 1], share of this fit after which the target is reached; the rest of the
            training mends what pruning broke.
        updates: int, in how many steps the sparsity rises.
        criterion: "magnitude", or "random" for the control that chooses blindly.
        seed: int, of the random criterion.

    Raises:
        ValueError: an argument out of range, an ignored layer that the model does not have, or
            a model without prunable weights; the model is then unchanged.

    Example:
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> model.compile("adam", "mse")
    >>> prune = PruneToSparsity(0.75)
    >>> history = model.fit(np.ones((32, 8)), np.ones((32, 4)), callbacks=[prune], verbose=0)
    >>> kerasdnn.pruning.sparsity_report(model).sparsity
    0.75

    References:
        Han et al. (2015), Learning both Weights and Connections, arXiv:1506.02626
        Zhu, Gupta (2017), To prune, or not to prune, arXiv:1710.01878
        Mishra et al. (2021), Accelerating Sparse Deep Neural Networks, arXiv:2104.08378 (2:4)
    """

    def __init__(
        self,
        target,
        schedule="polynomial",
        *,
        scope="global",
        n_m=None,
        ignored=(),
        begin=0.0,
        end=0.6,
        updates=20,
        criterion="magnitude",
        seed=0,
    ):
        super().__init__()
        _expect(0 < target < 1, "target in (0, 1)", target, "0.9 leaves a tenth of the weights")
        known = callable(schedule) or schedule in _SCHEDULES
        _expect(known, 'schedule "polynomial", "constant" or a function', schedule, "see Args")
        _expect(scope in ("global", "layer"), 'scope "global" or "layer"', scope, "see Args")
        _expect(0 <= begin <= end <= 1, "0 <= begin <= end <= 1", (begin, end), "they are shares")
        _expect(updates >= 1, "updates of at least 1", updates, "20 is usual")
        known = criterion in ("magnitude", "random")
        _expect(known, 'criterion "magnitude" or "random"', criterion, "see Args")
        if n_m is not None:
            n, m = n_m
            _expect(0 < n < m, "n_m with 0 < n < m", n_m, "(2, 4) is what hardware runs")
            exact = abs(target - (1 - n / m)) < 1e-9
            _expect(exact, f"target {1 - n / m:g} for n_m={tuple(n_m)}", target, "pass it")
        self.target = float(target)
        self.schedule = schedule if callable(schedule) else _SCHEDULES[schedule]
        self.scope, self.n_m, self.ignored = scope, n_m, tuple(ignored)
        self.begin, self.updates = float(begin), int(updates)
        self.end = self.begin if schedule == "constant" else float(end)
        self.criterion, self.seed = criterion, seed
        self.items, self.done = [], 0

    def set_model(self, model):
        super().set_model(model)
        items = pruning.prunable_weights(model, self.ignored)
        if not items:
            raise ValueError(
                "PruneToSparsity expects a model with kernels to prune; received one without "
                f"({model.name}). Check ignored and which layers are trainable."
            )
        if self.n_m is not None:
            items = self._divisible(items)
        masks = pruning.current_masks(model, items)  # of an earlier pruning, to go on from
        self.optimizer = pruning.masked_optimizer(model, install=True)
        self.items = items
        self._apply(masks)

    def _divisible(self, items):
        """The kernels on which the pattern fits; names the others."""
        fits = [self._pattern(item, item.value()) is not None for item in items]
        left = [item.path for item, fit in zip(items, fits, strict=True) if not fit]
        if left:
            warnings.warn(
                f"PruneToSparsity leaves {', '.join(left)} whole: {self.n_m[1]} does not divide "
                "their inputs.",
                stacklevel=2,
            )
        return [item for item, fit in zip(items, fits, strict=True) if fit]

    def _pattern(self, item, value):
        axes = pruning.input_axes(item)
        return None if axes is None else pruning.n_m_mask(value, *self.n_m, axes=axes)

    def on_train_begin(self, logs=None):
        self.epoch, self.done = 0, 0
        self._advance(0.0)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        steps = self.params.get("steps")
        if steps:
            self._advance((self.epoch + (batch + 1) / steps) / self.params["epochs"])

    def on_epoch_end(self, epoch, logs=None):
        self._advance((epoch + 1) / self.params["epochs"])
        if logs is not None:
            logs["sparsity"] = self.sparsity()

    def sparsity(self):
        """Returns the share of pruned weights now."""
        total = sum(int(np.prod(item.variable.shape)) for item in self.items)
        return 1.0 - sum(int(m.sum()) for m in self.masks) / total

    def _advance(self, progress):
        """Prunes if the next of the `updates` is due at this share of the training."""
        if progress < self.begin:
            return
        phase = self.end - self.begin
        t = min((progress - self.begin) / phase, 1.0) if phase else 1.0
        step = self.updates if self.n_m else int(t * self.updates + 1e-9)
        if step <= self.done:
            return
        self.done = step
        if self.n_m:
            values = self._weights()
            self._apply([self._pattern(i, v) for i, v in zip(self.items, values, strict=True)])
            return
        share = 1.0 if step == self.updates else float(self.schedule(step / self.updates))
        sparsity = self.target * min(max(share, 0.0), 1.0)
        if sparsity > self.sparsity():
            self._apply(self._choose(sparsity))

    def _weights(self):
        _ = self.model  # on JAX this brings the weights of the last step into the model
        return [item.value() for item in self.items]

    def _choose(self, sparsity):
        weights = self._weights()
        options = {"scope": self.scope, "alive": self.masks}
        if self.criterion == "magnitude":
            return pruning.magnitude_masks(weights, sparsity, **options)
        # The same scores each time, so that what is pruned stays pruned.
        random = np.random.default_rng(self.seed)
        return pruning.lowest_masks([random.random(w.shape) for w in weights], sparsity, **options)

    def _apply(self, masks):
        self.masks = masks
        for item, mask in zip(self.items, masks, strict=True):
            self.optimizer.set_mask(item.variable, mask)


def _expect(condition, expected, received, remedy):
    if not condition:
        raise ValueError(
            f"PruneToSparsity expects {expected}; received {received!r}. {remedy[:1].upper()}"
            f"{remedy[1:]}."
        )
