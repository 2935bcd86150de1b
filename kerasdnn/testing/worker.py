"""The process that reloads what a check saved: `python -m kerasdnn.testing.worker`.

It reads one JSON object a line from standard input and answers with one a line, until its input
ends. Arrays travel in `.npz` files; nothing is pickled. Its backend is `KERAS_BACKEND`.
"""

import importlib
import importlib.util
import json
import os
import sys

from kerasdnn import saving
from kerasdnn.testing.report import arrays_of

import keras
import numpy as np


def main():
    """Answers requests until standard input ends."""
    # Libraries print to standard output; the answers keep a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"ready": keras.backend.backend()}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), file=answers, flush=True)


def _answer(request):
    try:
        for path in request["paths"]:
            if path not in sys.path:
                sys.path.append(path)
        for name, file in request["modules"]:
            _import(name, file)
        keras.config.set_dtype_policy("float32")  # a saved model carries its own policy
        inputs = _unflatten(request["structure"], np.load(request["inputs"]))
        outputs = arrays_of(_run(request, inputs))
        np.savez(request["outputs"], *outputs)
        return {"outputs": len(outputs)}
    except Exception as error:  # every failure is the answer; the parent says it
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        keras.utils.clear_session(free_memory=False)


def _run(request, inputs):
    if request["task"] == "predict":
        return saving.load_model(request["path"])(inputs, training=False)
    if request["task"] == "compiled_loss":
        return saving.load_model(request["path"]).loss(*inputs)
    saving.import_registered()
    with open(request["path"], encoding="utf-8") as file:
        return keras.saving.deserialize_keras_object(json.load(file))(*inputs)


def _import(name, file):
    """Imports a module by its name, or from its file where the name leads nowhere."""
    if name in sys.modules:
        return
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


def _unflatten(structure, arrays):
    """Puts the arrays of a file in the place of their numbers in lists and dictionaries."""
    if isinstance(structure, dict):
        return {key: _unflatten(value, arrays) for key, value in structure.items()}
    if isinstance(structure, list):
        return [_unflatten(value, arrays) for value in structure]
    return None if structure is None else arrays[f"arr_{structure}"]


if __name__ == "__main__":
    main()
