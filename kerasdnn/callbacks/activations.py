"""Reads what each layer puts out on a fixed batch, outside of the training step."""

import contextlib
import functools
import random
import warnings

from kerasdnn import backend

import keras
import numpy as np

MOST_VALUES = 500_000  # of one layer that are looked at; a convolution has many a sample
# Activations with flat ends: where on the output the slope has gone.
FLAT = {
    "sigmoid": lambda a: (a < 0.01) | (a > 0.99),
    "hard_sigmoid": lambda a: (a <= 0.0) | (a >= 1.0),
    "tanh": lambda a: np.abs(a) > 0.99,
    "softsign": lambda a: np.abs(a) > 0.95,
}
CAN_DIE = ("relu", "relu6")
LAYERS = {"ReLU": "relu"}  # activation layers without an `activation`
RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)  # their gates are meant to saturate


class Activations:
    """The layers of a model worth looking at, and how to read them.

    Works for any model that can be called on a batch, also one made of a subclass's own layers.
    """

    def __init__(self, model):
        self.model = model
        self.layers = [layer for layer in leaves(model) if self._worth(layer)]

    @staticmethod
    def _worth(layer):
        if isinstance(layer, RECURRENT):
            return True
        kernel = any(len(v.shape) > 1 for v in layer.trainable_variables)
        return kernel or activation_of(layer) not in (None, "linear")

    def read(self, x, values=()):
        """Returns statistics by layer, and the output of the model.

        Nothing of the model changes: what the layers would write, seeds included, is dropped.

        Args:
            x: a batch of inputs.
            values: pairs of variable and value to use instead of what the variables hold.

        Returns:
            Dictionary from layer name to what `describe` says, and the output as arrays.
        """
        found = {}
        with (
            warnings.catch_warnings(),  # the training has given them already
            _random_states_kept(),
            keras.StatelessScope(state_mapping=list(values)),
        ):
            warnings.simplefilter("ignore")
            with _recorded(self.layers, found):
                x = keras.tree.map_structure(keras.ops.convert_to_tensor, x)
                output = self._call(x)
        output = keras.tree.map_structure(_array, output)
        last = self.layers[-1] if self.layers else None
        return {
            layer.name: describe(value, activation_of(layer), last=layer is last)
            for layer, value in found.items()
        }, output

    def _call(self, x):
        if self.model._call_has_training_arg:
            return self.model(x, training=False)
        return self.model(x)


def describe(value, activation, *, last=False):
    """Returns the statistics of a layer's output `(N, ..., C)` with a known activation.

    Returns:
        Dictionary: "std"; "dead", the share of units that no sample switches on (ReLU only);
        "saturated", the share of values at a flat end (sigmoid and the like, not of the last
        layer); None where it does not apply or the values are not finite.
    """
    value = value.reshape(len(value), -1, value.shape[-1]) if value.ndim > 1 else value[:, None]
    rows = max(1, MOST_VALUES // max(1, int(np.prod(value.shape[1:]))))
    value = value[:rows]
    facts = {"std": None, "dead": None, "saturated": None, "finite": bool(np.isfinite(value).all())}
    if not facts["finite"] or not value.size:
        return facts
    facts["std"] = float(value.std())
    if activation in CAN_DIE and not last:
        facts["dead"] = float((value.reshape(-1, value.shape[-1]).max(axis=0) <= 0).mean())
    if activation in FLAT and not last:
        facts["saturated"] = float(FLAT[activation](value).mean())
    return facts


def leaves(model):
    """Returns the layers of a model that are made of no other layers, in order, each once."""
    found, seen = [], set()
    _walk(model, found, seen)
    return found


def _walk(layer, found, seen):
    if isinstance(layer, keras.Model):
        children = layer.layers
    else:
        children = layer._flatten_layers(include_self=False, recursive=False)
    # The cell of a recurrent layer is called for each time step.
    if not children or isinstance(layer, RECURRENT):
        found.append(layer)
        return
    for child in children:
        if id(child) not in seen and not isinstance(child, keras.layers.InputLayer):
            seen.add(id(child))
            _walk(child, found, seen)


def activation_of(layer):
    """Returns the name of a layer's activation, or None."""
    if isinstance(layer, RECURRENT):
        return None
    function = getattr(layer, "activation", None)
    if function is None:
        return LAYERS.get(type(layer).__name__)
    return getattr(function, "__name__", None)


def _array(tensor):
    value = keras.ops.convert_to_numpy(tensor)
    return value if value.dtype.kind not in "fV" else value.astype("float32")


@contextlib.contextmanager
def _recorded(layers, found):
    """Keeps the output of each layer's first call."""

    def recorder(layer, call):
        @functools.wraps(call)
        def record(*args, **kwargs):
            output = call(*args, **kwargs)
            if layer not in found:
                first = keras.tree.flatten(output)[0]  # of a layer that returns its state too
                found[layer] = _array(first)
            return output

        return record

    before = {layer: vars(layer).get("call") for layer in layers}
    try:
        for layer in layers:
            object.__setattr__(layer, "call", recorder(layer, layer.call))
        yield
    finally:
        for layer, call in before.items():
            if call is None:
                object.__delattr__(layer, "call")
            else:
                object.__setattr__(layer, "call", call)


@contextlib.contextmanager
def _random_states_kept():
    """A layer of the user's may draw from a global generator."""
    module = backend.current()
    states = random.getstate(), np.random.get_state(), module.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        module.set_rng_state(states[2])
