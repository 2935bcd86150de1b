"""Shapes and dtypes of outputs, whatever structure they come in."""

import inspect

import keras
from keras import tree


class Unanswerable(Exception):  # noqa: N818 - no error: the question does not apply
    """The layer's `compute_output_shape` does not cover the call; the message says why."""


def computed_shapes(layer, x, call_kwargs, batch):
    """What `compute_output_shape` answers for inputs like `x` with the given batch size."""
    parameters = inspect.signature(layer.compute_output_shape).parameters
    unknown = [name for name in call_kwargs if name not in parameters]
    if unknown:
        raise Unanswerable(f"it does not take {', '.join(unknown)}")
    positional = [name for name in parameters if name not in call_kwargs]
    every = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters.values())
    # A method that names fewer shapes than `call` has inputs does not need the others.
    inputs = x if every else x[: len(positional)]
    shapes = [tree.map_structure(lambda a: (batch, *a.shape[1:]), entry) for entry in inputs]
    return shape_list(layer.compute_output_shape(*shapes, **call_kwargs))


def shape_list(shape):
    """One shape, or shapes in lists, tuples and dictionaries, as a flat list of tuples."""
    if isinstance(shape, dict):
        shape = [shape[key] for key in sorted(shape)]
    if all(size is None or isinstance(size, int) for size in shape):
        return [tuple(shape)]
    return [leaf for entry in shape for leaf in shape_list(entry)]


def dtypes_of(tensors):
    """The dtype names of all leaves."""
    return [keras.backend.standardize_dtype(leaf.dtype) for leaf in tree.flatten(tensors)]


def names(items):
    """A single item by itself, several as a list."""
    return str(items[0]) if len(items) == 1 else str(items)
