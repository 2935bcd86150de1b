"""Everything that a training consists of, as arrays and JSON, and back again."""

import collections
import json
import random

from kerasdnn import __version__, backend
from kerasdnn.errors import InputError

import keras
import numpy as np

# What Keras gives a callback anew in every training.
_GIVEN = ("params", "_model", "model", "validation_data")
_NOT_THE_MODEL = ("name", "seed", "registered_name")  # differ between two builds of one model


def pack(value, arrays):
    """Returns `value` as JSON can hold it; arrays go to the dict `arrays`.

    Raises:
        TypeError: for what is neither a number, a text, an array nor a collection of such.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [pack(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [pack(item, arrays) for item in value]}
    if isinstance(value, collections.deque):
        items = [pack(item, arrays) for item in value]
        return {"deque": items, "maxlen": value.maxlen}
    if isinstance(value, set | frozenset):
        return {"set": [pack(item, arrays) for item in sorted(value)]}
    if isinstance(value, dict):
        return {"dict": [[pack(k, arrays), pack(v, arrays)] for k, v in value.items()]}
    if callable(value) and getattr(keras.ops, getattr(value, "__name__", ""), None) is value:
        # How Keras' callbacks keep "less is better"; made anew, it would turn min_delta's sign.
        return {"op": value.__name__}
    if keras.ops.is_tensor(value) or isinstance(value, np.ndarray):
        array = np.asarray(keras.ops.convert_to_numpy(value))
        if not array.dtype.hasobject:
            name = f"packed-{len(arrays)}"
            arrays[name] = array.copy()
            return {"array": name}
    raise TypeError(f"cannot keep {type(value).__name__}")


def unpack(value, arrays):
    """Returns what `pack` was given."""
    if isinstance(value, list):
        return [unpack(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "op" in value:
        return getattr(keras.ops, value["op"])
    if "dict" in value:
        return {unpack(k, arrays): unpack(v, arrays) for k, v in value["dict"]}
    if "deque" in value:
        items = [unpack(item, arrays) for item in value["deque"]]
        return collections.deque(items, maxlen=value["maxlen"])
    kind = "tuple" if "tuple" in value else "set"
    return {"tuple": tuple, "set": set}[kind](unpack(item, arrays) for item in value[kind])


def variables(model):
    """Returns the variables that a training changes, and the metrics', as two lists.

    Those of the model include the states of its random number generators, which Keras' own files
    leave out.
    """
    unique = {id(v): v for v in [*model.variables, *model.optimizer.variables]}
    metrics = {id(v): v for v in model.metrics_variables if id(v) not in unique}
    return list(unique.values()), list(metrics.values())


def capture(model, callbacks, arrays):
    """Copies all that a training consists of into `arrays`; returns what JSON can hold."""
    own, metrics = variables(model)
    for kind, group in (("v", own), ("m", metrics)):
        for i, variable in enumerate(group):
            # A copy, because a backend may give a view of memory that the next step changes.
            arrays[f"{kind}{i}"] = np.array(keras.ops.convert_to_numpy(variable))
    return {
        "variables": len(own),
        "metrics": len(metrics),
        "random": pack(_random_state(), arrays),
        "callbacks": [_callback_state(callback, arrays) for callback in callbacks],
        "stop_training": bool(model.stop_training),
    }


def restore(model, callbacks, arrays, meta):
    """Puts the variables, random states and callbacks back; the metrics are `restore_metrics`."""
    own, _ = variables(model)
    if len(own) != meta["variables"]:
        raise InputError(
            f"The state holds {meta['variables']} variables, the model and its optimizer have "
            f"{len(own)}. Build and compile the model as it was, with the same callbacks."
        )
    for i, variable in enumerate(own):
        variable.assign(arrays[f"v{i}"])
    restore_callbacks(callbacks, arrays, meta)
    _set_random_state(unpack(meta["random"], arrays))


def restore_callbacks(callbacks, arrays, meta):
    """Puts what the callbacks know back."""
    for callback, state in zip(callbacks, meta["callbacks"], strict=True):
        _set_callback_state(callback, unpack(state, arrays))


def restore_metrics(model, arrays, meta):
    """Puts the running metrics of an epoch back."""
    _, metrics = variables(model)
    if len(metrics) != meta["metrics"]:
        raise InputError(
            f"The state holds {meta['metrics']} variables of metrics, the model has "
            f"{len(metrics)}. Compile the model with the same metrics."
        )
    for i, variable in enumerate(metrics):
        variable.assign(arrays[f"m{i}"])


def _random_state():
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002 - what callbacks may use
        "backend": backend.current().get_rng_state(),
    }


def _set_random_state(state):
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    if state["backend"] is not None:
        backend.current().set_rng_state(state["backend"])


def _callback_state(callback, arrays):
    """The callback's own `get_state()`, or those of its attributes that are plain values."""
    if hasattr(callback, "get_state"):
        return pack(callback.get_state(), arrays)
    kept = {}
    for name, value in vars(callback).items():
        if name in _GIVEN:
            continue
        found = {}
        try:
            packed = pack(value, found)
        except TypeError:  # a function, an open file, another object: made by the constructor
            continue
        # Names of arrays count up in `arrays`; packing twice is cheaper than renaming.
        kept[name] = pack(value, arrays) if found else packed
    return {"dict": list(map(list, kept.items()))}


