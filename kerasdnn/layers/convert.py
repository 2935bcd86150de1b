"""Exchange the batch normalization of a finished model, both ways, with its weights."""

import contextlib
import functools
import warnings

from kerasdnn.layers.normalization import FusedBatchNormalization

import keras

KerasBatchNormalization = keras.layers.BatchNormalization


def fuse_batch_norm(model):
    """Returns a copy of the model with every `BatchNormalization` replaced by the fused one.

    Nested functional and sequential models are converted too, layer names and the order of the
    weights stay. The copy has the weights and the random state of the original and shares nothing
    with it. A compiled model comes back compiled the same way, with its optimizer's state, so that
    training goes on; an uncompiled one uncompiled. Saved weights do not bridge the two classes
    (Keras addresses them by class name), this function does.

    What cannot be exchanged is told by a warning: normalization inside a composite layer, and
    compile arguments that Keras cannot copy (the copy is then uncompiled).

    Args:
        model: a `keras.Sequential` or a functional `keras.Model`.

    Returns:
        A new model of the same kind.

    Raises:
        TypeError: for a subclassed model.

    Example:
    >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.BatchNormalization()])
    >>> [type(layer).__name__ for layer in fuse_batch_norm(model).layers]
    ['FusedBatchNormalization']
    """
    return _exchange(model, KerasBatchNormalization, FusedBatchNormalization, "fuse_batch_norm")


def unfuse_batch_norm(model):
    """Returns a copy of the model with `keras.layers.BatchNormalization` again.

    The way back from `fuse_batch_norm`, on the same terms: for an export, or for a machine
    without kerasdnn.

    Args:
        model: a `keras.Sequential` or a functional `keras.Model`.

    Returns:
        A new model of the same kind.

    Raises:
        TypeError: for a subclassed model.

    Example:
    >>> model = keras.Sequential([keras.Input((4, 4, 3)), FusedBatchNormalization()])
    >>> [type(layer).__name__ for layer in unfuse_batch_norm(model).layers]
    ['BatchNormalization']
    """
    return _exchange(model, FusedBatchNormalization, KerasBatchNormalization, "unfuse_batch_norm")


def conversion_problem(model):
    """Returns why `fuse_batch_norm` refuses the model, one phrase, or None."""
    if type(model) in (keras.Sequential, _functional_class()):
        return None
    return (
        f"{type(model).__name__} is neither a keras.Sequential nor a plain functional keras.Model"
    )


@functools.cache
def _functional_class():
    # Keras does not export the class that `keras.Model(inputs, outputs)` makes.
    inputs = keras.Input((1,), name="probe")
    return type(keras.Model(inputs, inputs, name="probe"))


def _exchange(model, old, new, name):
    problem = conversion_problem(model)
    if problem:
        raise TypeError(
            f"{name} expects a sequential or functional model; {problem}. "
            f"Use FusedBatchNormalization in the subclass itself, or convert the models inside it."
        )

    def copy_layer(layer):
        # A subclass of the old class has its own behaviour and stays what it is.
        cls = new if type(layer) is old else type(layer)
        return cls.from_config(layer.get_config())

    with _seen_as_uncompiled(model):
        copy = keras.models.clone_model(model, clone_function=copy_layer, recursive=True)
    _carry_state(model, copy)
    _carry_compile(model, copy, name)
    left = [layer for layer in _flatten(copy) if type(layer) is old]
    if left:
        warnings.warn(
            f"{name} left {len(left)} {old.__name__} inside composite layers as they were "
            f"(the first: {left[0].name}); build those layers with {new.__name__} instead.",
            stacklevel=3,
        )
    return copy


@contextlib.contextmanager
def _seen_as_uncompiled(model):
    # clone_model compiles functional copies itself, and fails on an unregistered loss.
    compiled = [m for m in _flatten(model) if isinstance(m, keras.Model) and m.compiled]
    for m in compiled:
        m.compiled = False
    try:
        yield
    finally:
        for m in compiled:
            m.compiled = True


def _flatten(model):
    return list(model._flatten_layers())  # itself first, a parent before its children


def _carry_state(source, target):
    # Under another global policy the copy would lose, for one, its loss scaling.
    target.dtype_policy = source.dtype_policy
    for old, new in zip(_flatten(source), _flatten(target), strict=True):
        new.trainable = old.trainable  # of the models too, which clone_model forgets
    _copy_variables(source.variables, target.variables)
    # Layers such as Normalization derive attributes from their weights when these are loaded.
    for old, new in zip(_flatten(source), _flatten(target), strict=True):
        store = {}
        old.save_own_variables(store)
        if store:
            new.load_own_variables({k: keras.ops.convert_to_numpy(v) for k, v in store.items()})


def _copy_variables(source, target):
    for old, new in zip(source, target, strict=True):
        # Through NumPy: JAX would share the buffer and give it away in the next training step.
        new.assign(keras.ops.convert_to_numpy(old))


def _carry_compile(source, target, name):
    if not source.compiled:
        return
    try:
        with keras.saving.CustomObjectScope(_own_objects(source)):
            target.compile_from_config(source.get_compile_config())
    except (TypeError, ValueError) as error:
        warnings.warn(
            f"{name} could not copy the compile arguments ({str(error).splitlines()[0]}); "
            "call compile() on the returned model.",
            stacklevel=4,
        )
        return
    if source.optimizer is not None and source.optimizer.built:
        _copy_variables(source.optimizer.variables, target.optimizer.variables)


def _own_objects(model):
    """Returns the losses and the optimizer class by name: Keras need not have them registered."""
    found = {}
    for item in [*keras.tree.flatten(model.loss), model.optimizer]:
        if item is not None and not isinstance(item, str):
            item = item if hasattr(item, "__name__") else type(item)
            found[item.__name__] = item
    return found
