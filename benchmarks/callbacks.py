"""What callbacks cost: time of an epoch with each, over that without, from the second epoch on.

python benchmarks/callbacks.py --models cnn mlp --rounds 3 --seconds 5
"""

import sys
import tempfile
import time

from kerasdnn import bench

import numpy as np
from _models import data, feed, keras_model  # beside this script

PLAIN = "no callback"
LIMIT = 1.03  # the doctor's at its default cadence
MLP_BATCH, MLP_STEPS, MLP_HIDDEN = 32, 250, 64
CNN_REPEATS = 3  # times the few batches of the CNN make an epoch


def epoch_of(model):
    """Returns a compiled model, the arrays of an epoch, and the batch size."""
    import keras

    if model == "cnn":
        x, y = data("cnn")
        x, y = np.tile(x, (CNN_REPEATS, 1, 1, 1)), np.tile(y, CNN_REPEATS)
        return keras_model("cnn", ours=False), x, y, 256
    random = np.random.default_rng(0)
    x = random.normal(size=(MLP_BATCH * MLP_STEPS, 784)).astype("float32")
    y = random.integers(0, 10, len(x))
    made = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(MLP_HIDDEN, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(keras.optimizers.SGD(0.01), loss)
    return made, x, y, MLP_BATCH


def made(name, x, y):
    """Returns the callbacks of a candidate; an AttributeError if this version has none."""
    from kerasdnn import callbacks

    if name == "GradientMonitor":
        return [callbacks.GradientMonitor()]
    if name == "TrainingDoctor":
        return [callbacks.TrainingDoctor()]
    if name == "TrainingDoctor, every step":
        return [callbacks.TrainingDoctor(every=1)]
    if name == "ExactResume":
        return [callbacks.ExactResume(tempfile.mkdtemp(prefix="kerasdnn-bench-"))]
    if name == "KNNProbe":
        return [callbacks.KNNProbe(x[:500], y[:500], x[500:700], y[500:700])]
    return []


CANDIDATES = (
    PLAIN,
    "GradientMonitor",
    "TrainingDoctor",
    "TrainingDoctor, every step",
    "ExactResume",
    "KNNProbe",
)


class Epochs:
    """A candidate whose turn is one `fit`; its first epoch, with all compiling, counts apart."""

    def __init__(self, model, name):
        self.name = name
        self.model, self.x, self.y, size = epoch_of(model)
        self.arrays = feed(self.x, self.y, size)
        try:
            made(name, self.x, self.y)
        except AttributeError as error:
            raise bench.SkippedError(str(error)) from None
        self.facts = {"first epoch, s": None}
        self.fit(2)
        self.first = [self.first_seconds]

    def fit(self, epochs):
        """Returns the seconds of the epochs after the first."""
        import keras

        ends = []
        clock = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter())
        )
        begin = time.perf_counter()
        self.model.fit(
            **self.arrays,
            epochs=epochs,
            verbose=0,
            callbacks=[*made(self.name, self.x, self.y), clock],  # of their own: it begins anew
        )
        self.first_seconds = ends[0] - begin
        return (ends[-1] - ends[0]) / (epochs - 1)

    def turn(self, seconds):
        """Returns samples per second from the second epoch on."""
        if not hasattr(self, "epochs"):
            self.epochs = 1 + max(2, round(seconds / max(self.fit(2), 1e-3)))
        rate = len(self.x) / self.fit(self.epochs)
        self.first.append(self.first_seconds)
        self.facts["first epoch, s"] = round(float(np.median(self.first[1:])), 2)
        return rate

    def close(self):
        """Nothing to end."""


def main(argv=None):
    flags = bench.parser(__doc__, rounds=3, seconds=5.0)
    flags.add_argument("--models", nargs="*", choices=("cnn", "mlp"), default=["cnn", "mlp"])
    args = flags.parse_args(argv)
    tables = {}
    for model in args.models:
        rates, facts, skipped = bench.interleave(
            {name: lambda name=name, model=model: Epochs(model, name) for name in CANDIDATES},
            rounds=args.rounds,
            seconds=args.seconds,
        )
        rows = bench.ratio_rows(rates, facts, skipped, PLAIN, "samples/s")
        plain = next((row["first epoch, s"] for row in rows if row["candidate"] == PLAIN), None)
        for row in rows:
            if row.get("ratio"):
                row["time over no callback"] = round(1 / row["ratio"], 3)
            if plain is not None and row.get("first epoch, s") is not None:
                row["start-up, s"] = round(row["first epoch, s"] - plain, 2)
        tables[f"{model}: an epoch from the second on (limit of the doctor {LIMIT})"] = rows
    bench.publish("callbacks", tables, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
