"""Measure which precision, compilation and batch-norm kernel is fastest here, safely."""

import contextlib
import dataclasses
import random

from kerasdnn import backend
from kerasdnn.runtime import choice_cache
from kerasdnn.runtime.choice import Choice, Setting, compiled, table_row
from kerasdnn.runtime.precision import POLICIES, precision_problem
from kerasdnn.runtime.trials import Trials

import keras
import numpy as np

BATCHES = 4  # the first ones of the data, used in turn


def autotune(build, x, y, *, batch_size=128, candidates=None, seconds=20.0, cache=True):
    """Finds the fastest safe way to train a model on this machine.

    Each candidate is a copy of the model with another dtype policy, with `jit_compile` on or off,
    with Keras' or the fused batch normalization. All start from the same weights and train on the
    same few batches; a candidate whose loss is not finite or departs from the default's by more
    than 5 % in one of the first steps is rejected, one that is much slower is dropped after its
    first steps, one that raises is reported. The rest take turns, and the fastest wins if it is
    more than 3 % faster than the default, which otherwise stays.

    The default is what `build()` makes under the current global dtype policy. Without `candidates`
    those are tried that make sense here: bfloat16 where the CPU or a GPU has it, float16 on a GPU,
    jit on TensorFlow, the fused kernel if the model is sequential or functional and has batch
    normalization to exchange. What is left out is a row of the table, with its reason.

    The caller's data, dtype policy and random state (Python, NumPy, backend) are as before.
    Only unseeded `keras.random` functions called by `build` itself go on from where it left them.
    The choice is kept in `$KERASDNN_HOME/autotune` (or `~/.cache/kerasdnn/autotune`) for this
    machine, these versions, this model and batch size.

    Args:
        build: function without arguments that returns a fresh compiled model.
        x: array `(N, ...)` or nested arrays, the inputs; a few batches of the first rows are used.
        y: array `(N, ...)`, nested arrays or None, the targets.
        batch_size: int, the batch size to time, fixed: another one would be another training.
            Defaults to 128.
        candidates: list of dicts with some of the keys `precision`, `jit_compile` and
            `fused_batch_norm` (the default's value for those left out), tried even where this
            machine should be slow at them; None for the ones that make sense. Defaults to None.
        seconds: float, about how long it may take; one step of the default, if longer, always runs.
            Defaults to 20.0.
        cache: bool, whether to read and keep the choice on disk. Defaults to True.

    Returns:
        A `Choice`: `.precision`, `.jit_compile`, `.fused_batch_norm`, `.batch_size`, `.speedup`,
        `.table`, `.build()`, and a table when printed.

    Raises:
        TypeError: if `build()` returns no compiled model, or the data are not arrays.
        ValueError: for arrays of different lengths, or a candidate with an unknown key or policy.

    Example:
    >>> def build():
    ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    ...     model.compile("sgd", "mse")
    ...     return model
    >>> x, y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
    >>> choice = autotune(build, x, y, batch_size=4, candidates=[], cache=False)
    >>> choice.precision, choice.speedup, choice.table[0]["status"]
    ('float32', 1.0, 'chosen')
    >>> choice.build().count_params()
    5
    """
    batches = _batches(x, y, batch_size)
    with _random_state_kept() as rewind:
        reference = compiled(build())
        default = Setting(keras.config.dtype_policy().name, bool(reference.jit_compile), False)
        if candidates is None:
            settings, skipped = _sensible(default, reference)
        else:
            settings, skipped = _asked(default, candidates), []
        name = choice_cache.key(reference, batches, [default, *settings], seconds)
        stored = choice_cache.read(name) if cache else None
        if stored:
            return Choice(**(stored | {"cached": True}), builder=build)
        del reference
        trials = Trials(build, batches, default, rewind, seconds)
        best = trials.run(settings)
    choice = Choice(
        **dataclasses.asdict(best.setting),
        batch_size=batch_size,
        speedup=best.ratio,
        table=[*trials.table(best), *skipped],
        seconds=trials.elapsed(),
        cached=False,
        builder=build,
    )
    if cache:
        choice_cache.write(name, choice.to_dict())
    return choice


def _sensible(default, model):
    """Returns the settings worth trying here, the most promising first, and rows for the others."""
    from kerasdnn.layers.convert import conversion_problem  # layers are above runtime

    skipped, precisions = [], [default.precision]
    if default.precision in POLICIES:
        for policy in POLICIES:
            problem = precision_problem(policy)
            if policy == default.precision:
                continue
            if problem:
                skipped.append(table_row(policy, None, None, "skipped", problem))
            else:
                precisions.insert(0, policy)  # native reduced precision usually wins
    kernels = [False]
    layers = [
        layer for layer in model._flatten_layers() if type(layer) is keras.layers.BatchNormalization
    ]
    if layers:
        problem = conversion_problem(model)
        if not backend.current().FUSED_BATCH_NORM_DTYPES:
            problem = f"the {keras.backend.backend()} backend has no fused kernel to call"
        if problem:
            skipped.append(table_row(None, None, True, "skipped", problem))
        else:
            kernels.insert(0, True)
    jits = [default.jit_compile]
    jits += [jit for jit in backend.current().JIT_CHOICES if jit != default.jit_compile]
    settings = [Setting(p, j, k) for j in jits for k in kernels for p in precisions]
    return [setting for setting in settings if setting != default], skipped


def _asked(default, candidates):
    known = [field.name for field in dataclasses.fields(Setting)]
    for candidate in candidates:
        if unknown := sorted(set(candidate) - set(known)):
            raise ValueError(
                f"autotune expects candidates with the keys {', '.join(known)}; received "
                f"{', '.join(unknown)}. Change these in build() instead."
            )
        keras.dtype_policies.get(candidate.get("precision", default.precision))  # or ValueError
    settings = [dataclasses.replace(default, **candidate) for candidate in candidates]
    return [s for s in dict.fromkeys(settings) if s != default]


def _batches(x, y, batch_size):
    leaves = keras.tree.flatten((x, y))
    leaves = [leaf for leaf in leaves if leaf is not None]
    if not leaves or not all(hasattr(leaf, "shape") and len(leaf.shape) for leaf in leaves):
        raise TypeError(
            "autotune expects x and y to be arrays or nested arrays of N rows; received "
            f"{type(x).__name__} and {type(y).__name__}. Pass a few batches as arrays."
        )
    lengths = sorted({leaf.shape[0] for leaf in leaves})
    if len(lengths) > 1 or lengths[0] == 0:
        raise ValueError(
            "autotune expects x and y with the same, positive number of rows; received "
            f"{' and '.join(map(str, lengths))}. Cut them to the same length."
        )

    def rows(start):
        index = (np.arange(batch_size) + start) % lengths[0]  # few rows are repeated
        return keras.tree.map_structure(
            lambda leaf: None if leaf is None else np.take(_array(leaf), index, axis=0), (x, y)
        )

    return [rows(batch_size * number) for number in range(BATCHES)]


def _array(leaf):
    return leaf if isinstance(leaf, np.ndarray) else keras.ops.convert_to_numpy(leaf)


@contextlib.contextmanager
def _random_state_kept():
    """Yields a function that goes back to the random state at the start, as the end does too."""
    module = backend.current()
    # NumPy's global generator too: the caller's code may draw from it.
    states = random.getstate(), np.random.get_state(), module.get_rng_state()  # noqa: NPY002

    def rewind():
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        module.set_rng_state(states[2])

    try:
        yield rewind
    finally:
        rewind()
