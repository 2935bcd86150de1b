"""Tensors from inside of a model, without changing it."""

import functools

import keras
import numpy as np


class Taps:
    """Computes a model's output and chosen tensors inside of it in one pass.

    It walks the model's own graph and looks at what its layers return; a new functional model of
    the same layers would not do, as Keras knows a layer by the outputs of its first call.

    Args:
        model: a functional or sequential `keras.Model`.
        wanted: list of `(layer name, "output" | "scores")`; scores are the attention weights of a
            layer that takes `return_attention_scores`.
    """

    def __init__(self, model, wanted):
        self.model, self.wanted = model, list(dict.fromkeys(wanted))
        names = [layer.name for layer in model.layers]
        for name, _ in self.wanted:
            if name not in names:
                raise ValueError(
                    f"Distiller expects the name of a layer of {model.name}; received {name!r}. "
                    f"It has {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}."
                )

    def shape(self, name):
        """Returns the shape of a layer's first output."""
        return keras.tree.flatten(self.model.get_layer(name).output)[0].shape

    def __call__(self, x, training=False):
        """Returns the output and a dict of the tensors."""
        if not self.wanted:
            return self.model(x, training=training), {}
        found = {}
        graph = getattr(self.model, "_functional", None) or self.model
        outputs = graph._run_through_graph(
            keras.tree.flatten(x),
            operation_fn=lambda layer: functools.partial(self._call, found, training, layer),
        )
        return outputs, {key: found[key] for key in self.wanted}

    def _call(self, found, mode, layer, *args, **kwargs):
        if getattr(layer, "_call_has_training_arg", False) and kwargs.get("training") is None:
            kwargs["training"] = mode
        scores = (layer.name, "scores") in self.wanted
        if scores:
            kwargs["return_attention_scores"] = True
        result = layer(*args, **kwargs)
        first = result[0] if isinstance(result, list | tuple) else result
        if scores:
            found[layer.name, "scores"] = result[1]
        found[layer.name, "output"] = first
        return first if scores else result

    def answers(self, x, batch_size):
        """Returns `[output, *tensors]` of all samples, as arrays."""
        if not self.wanted:
            return [self.model.predict(x, batch_size=batch_size, verbose=0)]
        parts = []
        for begin in range(0, len(keras.tree.flatten(x)[0]), batch_size):
            batch = keras.tree.map_structure(lambda a: a[begin : begin + batch_size], x)  # noqa: B023
            batch = keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
            output, inside = self(batch)
            parts.append([keras.ops.convert_to_numpy(t) for t in (output, *inside.values())])
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def ends_in_softmax(model):
    """Returns whether the model's output is a distribution rather than logits, where known."""
    layer = model
    while isinstance(layer, keras.Model):
        outputs = getattr(layer, "outputs", None)
        if not outputs or len(outputs) != 1 or not getattr(layer, "layers", None):
            return False
        layer = outputs[0]._keras_history.operation
    function = getattr(layer, "activation", None)
    return isinstance(layer, keras.layers.Softmax) or function is keras.activations.softmax
