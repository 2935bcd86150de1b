"""The limit of this machine: its measured matrix and convolution rates, and a training's share.

python benchmarks/limit.py --rounds 5 --seconds 1
"""

import functools
import statistics
import sys

from kerasdnn import bench

import keras
import numpy as np
from _models import batch_size, data, feed, keras_model  # beside this script

CONVOLUTIONS = ((14, 64, 64), (7, 128, 128), (14, 128, 128), (14, 256, 256))  # side, in, out
MATRICES = (1024, 2048)
BATCH = 256

random = np.random.default_rng(0).standard_normal


def convolution(side, before, after, dtype):
    """Returns a candidate whose unit is one multiply-add pair, counted as two FLOP."""
    x = keras.ops.cast(random((BATCH, side, side, before)), dtype)
    kernel = keras.ops.cast(random((3, 3, before, after)), dtype)
    flop = 2 * BATCH * side * side * 9 * before * after
    return bench.Local(lambda: _force(keras.ops.conv(x, kernel, padding="same")) * flop)


def matrix(size, dtype):
    """Returns a candidate that multiplies two square matrices."""
    x = keras.ops.cast(random((size, size)), dtype)
    return bench.Local(lambda: _force(keras.ops.matmul(x, x)) * 2 * size**3)


def _force(tensor):
    """Waits for the result; returns 1."""
    keras.ops.convert_to_numpy(keras.ops.ravel(tensor)[:1])
    return 1


def flop_of_training(model):
    """Returns the FLOP of one training step an image: three times the forward convolutions.

    The first convolution needs no gradient of its input, hence two times.
    """
    total = 0
    for index, layer in enumerate(x for x in model.layers if isinstance(x, keras.layers.Conv2D)):
        _, height, width, after = layer.output.shape
        before = layer.input.shape[-1]
        forward = 2 * height * width * np.prod(layer.kernel_size) * before * after
        total += forward * (3 if index else 2)
    return int(total)


def training(dtype):
    """Returns the CNN's training step as kerasdnn runs it, its unit one FLOP of convolution."""
    x, y = data("cnn")
    keras.config.set_dtype_policy("float32" if dtype == "float32" else f"mixed_{dtype}")
    model = keras_model("cnn", ours=True)
    keras.config.set_dtype_policy("float32")
    if keras.backend.backend() == "tensorflow":
        model.jit_compile = False
    flop = flop_of_training(model) * len(x)

    arrays = feed(x, y, batch_size("cnn"))

    def work():
        model.fit(**arrays, verbose=0)
        return flop

    return bench.Local(work)


def main(argv=None):
    args = bench.parser(__doc__, rounds=5, seconds=1.0).parse_args(argv)
    tables, shares = {}, {}
    for dtype in ("float32", "bfloat16"):
        starts = {
            f"convolution {side} x {side}, {a} to {b}": functools.partial(
                convolution, side, a, b, dtype
            )
            for side, a, b in CONVOLUTIONS
        }
        starts |= {f"matrices {n}": functools.partial(matrix, n, dtype) for n in MATRICES}
        starts["training step of the CNN"] = functools.partial(training, dtype)
        rates, facts, skipped = bench.interleave(starts, rounds=args.rounds, seconds=args.seconds)
        medians = {name: statistics.median(values) for name, values in rates.items()}
        best = max((n for n in medians if n.startswith("convolution")), key=medians.get)
        shares[dtype] = medians["training step of the CNN"] / medians[best]
        rates = {name: [value / 1e9 for value in values] for name, values in rates.items()}
        title = f"{dtype}, {keras.backend.backend()}: share of the best convolution"
        tables[title] = bench.ratio_rows(rates, facts, skipped, best, "GFLOP/s")
    bench.publish("limit", tables, args, {"share_of_convolution_rate": shares})
    return 0


if __name__ == "__main__":
    sys.exit(main())
