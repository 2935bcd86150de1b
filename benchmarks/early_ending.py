"""Time of the same trials with and without ending the hopeless ones early, and the best score.

python benchmarks/early_ending.py --seeds 3

Random search, so that both see the same points: networks on bundled Fashion-MNIST, among them some
whose rate is far too high or too low.
"""

import statistics
import sys
import tempfile

from kerasdnn import bench

TRIALS, EPOCHS, IMAGES, BATCH = 16, 15, 8000, 64


def build(hp):
    """Returns a compiled network."""
    import keras
    from keras import layers

    activation = hp.Choice("activation", ["relu", "tanh", "sigmoid"])
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.Rescaling(1 / 255), layers.Flatten()]
    )
    for _ in range(hp.Int("depth", 1, 4)):
        model.add(layers.Dense(hp.Int("units", 64, 256, step=64), activation=activation))
    model.add(layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(hp.Float("rate", 1e-4, 10.0, sampling="log"), momentum=0.9)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    return model


def search(x, y, seed, early):
    """Returns seconds and epochs of all trials, the best score, and how many ended early."""
    from kerasdnn.tuning import tune

    with tempfile.TemporaryDirectory() as folder:
        found = tune(
            build,
            x,
            y,
            strategy="random",
            trials=TRIALS,
            epochs=EPOCHS,
            batch_size=BATCH,
            early_ending=early,
            minutes=600,  # both write how long each trial took
            final=False,
            seed=seed,
            directory=folder,
        )
    rows = found.table
    seconds, epochs = (sum(row[key] for row in rows) for key in ("seconds", "epochs"))
    ended = sum(row["ended"] is not None for row in rows)
    return seconds, epochs, rows[0]["score"], ended


def main(argv=None):
    parser = bench.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args(argv)
    from kerasdnn import data

    dataset = data.load("fashion_mnist_bundled", limit=IMAGES)
    rows, ratios = [], []
    for seed in range(args.seeds):
        pair = {}
        for early in (False, True) if seed % 2 else (True, False):  # machines drift
            pair[early] = search(dataset.x_train, dataset.y_train, seed, early)
        for early, (seconds, epochs, best, ended) in sorted(pair.items()):
            rows.append(
                {
                    "candidate": f"{'ended early' if early else 'all epochs'}, seed {seed}",
                    "seconds": round(seconds, 1),
                    "epochs": epochs,
                    "best": round(best, 4),
                    "ended": ended,
                    "ratio": round(seconds / pair[False][0], 3),
                    "ratio of epochs": round(epochs / pair[False][1], 3),
                }
            )
        ratios.append((rows[-1]["ratio"], rows[-1]["ratio of epochs"]))
    rows.append(
        {
            "candidate": "ended early, median",
            "ratio": statistics.median(r for r, _ in ratios),
            "ratio of epochs": statistics.median(r for _, r in ratios),
        }
    )
    bench.publish("early_ending", {f"{TRIALS} trials of {EPOCHS} epochs": rows}, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
