"""Changes of a program: another rate, loss, head, activation, initializer, scale of the data.

A change is a dictionary with "kind" and its arguments; `apply` returns a new `Program` and leaves
the old one as it is. Models are rebuilt from their configuration, with fresh weights.
"""

import math

from kerasdnn.diagnosis.rebuild import STRUCTURAL, changed_model
from kerasdnn.diagnosis.structure import model_kind

import numpy as np


class CannotChangeError(Exception):
    """A change that this program does not allow, with the reason."""


def apply(program, change):
    """Returns the program with one change made.

    Args:
        program: a `Program`.
        change: dictionary, as in `Finding.change`; "kind": "all" holds several in "changes".

    Raises:
        CannotChangeError: with the reason, when the program cannot be changed so.
    """
    kind = change["kind"]
    if kind == "all":
        for part in change["changes"]:
            program = apply(program, part)
        return program
    if kind in DATA_CHANGES:
        return DATA_CHANGES[kind](program, change)
    model = program.build()
    if model_kind(model) == "subclass":
        if kind in STRUCTURAL:
            raise CannotChangeError("layers of a subclassed model cannot be exchanged from outside")
        if program.build() is model:
            raise CannotChangeError("`build` returns the same model each time")
    inner = program.build

    def build():
        return changed_model(inner(), change)

    return program.replace(build=build)


# --- Changes of the data and of the arguments of fit ---------------------------------------------
def standardizer(x):
    """Returns mean and deviation to scale inputs with: by feature, for images by channel."""
    x = np.asarray(x, "float64")
    axes = tuple(range(x.ndim - 1)) if x.ndim > 1 else (0,)
    mean, deviation = x.mean(axis=axes), x.std(axis=axes)
    return mean, np.where(deviation > 1e-12, deviation, 1.0)


def _on_arrays(program, part):
    value = getattr(program, part)
    if value is None or not (hasattr(value, "__array__") or isinstance(value, list | tuple)):
        raise CannotChangeError(f"`{part}` is not an array")
    return np.asarray(value)


def _scale_x(program, change):
    x = _on_arrays(program, "x")
    mean, deviation = standardizer(x)
    changes = {"x": ((x - mean) / deviation).astype("float32")}
    if program.validation_data is not None:
        held = list(program.validation_data)
        held[0] = ((np.asarray(held[0]) - mean) / deviation).astype("float32")
        changes["validation_data"] = tuple(held)
    return program.replace(**changes)


def _scale_y(program, change):
    y = _on_arrays(program, "y").astype("float64")
    mean, deviation = y.mean(axis=0), y.std(axis=0)
    deviation = np.where(deviation > 1e-12, deviation, 1.0)
    changes = {"y": ((y - mean) / deviation).astype("float32")}
    if program.validation_data is not None:
        held = list(program.validation_data)
        held[1] = ((np.asarray(held[1]) - mean) / deviation).astype("float32")
        changes["validation_data"] = tuple(held)
    return program.replace(**changes)


def _map_labels(program, change):
    """Labels as the loss wants them: "int", "onehot", "zero_one", "zero_based", "finite"."""
    to = change["to"]
    y = _on_arrays(program, "y")
    if to == "finite":
        x = _on_arrays(program, "x")
        good = np.isfinite(x.astype("float64")).reshape(len(x), -1).all(1)
        if y.dtype.kind == "f":
            good &= np.isfinite(y).reshape(len(y), -1).all(1)
        return program.replace(x=x[good], y=y[good])
    convert = _converter(to, y)
    changes = {"y": convert(y)}
    if program.validation_data is not None:
        held = list(program.validation_data)
        held[1] = convert(np.asarray(held[1]))
        changes["validation_data"] = tuple(held)
    return program.replace(**changes)


def _converter(to, y):
    names = np.unique(y)
    if to == "int":
        return lambda a: a.argmax(-1).astype("int64")
    if to == "onehot":
        size = int(names.max()) + 1
        return lambda a: np.eye(size, dtype="float32")[a.reshape(len(a)).astype(int)]
    if to == "zero_one":
        return lambda a: (a > names.mean()).astype("float32")
    if to == "zero_based":
        return lambda a: np.searchsorted(names, a).astype("int64")
    raise CannotChangeError(f"no way to make labels '{to}'")


def _shuffled(program, change):
    x, y = _on_arrays(program, "x"), _on_arrays(program, "y")
    order = np.random.default_rng(0).permutation(len(x))
    return program.replace(x=x[order], y=y[order], fit={"shuffle": True})


def _fit(program, change):
    return program.replace(fit={k: v for k, v in change.items() if k != "kind"})


def _epochs(program, change):
    epochs = change.get("epochs") or math.ceil(program.epochs * change["factor"])
    return program.replace(fit={"epochs": int(epochs)})


DATA_CHANGES = {
    "scale_x": _scale_x,
    "scale_y": _scale_y,
    "labels": _map_labels,
    "shuffle": _shuffled,
    "fit": _fit,
    "epochs": _epochs,
}