def _set_callback_state(callback, state):
    if hasattr(callback, "set_state"):
        callback.set_state(state)
    else:
        vars(callback).update(state)


def facts(model, callbacks):
    """Returns what must be the same for a training to be gone on with, by name."""
    own, _ = variables(model)
    layers = model._flatten_layers(include_self=False)
    # A Sequential without an input gets one in the first step, which is no difference.
    layers = [layer for layer in layers if not isinstance(layer, keras.layers.InputLayer)]
    return plain(
        {
            "versions": {
                "kerasdnn": __version__,
                "keras": keras.__version__,
                keras.backend.backend(): str(backend.current().VERSION),
            },
            "layers": [_layer(layer) for layer in layers],
            "variables": [[list(v.shape), str(v.dtype)] for v in own],
            "optimizer": _without_names(_serialized(model.optimizer)),
            "jit_compile": bool(model.jit_compile),
            "loss": _without_names(_serialized(model.loss)),
            "callbacks": [type(callback).__name__ for callback in callbacks],
        }
    )


def difference(saved, now):
    """Returns the first thing that differs, as "what was ... and is ...", or None."""
    if isinstance(saved, dict) and isinstance(now, dict):
        for key in [*saved, *(key for key in now if key not in saved)]:
            found = difference(saved.get(key), now.get(key))
            if found:
                name = key if not found[0] else f"{key}.{found[0]}" if found[0][0] != "[" else key
                return name, *found[1:]
        return None
    if isinstance(saved, list) and isinstance(now, list) and len(saved) == len(now):
        for index, (a, b) in enumerate(zip(saved, now)):
            found = difference(a, b)
            if found:
                return f"[{index}]" + (f".{found[0]}" if found[0] else ""), *found[1:]
        return None
    if saved == now:
        return None
    if isinstance(saved, list) and isinstance(now, list):
        return "", f"{len(saved)} of them", f"{len(now)}"
    return "", _short(saved), _short(now)


def _short(value):
    text = str(value)
    return text if len(text) < 60 else f"{text[:56]} ..."


def _serialized(value):
    try:
        return keras.saving.serialize_keras_object(value)
    except (TypeError, ValueError, NotImplementedError):  # an object of the user
        return type(value).__name__


def _layer(layer):
    try:
        config = {} if isinstance(layer, keras.Model) else layer.get_config()
    except NotImplementedError:  # a layer of the user without get_config
        config = {}
    return [type(layer).__name__, _without_names(config)]


def _without_names(value):
    if isinstance(value, dict):
        return {k: _without_names(v) for k, v in value.items() if k not in _NOT_THE_MODEL}
    if isinstance(value, list | tuple):
        return [_without_names(v) for v in value]
    return value


def plain(value):
    """Returns a value as JSON gives it back; an object becomes the name of its class."""
    return json.loads(json.dumps(value, sort_keys=True, default=_class_name))


def _class_name(value):
    return type(value).__name__
