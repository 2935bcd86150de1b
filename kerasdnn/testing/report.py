"""What a check returns, how it fails, and the comparisons that all checks share."""

import dataclasses

import keras
import numpy as np


class CheckError(AssertionError):
    """A check did not hold; the message says what was expected and what came."""


@dataclasses.dataclass
class Report:
    """What was checked and what was not.

    Args:
        subject: str, the name of the layer, loss or model.
        done: list of str, the checks that held, in order.
        skipped: dict from check to the reason why it did not run.
    """

    subject: str
    done: list = dataclasses.field(default_factory=list)
    skipped: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        lines = [f"{self.subject}: {len(self.done)} checks held: {', '.join(self.done)}."]
        lines += [f"  not checked: {name}: {reason}." for name, reason in self.skipped.items()]
        return "\n".join(lines)

    def require(self, condition, sentence):
        """Raises `CheckError` with the subject's name in front of the sentence."""
        if not condition:
            raise CheckError(f"{self.subject}: {sentence}")

    def close(self, actual, expected, what, *, rtol, atol):
        """Requires two lists of arrays to be equal up to the tolerance."""
        self.require(
            len(actual) == len(expected),
            f"expected {len(expected)} outputs {what}; received {len(actual)}.",
        )
        for got, want in zip(actual, expected, strict=True):
            self.require(
                got.shape == want.shape,
                f"expected shape {want.shape} {what}; received {got.shape}.",
            )
            if got.size and not np.allclose(got, want, rtol=rtol, atol=atol, equal_nan=True):
                worst = np.max(np.abs(got.astype("float64") - want.astype("float64")))
                self.require(
                    False,
                    f"expected equal outputs {what}; the largest difference is {worst:.3g} "
                    f"(rtol {rtol:g}, atol {atol:g}).",
                )

    def finite(self, arrays, what):
        """Requires every number to be finite."""
        for array in arrays:
            bad = int(np.sum(~np.isfinite(array)))
            self.require(
                not bad, f"expected finite numbers {what}; {bad} of {array.size} are NaN or Inf."
            )


def arrays_of(outputs):
    """The leaves of `outputs` as a flat list of NumPy arrays; low-precision floats widened."""
    leaves = []
    for leaf in keras.tree.flatten(outputs):
        array = keras.ops.convert_to_numpy(leaf)
        # NumPy has no bfloat16 of its own: files and comparisons use float32.
        leaves.append(array.astype("float32") if is_float(leaf) else array)
    return leaves


def narrow(arrays):
    """Turns NumPy's default widths into Keras': float64 into float32, int64 into int32."""
    widths = {"float64": "float32", "int64": "int32"}

    def one(array):
        if array is None:
            return None
        dtype = keras.backend.standardize_dtype(array.dtype)
        return keras.ops.convert_to_numpy(array).astype(widths[dtype]) if dtype in widths else array

    return keras.tree.map_structure(one, arrays)


def is_float(tensor):
    """Whether it is a tensor or array of floats of any width, bfloat16 included."""
    return tensor is not None and "float" in keras.backend.standardize_dtype(tensor.dtype)


def init_arguments(init_kwargs):
    """The keyword arguments of one instance; a function makes fresh ones for each."""
    return dict(init_kwargs() if callable(init_kwargs) else init_kwargs)
