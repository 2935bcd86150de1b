"""The choices of `autotune`, kept on disk per machine, model and batch size."""

import hashlib
import json
import os
import pathlib
import tempfile
import warnings

from kerasdnn import __version__, backend
from kerasdnn.runtime.precision import cpu_count, cpu_model

import keras

# A change of the meaning of a cached file must change the key, so that old files are not read.
_FORMAT = 1
_NOT_THE_MODEL = ("name", "seed")  # differ between two builds of the same model


def folder():
    """Returns `$KERASDNN_HOME/autotune`, or `~/.cache/kerasdnn/autotune`."""
    home = os.environ.get("KERASDNN_HOME") or pathlib.Path.home() / ".cache" / "kerasdnn"
    return pathlib.Path(home) / "autotune"


def key(model, batches, settings, seconds):
    """Returns a short hash of all that the result depends on."""
    facts = {
        "format": _FORMAT,
        "machine": _machine(),
        "layers": [_layer(layer) for layer in model._flatten_layers()],
        "optimizer": type(model.optimizer).__name__,
        "batch": [a is None or (str(a.dtype), a.shape) for a in keras.tree.flatten(batches[0])],
        "settings": [str(setting) for setting in settings],
        "seconds": seconds,
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def read(name):
    """Returns the stored dictionary, or None; a damaged file is told by a warning and ignored."""
    path = folder() / f"{name}.json"
    try:
        stored = json.loads(path.read_text())
        if not {"precision", "jit_compile", "fused_batch_norm", "table"} <= set(stored):
            raise ValueError("fields are missing")
        return stored
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        warnings.warn(f"autotune ignores the damaged file {path} ({error}).", stacklevel=3)
        return None


def write(name, stored):
    """Writes the dictionary whole or not at all; a folder that cannot be written is a warning."""
    path = folder() / f"{name}.json"
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = file.name
            json.dump(stored, file, indent=1)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            pathlib.Path(temporary).unlink(missing_ok=True)
        warnings.warn(f"autotune could not keep its choice in {path} ({error}).", stacklevel=3)


def _machine():
    return {
        "cpu": cpu_model(),
        "cores": cpu_count(),
        "device": backend.current().device_name(),
        "versions": [__version__, keras.__version__, str(backend.current().VERSION)],
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS"),
        "backend": keras.backend.backend(),
    }


def _layer(layer):
    shapes = [tuple(weight.shape) for weight in layer.weights]
    # The configuration of a model holds its layers' generated names; its layers come by themselves.
    if isinstance(layer, keras.Model):
        return type(layer).__name__, shapes
    try:
        config = layer.get_config()
    except NotImplementedError:  # a layer of the user without get_config
        config = {}
    return type(layer).__name__, shapes, _without_names(config)


def _without_names(value):
    if isinstance(value, dict):
        return {k: _without_names(v) for k, v in value.items() if k not in _NOT_THE_MODEL}
    if isinstance(value, list | tuple):
        return [_without_names(v) for v in value]
    return value
