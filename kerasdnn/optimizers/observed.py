"""An optimizer that measures gradients, weights and updates inside the compiled step."""

import keras
import numpy as np
from keras import ops

ROWS = ("gradient_norm", "weight_norm", "update_norm")
COUNTS = ("clipped", "non_finite")


@keras.saving.register_keras_serializable(package="kerasdnn")
class Observed(keras.optimizers.Optimizer):
    """Measures every step of the optimizer inside, and changes nothing.

    For each trainable variable `w` with gradient `g`, the L2 norms `|g|`, `|w|` before the step and
    `|w_after - w|`, whether the optimizer's clipping was at work, and whether `g` was finite. The
    numbers are optimizer variables, so they exist inside a compiled step of any backend.
    `callbacks.GradientMonitor` puts this optimizer in place by itself, at few steps.

    Under loss scaling the gradient is the unscaled one. With gradient accumulation it is the one of
    a micro-batch, and the update is zero but for the steps that move the weights. A checkpoint is
    the same with this optimizer and without. Under `tf.distribute` the gradient is one replica's.

    Args:
        inner_optimizer: `keras.optimizers.Optimizer` (also a `LossScaleOptimizer` or a
            `MultiOptimizer`), or its name.
        name: str.

    Raises:
        TypeError: the optimizer inside is not one of Keras.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.set_weights([np.array([[1.0], [1.0]])])
    >>> optimizer = Observed(keras.optimizers.SGD(0.1, clipnorm=1.0))
    >>> model.compile(optimizer, "mse")
    >>> history = model.fit(np.ones((4, 2)), np.zeros((4, 1)), verbose=0)
    >>> [round(float(optimizer.statistics()[name][0]), 3) for name in ROWS]
    [5.657, 1.414, 0.1]
    >>> float(optimizer.statistics()["clip_rate"][0])
    1.0
    """

    def __init__(self, inner_optimizer, *, name="observed"):
        super().__init__(learning_rate=0.0, name=name)
        if isinstance(inner_optimizer, str):
            inner_optimizer = keras.optimizers.get(inner_optimizer)
        if not isinstance(inner_optimizer, keras.optimizers.Optimizer):
            raise TypeError(
                "Observed expects a Keras optimizer or its name; received "
                f"{type(inner_optimizer).__name__}. Write Observed(keras.optimizers.Adam())."
            )
        self.inner_optimizer = inner_optimizer

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        n = len(variables)
        self.norms = self.add_variable((len(ROWS), n), dtype="float32", name="norms")
        self.counts = self.add_variable((len(COUNTS), n), dtype="float32", name="counts")
        super().build(variables)

    def statistics(self):
        """Returns what the last step and all steps so far were like.

        Returns:
            Dictionary with "path" and "size" of the N variables and arrays `(N,)`: "gradient_norm",
            "weight_norm", "update_norm" and "update_ratio" (update over weight) of the last step,
            "clip_rate" and "non_finite_rate", the shares of all observed steps; and "steps", their
            number.
        """
        norms, counts = (ops.convert_to_numpy(v) for v in (self.norms, self.counts))
        return self.named(norms, counts, int(ops.convert_to_numpy(self._iterations)))

    def named(self, norms, counts, steps):
        """Returns values of `self.norms` and `self.counts` as `statistics` does."""
        values = dict(zip(ROWS, np.array(norms)))
        with np.errstate(all="ignore"):  # of weights that are no numbers any more
            ratio = values["update_norm"] / np.maximum(values["weight_norm"], 1e-12)
        values["update_ratio"] = ratio
        rates = np.array(counts) / max(steps, 1)
        return {
            "path": [getattr(v, "path", v.name) for v in self._trainable_variables],
            "size": [int(np.prod(v.shape)) for v in self._trainable_variables],
            **values,
            **{name: rates[COUNTS.index(key)] for name, key in RATES.items()},
            "steps": steps,
        }

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        trainable_variables = list(trainable_variables)
        if not self.built:
            self.build(trainable_variables)
        # Torch changes weights in place, so what they were is copied.
        before = [ops.copy(ops.convert_to_tensor(v)) for v in trainable_variables]
        scale = self._loss_scale()
        self.inner_optimizer.apply(grads, trainable_variables)
        indices = [self._get_variable_index(v) for v in trainable_variables]
        after = [ops.convert_to_tensor(v) for v in trainable_variables]
        norms, counts = self._measure(grads, before, after, scale, indices)
        self.norms.assign(norms)
        self.counts.assign_add(counts)
        self._iterations.assign_add(1)

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        # The loss-scaling optimizer has a stateless form of its own, which must be the one called.
        if not self.built:
            raise ValueError(
                "Observed expects to be built before stateless_apply; it is not. Call "
                "optimizer.build(trainable_variables)."
            )
        split = len(self._variables)
        own, inner = optimizer_variables[:split], list(optimizer_variables[split:])
        known = list(zip(self.inner_optimizer.variables, inner))
        with keras.StatelessScope(state_mapping=known):
            scale = self._loss_scale()
            scale = None if scale is None else ops.convert_to_tensor(scale)
        after, inner = self.inner_optimizer.stateless_apply(inner, grads, trainable_variables)
        norms, counts = self._measure(
            grads, trainable_variables, after, scale, range(len(trainable_variables))
        )
        with keras.StatelessScope(state_mapping=list(zip(self._variables, own))) as scope:
            self.norms.assign(norms)
            self.counts.assign_add(counts)
            self._iterations.assign_add(1)
        return after, [scope.get_current_value(v) for v in self._variables] + list(inner)

    def _measure(self, grads, before, after, scale, indices):
        """Returns the new value of `norms` and what is to be added to `counts`."""
        given = [g is not None for g in grads]
        grads = [
            _float32(g) if g is not None else ops.zeros(b.shape, "float32")
            for g, b in zip(grads, before)
        ]
        if scale is not None:
            grads = [g / ops.cast(scale, "float32") for g in grads]
        gradient = ops.stack([_norm(g) for g in grads])
        weight = ops.stack([_norm(_float32(b)) for b in before])
        update = ops.stack([_norm(_float32(a) - _float32(b)) for a, b in zip(after, before)])
        clipped = ops.stack(self._clipped(grads, gradient, given, indices))
        broken = ops.cast(ops.logical_not(ops.isfinite(gradient)), "float32")
        norms, counts = ops.stack([gradient, weight, update]), ops.stack([clipped, broken])
        if list(indices) == list(range(len(self._trainable_variables))):
            return norms, counts
        # Only some of the variables took part: put each number in its column.
        place = np.zeros((len(grads), len(self._trainable_variables)), "float32")
        place[np.arange(len(grads)), list(indices)] = 1.0
        return ops.matmul(norms, place), ops.matmul(counts, place)

    def _clipped(self, grads, norms, given, indices):
        """Returns for each gradient 1.0 if the optimizer inside will clip it, else 0.0."""
        optimizers = [
            _stepping(self.inner_optimizer, self._trainable_variables[i]) for i in indices
        ]
        clipped = [ops.zeros((), "float32") for _ in grads]
        for number, optimizer in enumerate(optimizers):
            if not given[number] or optimizer is None:
                continue
            if optimizer.clipnorm:
                works = norms[number] > optimizer.clipnorm
            elif optimizer.global_clipnorm:
                together = [i for i, other in enumerate(optimizers) if other is optimizer]
                total = ops.sum(ops.stack([ops.square(norms[i]) for i in together]))
                works = ops.sqrt(total) > optimizer.global_clipnorm
            elif optimizer.clipvalue:
                works = ops.max(ops.abs(grads[number])) > optimizer.clipvalue
            else:
                continue
            clipped[number] = ops.cast(works, "float32")
        return clipped

    def _loss_scale(self):
        """Returns what the gradients that arrive here are multiplied with, or None."""
        optimizer = self.inner_optimizer
        while optimizer is not None:
            if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                return optimizer.dynamic_scale
            if optimizer.loss_scale_factor is not None:
                return optimizer.loss_scale_factor
            optimizer = getattr(optimizer, "inner_optimizer", None)
        return None

    @property
    def variables(self):
        return self._variables + self.inner_optimizer.variables

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    @property
    def loss_scale_factor(self):
        return getattr(getattr(self, "inner_optimizer", None), "loss_scale_factor", None)

    @loss_scale_factor.setter
    def loss_scale_factor(self, value):
        # The base class sets it to None before there is an optimizer inside.
        if hasattr(self, "inner_optimizer"):
            self.inner_optimizer.loss_scale_factor = value

    def scale_loss(self, loss):
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    # A checkpoint holds the optimizer inside only, so that it fits a model without this one.
    def save_own_variables(self, store):
        self.inner_optimizer.save_own_variables(store)

    def load_own_variables(self, store):
        self.inner_optimizer.load_own_variables(store)

    def get_config(self):
        return {
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        inner = keras.saving.deserialize_keras_object(
            config.pop("inner_optimizer"), custom_objects=custom_objects
        )
        return cls(inner, **config)


RATES = {"clip_rate": "clipped", "non_finite_rate": "non_finite"}


def by_layer(statistics, layers=None):
    """Returns what `Observed.statistics` says of variables, for layers.

    Norms are those of all variables of a layer together; rates are the largest of its variables.
    "update_ratio" is that of the layer's largest variable, its kernel, because a bias starts at 0.

    Args:
        statistics: dictionary as `Observed.statistics` returns it.
        layers: name of the layer of each variable. Default: its path without the last part.
    """
    if layers is None:
        layers = [path.rpartition("/")[0] or path for path in statistics["path"]]
    names = list(dict.fromkeys(layers))
    rows = [np.array([layer == name for layer in layers]) for name in names]
    result = {"layer": names, "steps": statistics["steps"]}
    for key in ROWS:
        wide = statistics[key].astype("float64")  # the square of a norm may be beyond float32
        result[key] = np.array([np.sqrt(np.sum(np.square(wide[row]))) for row in rows])
    for key in RATES:
        result[key] = np.array([np.max(statistics[key][row]) for row in rows])
    size = np.array(statistics["size"])
    largest = [np.flatnonzero(row)[np.argmax(size[row])] for row in rows]
    result["update_ratio"] = statistics["update_ratio"][largest]
    return result


def _stepping(optimizer, variable):
    """Returns the optimizer at the bottom of the wrappers that steps the variable, or None."""
    while optimizer is not None:
        if isinstance(optimizer, keras.optimizers.MultiOptimizer):
            key = optimizer._var_key(variable)
            within = (o for o in optimizer.optimizers if key in o._trainable_variables_indices)
            optimizer = next(within, None)
        elif getattr(optimizer, "inner_optimizer", None) is None:
            return optimizer
        else:
            optimizer = optimizer.inner_optimizer
    return None


def _float32(tensor):
    # An embedding's gradient on TensorFlow is a list of rows until it is made a tensor.
    return ops.cast(ops.convert_to_tensor(tensor), "float32")


def _norm(tensor):
    return ops.sqrt(ops.sum(ops.square(tensor)))
