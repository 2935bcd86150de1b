"""All that training changes in a model, kept and put back."""

import random

from kerasdnn import backend

import keras
import numpy as np


class Snapshot:
    """Weights, statistics, seeds and optimizer of a built model at one moment.

    With them the global random generators: on Torch a dropout layer without a seed of its own
    draws from there.

    An optimizer that has no state yet is built first: what is not there cannot be put back.

    Args:
        model: a built and compiled `keras.Model`.

    Raises:
        ValueError: the model is not built or not compiled.
    """

    def __init__(self, model):
        if not model.built or getattr(model, "optimizer", None) is None:
            raise ValueError(
                f"Expected a built and compiled model; '{model.name}' is not. Compile it, and "
                "call it on one batch first."
            )
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        variables = {id(v): v for v in [*model.variables, *model.optimizer.variables]}
        self._values = [(v, keras.ops.convert_to_numpy(v).copy()) for v in variables.values()]
        numpy_state = np.random.get_state()  # noqa: NPY002
        self._random = random.getstate(), numpy_state, backend.current().get_rng_state()

    def restore(self, model):
        """Puts every value back, bit for bit, and resets the metrics."""
        for variable, value in self._values:
            variable.assign(value)
        model.reset_metrics()
        random.setstate(self._random[0])
        np.random.set_state(self._random[1])  # noqa: NPY002
        backend.current().set_rng_state(self._random[2])
