"""What is tuned: how a model is built from hyper-parameters, and the data it learns from."""

import dataclasses
import importlib.util
import inspect
import sys
from typing import Any

from kerasdnn import backend, catalog
from kerasdnn.errors import InputError

import keras
import numpy as np

RATES, USUAL_RATE = (1e-4, 1e-2), 1e-3  # of Adam, for recipes that leave compiling to the training
LONGEST = 200  # tokens of a text


@dataclasses.dataclass
class Subject:
    """A function from hyper-parameters to a compiled model, and three parts of data.

    Attributes:
        name: what it is called.
        build: function of `HyperParameters` that returns a fresh compiled model.
        fit, validation: `(x, y)`; trials learn from the first and are judged by the second.
        test: `(x, y)` or None; only the final model sees it, once.
    """

    name: str
    build: Any
    fit: tuple
    validation: tuple
    test: tuple | None = None

    def whole(self):
        """Returns training and validation data as one."""
        parts = zip(self.fit, self.validation, strict=True)
        return tuple(keras.tree.map_structure(_joined, one, other) for one, other in parts)


def of_recipe(name, *, data=None, validation=0.2, limit=None, seed=0):
    """Returns the `Subject` of a recipe of the catalog.

    Args:
        name: name of the recipe, with or without its topic.
        data: name or path of a data set; default the recipe's own.
        validation: share of the training part that trials are judged by.
        limit: int, at most so many training samples.
        seed: int, chooses them.

    Raises:
        InputError: there is no such recipe, or its model is not a classifier that its `build` and
            the data alone make.
    """
    from kerasdnn import data as data_sets

    entry = catalog.find(name)
    module = _module(entry)
    takes = inspect.signature(module.build).parameters if hasattr(module, "build") else {}
    if "classes" not in takes or not {"input_shape", "tokens"} & set(takes):
        raise InputError(
            f"tune expects a recipe whose build(hp) is a classifier of its data; '{entry.name}' "
            "learns in another way. Give a function that returns a compiled model: tune(build, x, "
            "y)."
        )
    size = getattr(module, "IMAGE_SIZE", None)
    dataset = data_sets.load(data or module.main.spec.data, limit=limit, image_size=size)
    options = {"classes": len(dataset.class_names)}
    if dataset.task == "text":
        vocabulary, *coded = data_sets.encode_texts(dataset, LONGEST)
        options["tokens"] = vocabulary.tokens
        dataset = dataclasses.replace(dataset, x_train=coded[0], x_test=coded[1], task="signal")
    else:
        options["input_shape"] = dataset.x_train.shape[1:]
    fit, held_out = data_sets.validation_split(dataset, float(validation), seed)

    def build(hp):
        return _compiled(module.build(hp, **options), hp)

    return Subject(entry.name, build, fit, held_out, (dataset.x_test, dataset.y_test))


def of_function(build, x, y, *, test=None, validation=0.2, seed=0):
    """Returns the `Subject` of a user's own function and arrays.

    Args:
        build: function of `HyperParameters` that returns a compiled model.
        x: array, or nested arrays of one length, the inputs.
        y: the same for the targets.
        test: `(x, y)` or None.
        validation: share of the rows that trials are judged by, or `(x, y)`.
        seed: int, chooses the rows.
    """
    name = getattr(build, "__name__", type(build).__name__)
    if isinstance(validation, tuple):
        return Subject(name, build, (x, y), validation, test)
    lengths = {len(part) for part in keras.tree.flatten((x, y))}
    if len(lengths) != 1:
        raise InputError(
            f"tune expects x and y of one length; received {sorted(lengths)}. Give one row of "
            "y for each row of x."
        )
    rows = np.random.default_rng(seed).permutation(lengths.pop())
    count = max(1, round(len(rows) * validation))
    if count >= len(rows):
        raise InputError(
            f"tune expects rows to learn from beside the validation data; {len(rows)} rows with "
            f"validation={validation} leave none. Give more rows or a smaller share."
        )

    def part(chosen):
        return tuple(
            keras.tree.map_structure(lambda array: np.asarray(array)[chosen], value)
            for value in (x, y)
        )

    return Subject(name, build, part(np.sort(rows[count:])), part(np.sort(rows[:count])), test)


def _compiled(model, hp):
    """Compiles what a recipe's `build` returns, with a learning rate to be tuned."""
    if model.compiled:
        return model
    low, high = RATES
    rate = hp.Float("learning_rate", low, high, sampling="log", default=USUAL_RATE)
    last = getattr(model.layers[-1], "activation", None)
    logits = getattr(last, "__name__", "") != "softmax"
    here = backend.current()
    # As in a recipe that times nothing: on a CPU oneDNN is faster than XLA, and compiles at once.
    jit = False if True in here.JIT_CHOICES and not here.has_gpu() else "auto"
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=logits),
        metrics=["accuracy"],
        jit_compile=jit,
    )
    return model


def _joined(one, other):
    return np.concatenate([np.asarray(one), np.asarray(other)])


def _module(entry):
    name = f"kerasdnn_recipe_{entry.name}"
    spec = importlib.util.spec_from_file_location(name, entry.path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
