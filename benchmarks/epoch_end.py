"""An epoch with Keras' own input and with kerasdnn's: what the end of an epoch costs on TensorFlow.

python benchmarks/epoch_end.py --rounds 4 --seconds 8

Every epoch of `fit` makes a new tf.data iterator, and closing it waits for the thread that tunes
it, which sleeps between its rounds for 10 ms and then for twice as long each time: an epoch may
wait for as long again as it took. The pipelines of kerasdnn, which `exact_fit` and all recipes use,
have no such thread. The model, its batches and their order are the same.
"""

import sys

from kerasdnn import bench

import keras
import numpy as np
from _models import batch_size, data, keras_model  # beside this script

REPEATS = 2  # times the few batches of the CNN make an epoch
ARRAYS = "fit on arrays"


class Batches(keras.utils.PyDataset):
    """The arrays as a user's own data set."""

    def __init__(self, x, y, size):
        super().__init__()
        self.x, self.y, self.size = x, y, size

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        return self.x[rows], self.y[rows]


def inputs(x, y, size):
    """Returns dict from candidate to the arguments of `fit`."""
    from kerasdnn.data import BatchPipeline, Pipeline

    return {
        ARRAYS: {"x": x, "y": y, "batch_size": size},
        "fit on a PyDataset": {"x": Batches(x, y, size)},
        "kerasdnn, arrays": {"x": Pipeline(x, y, batch_size=size, shuffle=False).rest(0)},
        "kerasdnn, PyDataset": {"x": BatchPipeline(Batches(x, y, size), shuffle=False).rest(0)},
    }


def main(argv=None):
    args = bench.parser(__doc__, rounds=4, seconds=8.0).parse_args(argv)
    if keras.backend.backend() != "tensorflow":
        print("skipped: only TensorFlow has such a thread")
        return 0
    x, y = data("cnn")
    x, y = np.tile(x, (REPEATS, 1, 1, 1)), np.tile(y, REPEATS)

    def candidate(arguments):
        model = keras_model("cnn", ours=False)
        model.fit(x[:256], y[:256], batch_size=256, verbose=0)  # compiles

        def work():
            model.fit(**arguments, shuffle=False, verbose=0)
            return 1

        return bench.Local(work)

    rates, facts, skipped = bench.interleave(
        {
            name: lambda arguments=arguments: candidate(arguments)
            for name, arguments in inputs(x, y, batch_size("cnn")).items()
        },
        rounds=args.rounds,
        seconds=args.seconds,
    )
    rows = bench.ratio_rows(rates, facts, skipped, ARRAYS, "epochs/s")
    bench.publish("epoch_end", {f"CNN, epochs of {len(x)} images": rows}, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
