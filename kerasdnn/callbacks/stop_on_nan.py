"""Stops a training whose loss or weights are no longer numbers, and says where it began."""

import sys

from kerasdnn import backend

import keras
import numpy as np

GROWN = 1e4  # times the largest weight at the beginning: such weights break any batch


class StopOnNaN(keras.callbacks.Callback):
    """Stops at the first NaN or infinity, names batch, layer and cause, and keeps good weights.

    `keras.callbacks.TerminateOnNaN` stops too, with weights that are NaN already. This one puts
    back the model and the optimizer as they last were with finite weights, at most `every` steps
    before, and looks through the batch with them: the inputs, the targets, the output of each
    layer, the loss, the gradient of each weight. The first of them that is not finite is named.

    Args:
        data: `kerasdnn.data.Ordered` or the like, to look the batch up in (give `shuffle=False` to
            `fit`); `exact_fit` gives its own. None names the batch by its number only. Defaults to
            None.
        every: int, after how many steps the weights are copied. Defaults to 50.
        say: function that is given the sentence. Defaults to the standard error stream.

    Attributes:
        report: None, or a dict with `epoch`, `batch` (both from 0), `cause` ("input", "target",
            "layer", "loss", "gradient" or "growth"), `where` and `sentence`.

    Example:
    >>> x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    >>> x[5, 1] = np.nan
    >>> data = kerasdnn.data.Ordered(x, y, batch_size=2, shuffle=False)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> stop = StopOnNaN(data, say=print)
    >>> _ = model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[stop])
    Stopped in epoch 1, batch 3: its inputs hold 1 value that is not finite, the first at (1, 1). \
The weights are those of 2 steps before.
    >>> bool(np.isfinite(model.get_weights()[0]).all())
    True
    """

    def __init__(self, data=None, *, every=50, say=None):
        super().__init__()
        if every < 1:
            raise ValueError(
                f"StopOnNaN expects every of 1 or more; received {every}. 50 is usual."
            )
        self.data, self.every = data, int(every)
        self.say = say or (lambda text: print(text, file=sys.stderr))
        self.report = None
        self._good, self._since, self._first_size = None, 0, 0.0

    def get_state(self):
        """Nothing to keep in a state of the training: the good weights are the state's own."""

    def set_state(self, state):
        """Nothing was kept."""

    def on_train_begin(self, logs=None):
        self.report, self._good, self._since = None, None, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self._good is None or self._since >= self.every:
            self._copy()

    def on_train_batch_end(self, batch, logs=None):
        self._since += 1
        loss = (logs or {}).get("loss", 0.0)
        if self.report is None and not np.isfinite(loss):
            self._stop(batch)

    def on_epoch_end(self, epoch, logs=None):
        # A step may break the weights without showing in its own loss, the last one of all.
        if self.report is None and not _finite(self._variables()):
            self._stop(None)

    def _variables(self):
        """The variables of model and optimizer; on JAX this waits for the last step."""
        model = self.model
        return [*model.variables, *(model.optimizer.variables if model.optimizer.built else ())]

    def _copy(self):
        variables = self._variables()
        if self._good is None:
            self._first_size = _largest(self.model)[0]
        if _finite(variables):  # else the loss of this step will show it
            self._good = [(v, np.array(keras.ops.convert_to_numpy(v))) for v in variables]
            self._since = 0

    def _stop(self, batch):
        model = self.model  # on JAX this fetches the state of the step, so it comes first
        for variable, value in self._good or ():
            variable.assign(value)
        cause, where, words = self._cause(batch)
        place = f"epoch {self.epoch + 1}" + ("" if batch is None else f", batch {batch + 1}")
        sentence = f"Stopped in {place}: {words}"
        if self._good is not None:
            before = self._since if batch is None else self._since - 1
            steps = f"{before} step{'' if before == 1 else 's'} before"
            sentence += f" The weights are those of {steps if before else 'the step before'}."
        self.report = {
            "epoch": self.epoch,
            "batch": batch,
            "cause": cause,
            "where": where,
            "sentence": sentence,
        }
        model.stop_training = True
        self.say(sentence)

    def _cause(self, batch):
        """Looks for the first thing that is not finite with the good weights."""
        size, path = _largest(self.model)
        words = f"the weights grew until they were not finite, those of {path} most. Lower the "
        growth = "growth", path, f"{words}learning rate, or clip the gradients."
        if self.data is None or batch is None or size > GROWN * max(1.0, self._first_size):
            return growth
        for index in (batch, batch - 1):  # a broken gradient shows in the next loss
            if index < 0:
                break
            found = _look(self.model, self.data[index])
            if found:
                return found
        return growth


def _look(model, batch):
    """Returns what in a batch is not finite, where, and the words for it; or None."""
    x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
    for cause, name, value in (("input", "inputs", x), ("target", "targets", y)):
        for array in keras.tree.flatten(value):
            array = np.asarray(array if array is not None else 0.0)
            bad = ~np.isfinite(array) if array.dtype.kind == "f" else np.zeros(1, "bool")
            if bad.any():
                first = tuple(int(i) for i in np.argwhere(bad)[0])
                many = "1 value that is" if bad.sum() == 1 else f"{bad.sum()} values that are"
                return cause, first, f"its {name} hold {many} not finite, the first at {first}."
    for name, output in _outputs(model, x):
        if not np.isfinite(output).all():
            words = f"the output of the layer {name} is not finite, though its inputs are."
            return "layer", name, words
    loss, gradients = backend.current().loss_gradients(model, x, y, weight)
    if not np.isfinite(loss):
        words = "the loss is not finite, though the model's outputs are. Look for a logarithm of 0."
        return "loss", "loss", words
    for variable, gradient in zip(model.trainable_variables, gradients):
        if not np.isfinite(gradient).all():
            words = f"the gradient of {variable.path} is not finite, though the loss is."
            return "gradient", variable.path, words
    return None


def _outputs(model, x):
    """Returns name and output of each layer, first layer first; nothing for subclassed models."""
    if not isinstance(model, keras.Sequential) and type(model).__name__ != "Functional":
        return
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    given = keras.tree.flatten(x)
    one = len(model.inputs) == 1  # which Keras wants without a list around it
    probe = keras.Model(
        model.inputs[0] if one else model.inputs, [layer.output for layer in layers]
    )
    outputs = probe(given[0] if one else given, training=False)
    for layer, output in zip(layers, outputs):
        for part in keras.tree.flatten(output):
            yield layer.name, np.asarray(keras.ops.convert_to_numpy(part), "float32")


def _finite(variables):
    arrays = (np.asarray(keras.ops.convert_to_numpy(v)) for v in variables)
    return all(np.isfinite(a.astype("float32")).all() for a in arrays)


def _largest(model):
    """Returns the largest absolute weight and the path of its variable."""
    weights = [(keras.ops.convert_to_numpy(v), v.path) for v in model.trainable_variables]
    return max((float(np.abs(value).max()), path) for value, path in weights)
