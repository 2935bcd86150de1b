"""The moving average of all weights, batch-norm statistics included."""

import keras
import numpy as np
from keras import ops


class ModelEMA(keras.callbacks.Callback):
    """Averages the weights over the training, and leaves the average in the model at the end.

    `average <- d * average + (1 - d) * weight` after each step, with `d = min(decay, (1 + t) /
    (10 + t))` after t steps, so that the random first weights are soon forgotten. All weights of
    floats are averaged, also the moving statistics of batch normalization, which Keras' own
    `use_ema` leaves as they are: statistics of other weights than those they are used with.
    Averages are float32. Training itself is not changed, not by a bit.

    Validation inside `fit` sees the averages; a `ModelCheckpoint` there still saves the weights of
    the training. Save after `fit`, or inside `swap`.

    Args:
        decay: float in (0, 1). The average spans about `1 / (1 - decay)` steps. Default 0.999.
        every: int, average at each such step only, with `decay ** every`; cheaper. Default 1.
        warmup: bool, whether the decay rises as above. Default True.
        validate: bool, whether validation in `fit` uses the averages. Default True.
        keep: "average" or "weights", what the model holds after `fit`. Default "average". With
            "weights" use `averages` or `swap`.

    Attributes:
        averages: list of arrays in the order of `model.weights`; what is not averaged, as it is.

    Raises:
        ValueError: an argument out of range, or a model that is not built yet.

    Example:
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> ema = ModelEMA(0.9, keep="weights")
    >>> history = model.fit(np.ones((64, 2)), np.ones((64, 1)), callbacks=[ema], verbose=0)
    >>> bool(np.any(ema.averages[0] != model.get_weights()[0]))
    True
    >>> with ema.swap():    # the model with its averages
    ...     loss = model.evaluate(np.ones((8, 2)), np.ones((8, 1)), verbose=0)

    References:
        Polyak and Juditsky (1992), Acceleration of Stochastic Approximation by Averaging
        Tarvainen and Valpola (2017), Mean Teachers Are Better Role Models, arXiv:1703.01780
    """

    def __init__(self, decay=0.999, *, every=1, warmup=True, validate=True, keep="average"):
        super().__init__()
        if not 0 < decay < 1:
            raise ValueError(
                f"ModelEMA expects decay in (0, 1); received {decay}. Usual are 0.99 to 0.9999."
            )
        if int(every) != every or every < 1:
            raise ValueError(
                f"ModelEMA expects every as a whole number of steps; received {every}. "
                "1 averages at each step."
            )
        if keep not in ("average", "weights"):
            raise ValueError(
                f"ModelEMA expects keep='average' or 'weights'; received {keep!r}. "
                "Choose what the model holds after fit."
            )
        self.decay, self.every = float(decay), int(every)
        self.warmup, self.validate, self.keep = bool(warmup), bool(validate), keep
        self._averages, self._variables, self._kept = None, [], None
        self._steps, self._training = 0, False

    def on_train_begin(self, logs=None):
        if not self.model.built:
            raise ValueError(
                f"ModelEMA expects a built model; '{self.model.name}' has no weights yet. "
                "Call it on one batch first."
            )
        self._variables = [v for v in self.model.weights if _is_float(v)]
        # float32 copies: an average that moves by a thousandth would stand still in half precision.
        self._averages = [_copy(v) for v in self._variables]
        self._steps, self._training = 0, True

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        if self._steps % self.every:
            return
        _ = self.model  # on JAX this brings the weights of the last step into the model
        # Before t steps were averaged, an average of that span would still hold the first weights.
        rising = (1 + self._steps) / (10 + self._steps) if self.warmup else 1.0
        decay = min(self.decay, rising) ** self.every
        self._averages = [
            average + (1 - decay) * (_float32(variable) - average)
            for average, variable in zip(self._averages, self._variables, strict=True)
        ]

    def on_test_begin(self, logs=None):
        if self.validate and self._averages is not None and self._training:
            self._put_averages()

    def on_test_end(self, logs=None):
        self._put_back()

    def on_train_end(self, logs=None):
        self._training = False
        self._put_back()
        if self.keep == "average":
            self._put_averages()
            self._kept = None

    @property
    def averages(self):
        if self._averages is None:
            raise ValueError("ModelEMA has no averages before a training. Pass it to fit first.")
        values = {id(v): a for v, a in zip(self._variables, self._averages, strict=True)}
        return [np.array(ops.convert_to_numpy(values.get(id(v), v))) for v in self.model.weights]

    def get_state(self):
        """Returns what `ExactResume` keeps of the averages."""
        averages = [np.array(ops.convert_to_numpy(a)) for a in self._averages or ()]
        return {"averages": averages, "steps": self._steps}

    def set_state(self, state):
        """Takes back what `get_state` returned."""
        self._averages = [ops.convert_to_tensor(a) for a in state["averages"]]
        self._steps = state["steps"]

    def swap(self):
        """Returns a context in which the model holds the averages; then it has its weights back."""
        if self._averages is None:
            raise ValueError("ModelEMA has no averages before a training. Pass it to fit first.")
        return _Swapped(self)

    def _put_averages(self):
        _ = self.model
        # Copies, not sums and differences: what comes back is what was, to the bit.
        self._kept = [np.array(ops.convert_to_numpy(v)) for v in self._variables]
        for variable, average in zip(self._variables, self._averages, strict=True):
            variable.assign(ops.copy(average))  # on JAX the next step gives its buffers away

    def _put_back(self):
        if self._kept is not None:
            for variable, value in zip(self._variables, self._kept, strict=True):
                variable.assign(value)
            self._kept = None


class _Swapped:
    def __init__(self, ema):
        self.ema = ema

    def __enter__(self):
        self.ema._put_averages()

    def __exit__(self, *exception):
        self.ema._put_back()


def _is_float(variable):
    return "float" in keras.backend.standardize_dtype(variable.dtype)


def _float32(variable):
    return ops.stop_gradient(ops.cast(ops.convert_to_tensor(variable), "float32"))


def _copy(variable):
    return ops.convert_to_tensor(np.array(ops.convert_to_numpy(variable), "float32"))
