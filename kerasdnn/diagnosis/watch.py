"""Reads activations and gradients by layer on a fixed batch, outside of the training step."""

from kerasdnn import backend
from kerasdnn.diagnosis.structure import (
    NORMALIZATIONS,
    activation_of_layer,
    flat_layers,
    main_kernel,
)

import keras
import numpy as np

NEAR_ZERO_SLOPE = {
    # activation: function of the output that tells where its slope has gone
    "sigmoid": lambda a: (a < 0.01) | (a > 0.99),
    "hard_sigmoid": lambda a: (a <= 0.0) | (a >= 1.0),
    "tanh": lambda a: np.abs(a) > 0.99,
    "softsign": lambda a: np.abs(a) > 0.95,
}
ZERO_BELOW = ("relu", "relu6")  # activations that can die


class Watch:
    """The layers of a model that are looked at, and a batch to look at them with."""

    def __init__(self, model, rows, count=256):
        self.model, self.rows = model, rows.sample(count)
        self.layers = [layer for layer in model.layers if self._worth(layer)]
        self.kernels = kernels(model)
        self.features = None
        if getattr(model, "outputs", None) and self.layers:
            try:
                outputs = [layer.output for layer in self.layers]
                self.features = keras.Model(model.inputs, outputs)
            except (AttributeError, ValueError):  # a layer called twice has no one output
                self.features = None

    @staticmethod
    def _worth(layer):
        activation = activation_of_layer(layer)
        return main_kernel(layer) is not None or activation not in (None, "linear")

    def activations(self):
        """Returns a dictionary from layer to std, row_std, dead and saturated share."""
        if self.features is None:
            return {}
        outputs = self.features(self._inputs(), training=False)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        last = self.model.layers[-1].name
        found, owner = {}, None
        for layer, output in zip(self.layers, outputs, strict=True):
            output = keras.tree.flatten(output)[0]  # of a layer that returns its state too
            value = np.asarray(keras.ops.convert_to_numpy(output), "float64")
            facts = activation_facts(value, activation_of_layer(layer), last=layer.name == last)
            if main_kernel(layer) is not None:
                owner = layer.name
            # An activation of its own belongs to the layer with weights before it.
            found[owner or layer.name] = {**found.get(owner, {}), **_known(facts)}
        return found

    def _inputs(self):
        return keras.tree.map_structure(keras.ops.convert_to_tensor, self.rows.x)

    def gradients(self, *, training=False):
        """Returns the loss and, by layer, the norms of gradient and weight."""
        loss, gradients = backend.current().loss_gradients(
            self.model, self.rows.x, self.rows.y, self.rows.weight, training=training
        )
        by_path = {
            v.path: g for v, g in zip(self.model.trainable_variables, gradients, strict=True)
        }
        norms, weights = {}, {}
        for name, variable in self.kernels.items():
            weights[name] = float(np.linalg.norm(keras.ops.convert_to_numpy(variable)))
            if variable.path in by_path:
                norms[name] = float(np.linalg.norm(np.asarray(by_path[variable.path], "float64")))
        return loss, norms, weights


def _known(facts):
    return {name: value for name, value in facts.items() if value is not None}


def kernels(model):
    """Returns the trainable kernels of a model by layer name, in order; embeddings have none."""
    trainable = {id(v) for v in model.trainable_variables}
    found = {}
    for layer in flat_layers(model):
        kernel = main_kernel(layer)
        if kernel is None or id(kernel) not in trainable or hasattr(layer, "embeddings"):
            continue
        if type(layer).__name__ not in NORMALIZATIONS:
            found[layer.name if layer.name not in found else kernel.path] = kernel
    return found


def moved(start, kernels):
    """Returns by layer how far the weights are from where they started, relative to their size."""
    return [
        float(np.linalg.norm(keras.ops.convert_to_numpy(variable) - start[name]))
        / (float(np.linalg.norm(start[name])) or 1.0)
        for name, variable in kernels.items()
    ]


def activation_facts(value, activation, *, last=False):
    """Returns the statistics of a layer's output `(N, ..., C)`."""
    if not np.all(np.isfinite(value)):
        return {"std": float("nan"), "row_std": float("nan"), "dead": None, "saturated": None}
    units = value.reshape(-1, value.shape[-1]) if value.ndim > 1 else value[:, None]
    facts = {
        "std": float(value.std()),
        "rms": float(np.sqrt(np.mean(value**2))),
        "row_std": float(np.mean(value.std(axis=0))) if len(value) > 1 else 0.0,
        "dead": None,
        "saturated": None,
    }
    if activation in ZERO_BELOW:
        facts["dead"] = float((units.max(axis=0) <= 0).mean())
        facts["zero"] = float((units <= 0).mean())
    if activation in NEAR_ZERO_SLOPE and not last:
        facts["saturated"] = float(NEAR_ZERO_SLOPE[activation](value).mean())
    return facts
