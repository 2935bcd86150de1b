"""A config must hold every argument of `__init__` and rebuild its object."""

import inspect
import json

import keras

_PLAIN = bool | int | float | str


def require_arguments(report, instance, given):
    """Requires `get_config` to hold the arguments of `__init__`, those given with their value."""
    config = instance.get_config()
    # As in Keras, an optional argument that nobody gave may stay away.
    missing = [
        name
        for name, default in _init_defaults(type(instance)).items()
        if name not in config and (name in given or default is not None)
    ]
    report.require(
        not missing,
        f"expected get_config to hold every argument of __init__; missing: {', '.join(missing)}.",
    )
    for name, value in given.items():
        saved = config.get(name)
        # Other values may be saved in another form: (3, 3) for 3, a dictionary for a layer.
        if isinstance(value, _PLAIN) and isinstance(saved, _PLAIN):
            report.require(
                saved == value,
                f"expected get_config to return {name}={value!r} as given; received {saved!r}.",
            )


def rebuild(report, instance):
    """Returns what `from_config` makes of the config, after a trip through JSON."""
    try:
        text = json.dumps(keras.saving.serialize_keras_object(instance))
    except TypeError as error:
        report.require(False, f"expected a config that is JSON; {error}.")
    config = json.loads(text)["config"]
    again = type(instance).from_config(json.loads(text)["config"])
    rebuilt = json.loads(json.dumps(keras.saving.serialize_keras_object(again)))["config"]
    report.require(
        rebuilt == config,
        f"expected from_config to rebuild the same config {config}; received {rebuilt}.",
    )
    return again


def _init_defaults(cls):
    """Name and default of `__init__`'s arguments; what it hands on with ** is the base class'."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(cls.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "self" and p.kind not in kinds}
