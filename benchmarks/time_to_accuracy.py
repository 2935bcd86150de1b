"""Time to the accuracy of Keras' plain MNIST-style convnet on Fashion-MNIST.

python benchmarks/time_to_accuracy.py --rounds 3      (about 4 minutes a round)

Whole trainings take turns, a seed a round: the plain convnet of keras.io with Keras' defaults, and
both settings of recipes/vision/fast_cnn.py as the recipe runs them. The clock starts at the end of
the first step, which also compiles, and stands while the test images are looked at.
"""

import importlib.util
import statistics
import sys
import time

from kerasdnn import bench, catalog, data
from kerasdnn.runtime import autotune

import keras
import numpy as np

PLAIN = "plain convnet, Keras defaults"
ACCURACY = 0.901  # of the plain convnet after its 15 epochs


class Clock(keras.callbacks.Callback):
    """Seconds of training, by the wall and of all cores, and at which an accuracy was reached."""

    def __init__(self, measure):
        super().__init__()
        self.measure = measure
        self.running = self.reached = None
        self.total = np.zeros(2)

    def on_train_batch_end(self, batch, logs=None):
        self.running = self.running if self.running is not None else now()

    def on_epoch_end(self, epoch, logs=None):
        self.total += now() - self.running
        self.accuracy = self.measure(self.model)
        if self.reached is None and self.accuracy >= ACCURACY:
            self.reached = self.total.copy()
        self.running = now()


def now():
    """Returns the seconds of the wall clock and of the process."""
    return np.array([time.perf_counter(), time.process_time()])


def fast_cnn():
    """Returns the recipe as a module."""
    path = catalog.recipes_folder() / "vision" / "fast_cnn.py"
    spec = importlib.util.spec_from_file_location("fast_cnn", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(recipe, dataset, setting, seed, epochs=None):
    """Trains the plain convnet, or the fast one by a setting; returns the numbers of a row."""
    keras.utils.set_random_seed(seed)
    shape, classes = dataset.x_train.shape[1:], len(dataset.class_names)
    clock = Clock(lambda model: recipe.evaluate(model, dataset, mirror=setting is not None))
    if setting is None:
        model = recipe.build_plain(shape, classes)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(
            dataset.x_train,
            dataset.y_train,
            batch_size=recipe.PLAIN_BATCH,
            epochs=epochs or recipe.PLAIN_EPOCHS,
            verbose=0,
            callbacks=[clock],
        )
    else:
        views = recipe.Views(dataset.x_train, dataset.y_train, shift=setting["shift"], seed=seed)
        epochs = epochs or setting["epochs"]
        choice = autotune(
            lambda: recipe.compiled(shape, classes, setting, epochs * len(views)),
            dataset.x_train,
            dataset.y_train,
            batch_size=recipe.BATCH,
        )
        model = choice.build()
        if keras.backend.backend() == "tensorflow":
            views = data.BatchPipeline(views, shuffle=False).rest(0)
        model.fit(views, epochs=epochs, shuffle=False, verbose=0, callbacks=[clock])
    reached = clock.reached if clock.reached is not None else [None, None]
    return {
        "accuracy": clock.accuracy,
        "seconds": clock.total[0],
        "CPU seconds": clock.total[1],
        f"seconds to {ACCURACY}": reached[0],
        f"CPU seconds to {ACCURACY}": reached[1],
    }


def summary(name, rounds, plain):
    """Returns a table row: means over the rounds; the ratios are medians of those in a round."""
    row = {"candidate": name}
    for key in rounds[0]:
        values = [each[key] for each in rounds]
        row[key] = None if None in values else round(statistics.fmean(values), 4)
    arrived = f"seconds to {ACCURACY}"
    for title, key, ours in (
        ("ratio", "seconds", arrived),
        ("CPU ratio", "CPU seconds", f"CPU {arrived}"),
    ):
        ratios = [p[key] / r[ours] for p, r in zip(plain, rounds, strict=True) if r[ours]]
        row[title] = round(statistics.median(ratios), 2) if len(ratios) == len(rounds) else None
    return row


def main(argv=None):
    flags = bench.parser(__doc__, rounds=1)
    flags.add_argument("--images", type=int, help="training images (default: all)")
    flags.add_argument("--epochs", type=int, help="of every candidate (default: their own)")
    args = flags.parse_args(argv)
    recipe, dataset = fast_cnn(), data.load("fashion_mnist", limit=args.images)
    settings = {PLAIN: None}
    settings |= {f"fast_cnn, {s['epochs']} epochs": s for s in (recipe.SPRINT, recipe.FULL)}
    found = {name: [] for name in settings}
    for number in range(args.rounds):
        for name, setting in settings.items():
            found[name].append(train(recipe, dataset, setting, number, args.epochs))
            print(f"round {number + 1}/{args.rounds}: {name}: {found[name][-1]}")
    rows = [summary(name, rounds, found[PLAIN]) for name, rounds in found.items()]
    title = f"Fashion-MNIST: the plain convnet's whole training over the time to {ACCURACY}"
    bench.publish("time_to_accuracy", {title: rows}, args, {"rounds": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
