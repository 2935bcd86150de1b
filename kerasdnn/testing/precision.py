"""What half precision may change: little, and never to NaN or Inf."""

from kerasdnn.testing.report import arrays_of, is_float
from kerasdnn.testing.shapes import dtypes_of

import keras
import numpy as np

# The largest share of the output's size by which a policy may move it.
_LOSS = {"mixed_float16": 0.02, "mixed_bfloat16": 0.1}


def require_precision(report, outputs, expected, policy, where):
    """Requires outputs in the policy's compute dtype, finite, and close to those in float32."""
    compute = keras.DTypePolicy(policy).compute_dtype
    for leaf, dtype in zip(keras.tree.flatten(outputs), dtypes_of(outputs), strict=True):
        report.require(
            dtype == compute or not is_float(leaf),
            f"expected outputs of {compute} {where}; received {dtype}.",
        )
    arrays = arrays_of(outputs)
    report.finite(arrays, where)
    limit = _LOSS.get(policy, 1e-5)
    for got, want in zip(arrays, expected, strict=True):
        error = np.linalg.norm(got.astype("float64") - want)
        size = np.linalg.norm(want.astype("float64"))
        report.require(
            error <= limit * max(size, 1.0),
            f"expected outputs within {limit:g} of the size of those in float32 {where}; they "
            f"differ by {error:.3g} at a size of {size:.3g}.",
        )
