"""Tuning a CNN on Fashion-MNIST: architecture and hyper-parameters.

Shows     what a search buys over reasonable defaults, and Bayesian search that ends hopeless
          trials over random search in the same wall-clock time, of which every trial is whole
Concept   AutoML: model choice and hyper-parameters
Paper     Snoek et al. (2012), Practical Bayesian Optimization, arXiv:1206.2944; Golovin et al.
          (2017), Google Vizier (the median rule)
Data      fashion_mnist_bundled, 10,000 / 2,000
Expect    not measured yet
Target    none is published for this number of images
Run       python recipes/automl/tune_cnn.py          --quick: under 30 s
Change    `build`, TRIALS, SEARCH_EPOCHS
"""

import sys
import time

from kerasdnn.data import validation_split
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe
from kerasdnn.tuning import figures, tune

import keras
import keras_tuner
import numpy as np
from keras import layers

# --- Settings -------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
TRIALS = 14  # of the Bayesian search; random search gets as many minutes, however many trials
SEARCH_IMAGES = 5000  # a trial learns from some of them and is judged by the rest
VALIDATION = 0.4  # the share it is judged by: 600 images would tell 1.4 points, 2000 tell 0.8
SEARCH_EPOCHS = 6  # of a trial that is not ended early; fewer would choose what learns fast
EPOCHS = 8  # of the final training, on all training images
QUICK = {"trials": 1, "images": 250, "epochs": 1}
BATCH = 128  # images a step
# A textbook CNN, which the Bayesian search begins with; the rate is the peak of a cycle.
DEFAULTS = {"width": 16, "stages": 2, "batch_norm": False, "dropout": 0.25, "rate": 2e-3}
GATES = {"fashion_mnist_bundled": Gate(0.85, gain=0.0)}


# --- Model ---------------------------------------------------------------------------------------
def space(hp):
    """Returns a value for each hyper-parameter, the defaults where `hp` is None."""
    if hp is None:
        return DEFAULTS
    return {
        "width": hp.Int("width", 8, 24, step=8, default=DEFAULTS["width"]),
        "stages": hp.Int("stages", 1, 3, default=DEFAULTS["stages"]),
        "batch_norm": hp.Boolean("batch_norm", default=DEFAULTS["batch_norm"]),
        "dropout": hp.Float("dropout", 0.0, 0.5, step=0.125, default=DEFAULTS["dropout"]),
        "rate": hp.Float("rate", 1e-4, 1e-1, sampling="log", default=DEFAULTS["rate"]),
    }


def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10):
    """Returns the network, pixels to logits."""
    chosen = space(hp)
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for stage in range(chosen["stages"]):  # 14, 7, 4 pixels; the width doubles
        width = chosen["width"] * 2**stage
        x = layers.Conv2D(width, 3, strides=1 if stage else 2, padding="same")(x)
        x = layers.BatchNormalization()(x) if chosen["batch_norm"] else x
        x = layers.Activation("relu")(x)
        x = layers.MaxPooling2D(padding="same")(x) if stage else x
    x = layers.Flatten()(x)
    x = layers.Dropout(chosen["dropout"])(x)
    logits = layers.Dense(classes, dtype="float32")(x)  # (B, 10)
    return keras.Model(inputs, logits, name="tuned_cnn")


def compiled(hp, dataset, run, epochs, images):
    """Returns the network ready for a training of so many epochs and images."""
    model = build(hp, dataset.x_train.shape[1:], len(dataset.class_names))
    rate = OneCycle(space(hp)["rate"], epochs * -(-images // BATCH))
    loss = SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.Adam(rate), loss, metrics=["accuracy"], jit_compile=run.jit_compile
    )
    return model


# --- Search --------------------------------------------------------------------------------------
def search(dataset, run, seed, *, strategy, minutes=None):
    """Returns the best hyper-parameters, the trials, and how long it took in minutes."""
    images = QUICK["images"] if run.quick else SEARCH_IMAGES
    epochs = QUICK["epochs"] if run.quick else SEARCH_EPOCHS
    trials = QUICK["trials"] if run.quick else TRIALS
    _, (x, y) = validation_split(dataset, min(images, round(0.6 * len(dataset.x_train))), seed)

    def hypermodel(hp):
        return compiled(hp, dataset, run, epochs, round((1 - VALIDATION) * images))

    begin = time.perf_counter()
    tuned = tune(
        hypermodel,
        x,
        y,
        strategy=strategy,
        validation=VALIDATION,
        trials=trials if minutes is None or run.quick else 10 * trials,
        minutes=minutes,
        epochs=epochs,
        batch_size=BATCH,
        # With --quick not, because a step that is observed would be compiled, too.
        early_ending=strategy == "bayesian" and not run.quick,
        final=False,
        seed=seed,
        directory=run.folder / "search" / f"{strategy}-{seed}",
        say=run.say,
    )
    return tuned, (time.perf_counter() - begin) / 60


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run, values=None):
    """Trains one network with the given hyper-parameters; returns it and its history."""
    epochs = QUICK["epochs"] if run.quick else EPOCHS
    hp = None
    if values is not None:
        hp = keras_tuner.HyperParameters()
        hp.values = dict(values)
    model = compiled(hp, dataset, run, epochs, len(dataset.x_train))
    history = run.fit(
        model, dataset.x_train, dataset.y_train, batch_size=BATCH, epochs=epochs, label=run.current
    )
    return model, history


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset):
    """Returns the test accuracy; no search has seen these images."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist_bundled", gates=GATES)
def main(run):
    dataset = run.load(task="image", image_size=IMAGE_SIZE, quick_limit=500)
    panels = []

    def by_default(seed):
        model, history = train(dataset, run)
        return Trial(evaluate(model, dataset), model, history)

    def searched(strategy):
        def once(seed):
            minutes = None
            if strategy == "random":  # as long as the other search took
                minutes = run.progress[f"tuned/{seed}"]["columns"]["search_minutes"]
            tuned, minutes = search(dataset, run, seed, strategy=strategy, minutes=minutes)
            run.say(f"{strategy}: {tuned.values}")
            if strategy == "bayesian" and not panels:
                space_of, objective = tuned.tuner.oracle.get_space(), tuned.tuner.oracle.objective
                panels.append(
                    lambda axis: figures.parallel_coordinates(
                        axis, tuned.table, space_of, objective
                    )
                )
            model, history = train(dataset, run, tuned.values)
            ended = sum(row["ended"] is not None for row in tuned.table)
            facts = {"trials": len(tuned.table), "ended_early": ended, "search_minutes": minutes}
            return Trial(evaluate(model, dataset), model, history, facts)

        return once

    run.row("default hyper-parameters", by_default, role="control")
    run.row("tuned", searched("bayesian"), role="technique")
    run.row("random search, same minutes", searched("random"))
    run.finish(save_inputs=dataset.x_test[:256], panels=panels)


if __name__ == "__main__":
    sys.exit(main())
