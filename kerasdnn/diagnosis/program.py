"""The training to diagnose: how its model is built, its data, and how it is fitted."""

import dataclasses
from collections.abc import Callable
from typing import Any

from kerasdnn.errors import InputError

import keras
import numpy as np

MAX_ROWS = 20_000  # rows that are taken out of a data set or a generator
FIT_DEFAULTS = {"batch_size": 32, "epochs": 1, "validation_split": 0.0, "shuffle": True}


@dataclasses.dataclass
class Program:
    """A training as `diagnose` and `repair` take it.

    Args:
        build: function without arguments that returns a fresh compiled model.
        x: what `fit` gets as `x`: an array, a list or dictionary of arrays, a `tf.data.Dataset`, a
            `PyDataset`, a Torch loader or a generator.
        y: the targets, or None where `x` yields them.
        fit: dictionary of further arguments of `fit`: `batch_size`, `epochs`, `validation_split`,
            `shuffle`, `class_weight`, `sample_weight`, `callbacks`, `steps_per_epoch`.
        validation_data: pair of arrays, or None.

    Example:
    >>> def build():
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    ...     model.compile("sgd", "mse")
    ...     return model
    >>> Program(build, np.zeros((8, 2)), np.zeros((8, 1)), fit={"epochs": 3}).epochs
    3
    """

    build: Callable
    x: Any
    y: Any = None
    fit: dict = dataclasses.field(default_factory=dict)
    validation_data: Any = None

    def __post_init__(self):
        if not callable(self.build) or isinstance(self.build, keras.Model):
            raise InputError(
                "Program expects `build`, a function that returns a fresh compiled model; received "
                f"{type(self.build).__name__}. Wrap the code that makes the model in a function."
            )
        self.fit = dict(self.fit or {})
        if self.validation_data is None:
            self.validation_data = self.fit.pop("validation_data", None)

    def option(self, name):
        """Returns an argument of `fit`, or what Keras takes without it."""
        value = self.fit.get(name)
        return FIT_DEFAULTS.get(name) if value is None else value

    @property
    def epochs(self):
        """Passes over the data that `fit` is asked for."""
        return int(self.option("epochs"))

    def replace(self, **changes):
        """Returns a copy with other fields; `fit` entries are merged."""
        changes["fit"] = {**self.fit, **changes.get("fit", {})}
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass
class Rows:
    """Data as arrays in memory: `x` in any nesting, `y` likewise or None, weights or None."""

    x: Any
    y: Any
    weight: Any = None
    batch_size: int = 32
    notes: list = dataclasses.field(default_factory=list)

    def __len__(self):
        leaves = keras.tree.flatten(self.x)
        return len(leaves[0]) if leaves else 0

    def take(self, index):
        """Returns the rows of an index array or slice, as new `Rows`."""

        def pick(array):
            return array[index]

        x, y, weight = (
            None if part is None else keras.tree.map_structure(pick, part)
            for part in (self.x, self.y, self.weight)
        )
        return dataclasses.replace(self, x=x, y=y, weight=weight)

    def sample(self, count, seed=0):
        """Returns at most `count` rows, spread evenly at random, always the same ones."""
        if len(self) <= count:
            return self
        index = np.random.default_rng(seed).choice(len(self), count, replace=False)
        return self.take(np.sort(index))


def read_rows(program):
    """Returns the training rows of a program as `Rows`.

    Raises:
        InputError: when nothing can be read, with the reason.
    """
    x, y = program.x, program.y
    if x is None:
        raise InputError("The program has no data: `x` is None. Give the arrays that `fit` gets.")
    if y is None and not _is_arrays(x):
        return _drain(program)
    x = keras.tree.map_structure(_as_array, _listed(x))
    y = None if y is None else keras.tree.map_structure(_as_array, _listed(y))
    lengths = {len(a) for part in (x, y) if part is not None for a in keras.tree.flatten(part)}
    if len(lengths) > 1:
        raise InputError(
            f"x and y must have equally many rows; received {sorted(lengths)}. Each row of x needs "
            "its row of y."
        )
    weight = program.fit.get("sample_weight")
    weight = None if weight is None else np.asarray(weight)
    return Rows(x, y, weight, batch_size=int(program.option("batch_size")))


def read_validation(program, rows):
    """Returns the validation rows and the training rows without them; None where there are none."""
    data = program.validation_data
    if data is not None and _is_arrays(data):
        parts = list(data)
        x = keras.tree.map_structure(_as_array, _listed(parts[0]))
        y = keras.tree.map_structure(_as_array, _listed(parts[1])) if len(parts) > 1 else None
        return dataclasses.replace(rows, x=x, y=y, weight=None), rows
    if data is not None:
        held = _drain(program.replace(x=data, y=None, fit={"steps_per_epoch": None}))
        return dataclasses.replace(held, batch_size=rows.batch_size), rows
    share = float(program.option("validation_split"))
    if not share:
        return None, rows
    first = int(len(rows) * (1 - share))  # Keras takes the last rows, before it shuffles
    return rows.take(slice(first, None)), rows.take(slice(0, first))


def _is_arrays(x):
    if hasattr(x, "__next__") or hasattr(x, "element_spec") or isinstance(x, keras.utils.PyDataset):
        return False
    leaves = keras.tree.flatten(_listed(x))
    return bool(leaves) and all(
        hasattr(leaf, "__array__") or isinstance(leaf, int | float) for leaf in leaves
    )


def _listed(x):
    """Turns a list of numbers or of rows into an array; leaves lists of arrays as they are."""
    if isinstance(x, list | tuple) and not any(hasattr(item, "__array__") for item in x):
        if any(isinstance(item, dict) for item in x):
            return x
        return np.asarray(x)
    return list(x) if isinstance(x, tuple) else x


def _as_array(value):
    if hasattr(value, "detach"):  # a Torch tensor may ask for a gradient
        value = value.detach().cpu()
    array = np.asarray(value)
    if array.dtype == "float64":  # as fit casts it
        array = array.astype("float32")
    return array[None] if array.ndim == 0 else array


def _drain(program):
    """Takes batches out of a data set, loader or generator until there are enough rows."""
    batches, rows, steps = [], 0, program.fit.get("steps_per_epoch")
    for batch in _batches(program.x):
        batch = tuple(batch) if isinstance(batch, list | tuple) else (batch,)
        # None is a leaf to keras.tree: what is not there must not become an array.
        batch = [
            None if part is None else keras.tree.map_structure(_as_array, part)
            for part in (*batch, None, None)[:3]
        ]
        batches.append(batch)
        rows += len(keras.tree.flatten(batch[0])[0])
        if rows >= MAX_ROWS or (steps and len(batches) >= steps):
            break
    if not batches:
        raise InputError("The data set yields no batch. Give it at least one.")
    size = max(len(keras.tree.flatten(batch[0])[0]) for batch in batches)
    parts = []
    for part in zip(*batches, strict=True):
        whole = part[0] is not None
        parts.append(
            keras.tree.map_structure(lambda *a: np.concatenate(a), *part) if whole else None
        )
    notes = [f"of the data set, {rows:,} rows in {len(batches)} batches were looked at"]
    if hasattr(program.x, "__next__"):
        notes.append("a generator cannot be rewound: these batches are used up")
    return Rows(*parts, batch_size=size, notes=notes)


def _batches(x):
    if isinstance(x, keras.utils.PyDataset):
        return (x[index] for index in range(x.num_batches or 0))
    return iter(x)
