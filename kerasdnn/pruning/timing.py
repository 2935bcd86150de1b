"""How long a prediction takes."""

import time

import keras
import numpy as np


def latency(models, batch_size, *, rounds=5):
    """Returns the milliseconds of one prediction of each model, medians of alternating rounds.

    Args:
        models: list of `keras.Model` with the same inputs.
        batch_size: int.
        rounds: int, measurements of each; the first call, which compiles, is not counted.
    """
    random = np.random.default_rng(0)

    def batch(tensor):
        shape = (batch_size, *(n or 1 for n in tensor.shape[1:]))
        if "int" in keras.backend.standardize_dtype(tensor.dtype):
            return np.zeros(shape, tensor.dtype)
        return random.normal(size=shape).astype(tensor.dtype)

    inputs = [batch(tensor) for tensor in models[0].inputs]
    inputs = inputs[0] if len(inputs) == 1 else inputs
    times = [[] for _ in models]
    for number in range(rounds + 1):
        for model, found in zip(models, times, strict=True):
            begin = time.perf_counter()
            model.predict_on_batch(inputs)
            if number:
                found.append(1000 * (time.perf_counter() - begin))
    return [float(np.median(found)) for found in times]
