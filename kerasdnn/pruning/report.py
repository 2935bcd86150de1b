"""How sparse a model is, and what that is worth in bytes."""

import zlib
from dataclasses import dataclass

from kerasdnn.pruning.masks import prunable_weights

import keras
import numpy as np


@dataclass(frozen=True)
class SparsityReport:
    """What `sparsity_report` returns; printing it gives the table.

    Attributes:
        rows: one dictionary a kernel: layer, shape, weights, zeros, sparsity, bytes, compressed.
        sparsity: float, share of zeros in all kernels that can be pruned.
        parameters: int, all weights of the model.
        nonzero: int, those that are not zero.
        bytes: int, all weights as they are stored.
        compressed_bytes: int, the same after `zlib`, as in a compressed file.
    """

    rows: list
    sparsity: float
    parameters: int
    nonzero: int
    bytes: int
    compressed_bytes: int

    def __str__(self):
        width = max([len(row["layer"]) for row in self.rows] + [5])
        lines = [
            f"{'layer':<{width}}  {'shape':>18}  {'zeros':>10}  {'sparsity':>8}  "
            f"{'bytes':>11}  {'compressed':>11}"
        ]
        lines += [
            f"{row['layer']:<{width}}  {'x'.join(map(str, row['shape'])):>18}  {row['zeros']:>10,}"
            f"  {row['sparsity']:>8.4f}  {row['bytes']:>11,}  {row['compressed']:>11,}"
            for row in self.rows
        ]
        lines.append(
            f"sparsity of these {self.sparsity:.4f}; the whole model: {self.nonzero:,} of "
            f"{self.parameters:,} parameters are not zero, {self.bytes:,} bytes, "
            f"{self.compressed_bytes:,} compressed"
        )
        return "\n".join(lines)


def sparsity_report(model, ignored=()):
    """Counts the zeros of every kernel, and the bytes before and after compression.

    Zeros alone make no model faster: the arrays keep their shape. They make its compressed file
    smaller, and that is measured here; for speed see `prune_channels`.

    Args:
        model: a built `keras.Model`.
        ignored: layers to leave out of the rows, as for `PruneToSparsity`.

    Returns:
        SparsityReport: print it, or read its attributes.

    Example:
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.eye(4, 2), np.zeros(2)])
    >>> sparsity_report(model).sparsity
    0.75
    """
    items = prunable_weights(model, ignored)
    rows = []
    for item in items:
        value = item.value()
        zeros = int(value.size - np.count_nonzero(value))
        rows.append(
            {
                "layer": item.path.rpartition("/")[0],
                "shape": tuple(value.shape),
                "weights": int(value.size),
                "zeros": zeros,
                "sparsity": zeros / value.size,
                "bytes": int(value.nbytes),
                "compressed": _compressed(value),
            }
        )
    arrays = [keras.ops.convert_to_numpy(w) for w in model.weights]
    total = sum(row["weights"] for row in rows)
    return SparsityReport(
        rows=rows,
        sparsity=sum(row["zeros"] for row in rows) / total if total else 0.0,
        parameters=int(sum(a.size for a in arrays)),
        nonzero=int(sum(np.count_nonzero(a) for a in arrays)),
        bytes=int(sum(a.nbytes for a in arrays)),
        compressed_bytes=sum(_compressed(a) for a in arrays),
    )


def _compressed(array):
    return len(zlib.compress(np.ascontiguousarray(array).tobytes(), 6))
