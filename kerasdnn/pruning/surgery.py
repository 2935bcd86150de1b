"""Cuts a model down: new numbers in its configuration, then the weights that stay."""

import keras
import numpy as np
from keras import ops


def cut(model, trace, choice):
    """Returns a new model without the units that `choice` removes; the model is unchanged."""
    edits = {}
    for layer, key, value in trace.edits:
        number = value(choice.kept) if callable(value) else choice.kept(value)
        edits.setdefault(id(layer), {})[key] = number
    config = _edited(model, model.get_config(), edits)
    smaller = type(model).from_config(config)
    _carry(model, smaller, trace, choice)
    return smaller


def _edited(model, config, edits):
    """Walks a model's configuration, nested models too, and puts new numbers into it."""
    config = _without_shapes(config)
    if "build_input_shape" in config and model.inputs:
        config["build_input_shape"] = None  # the input layer knows it
    layers = {layer.name: layer for layer in _layers(model)}
    for entry in config["layers"]:
        layer = layers.get(entry["config"].get("name"))
        if layer is None:
            continue
        if "layers" in entry["config"] and isinstance(layer, keras.Model):
            entry["config"] = _edited(layer, entry["config"], edits)
        for key, value in edits.get(id(layer), {}).items():
            name = "batch_input_shape" if key == "batch_shape" else key
            entry["config"][key if key in entry["config"] else name] = value
    return config


def _layers(model):
    return [*model.layers, *(tensor._keras_history.operation for tensor in model.inputs)]


def _without_shapes(node):
    """A copy without what Keras remembers of the old shapes and of compiling."""
    if isinstance(node, dict):
        drop = ("build_config", "compile_config")
        return {k: _without_shapes(v) for k, v in node.items() if k not in drop}
    if isinstance(node, list | tuple):
        return type(node)(_without_shapes(v) for v in node)
    return node


def _carry(source, target, trace, choice):
    """Copies what stays of every variable, and what clones lose: trainable and random state."""
    for old, new in zip(_flat(source), _flat(target), strict=True):
        if old.trainable != new.trainable:
            new.trainable = old.trainable
    for old, new in zip(source.variables, target.variables, strict=True):
        new.assign(sliced(old, trace, choice))
    for old, new in zip(_flat(source), _flat(target), strict=True):
        if isinstance(old, keras.layers.Normalization):
            store = {}
            old.save_own_variables(store)
            new.load_own_variables({k: ops.convert_to_numpy(v) for k, v in store.items()})


def sliced(variable, trace, choice):
    """Returns the part of a variable that stays, as an array."""
    value = ops.convert_to_numpy(variable)
    _, axes = trace.slices.get(id(variable), (None, {}))
    for axis, ids in axes.items():
        value = np.take(value, choice.keep(ids), axis=axis)
    return value


def _flat(model):
    return list(model._flatten_layers())


def zero_removed(model, trace, choice):
    """Zeroes in the model itself, in place, what makes the removed channels.

    The cut model computes what this one then computes: that is what makes surgery right.
    """
    for variable, axis, ids in trace.cleared:
        value = np.array(ops.convert_to_numpy(variable))
        gone = np.setdiff1d(np.arange(len(ids)), choice.keep(ids))
        np.moveaxis(value, axis, 0)[gone] = 0
        variable.assign(value)
