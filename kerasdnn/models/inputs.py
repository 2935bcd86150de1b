"""What is wrong with the data of a `fit`, found before its first step."""

import keras
import numpy as np


def check_finite(name, x):
    """Refuses NaN and infinities; data that are no NumPy arrays pass unseen."""
    for array in keras.tree.flatten(x):
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            continue
        bad = ~np.isfinite(array)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{name} expects finite inputs; received {int(bad.sum())} values that are NaN or "
                f"infinite, the first at {first}. Clean or drop those samples."
            )


def check_shape(name, x, expected):
    """Refuses arrays whose samples have another shape than the network's input."""
    shape = getattr(x, "shape", None)
    if shape is None:
        return
    fits = len(shape) == len(expected) and all(
        want is None or got == want for got, want in zip(shape[1:], expected[1:])
    )
    if not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in expected[1:])
        raise ValueError(
            f"{name} expects inputs (N, {wanted}), as its network takes them; received "
            f"{tuple(shape)}. Reshape the data, or build the network for them."
        )


def check_last_batch(name, x, batch_size):
    """Refuses a batch of one sample, which has no others to be compared with."""
    if not hasattr(x, "shape"):
        return
    samples, size = len(x), batch_size or 32
    last = samples % size or size
    if min(last, samples) == 1:
        raise ValueError(
            f"{name} compares the samples of a batch and expects at least 2 in each; {samples} "
            f"samples in batches of {size} leave a batch of one. Change batch_size, or drop a "
            "sample."
        )


def check_rescaled(name, x, network):
    """Refuses images of another range than the one that the network's `Rescaling` is made for."""
    if not isinstance(x, np.ndarray) or x.size == 0:
        return
    for layer in getattr(network, "layers", ()):
        if isinstance(layer, keras.layers.Rescaling) and np.ndim(layer.scale) == 0:
            low, high = float(x.min()), float(x.max())
            spread = (high - low) * abs(float(layer.scale))
            if not 0.05 <= spread <= 20.0:
                raise ValueError(
                    f"{name} expects images of the range that the network's Rescaling(scale="
                    f"{float(layer.scale):.3g}) brings to about 1; received values from {low:g} to "
                    f"{high:g}, which it brings to a spread of {spread:.3g}. Give pixels 0 to 255, "
                    "or change that layer."
                )
            return
