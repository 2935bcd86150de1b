"""Regularization of a net that has few data.

Shows     how far training and test accuracy stand apart without regularization, and what each
          method does about it at its own tuned strength
Concept   L1, L2, dropout, normalization
Paper     Srivastava et al. (2014), Dropout, JMLR 15; Ioffe, Szegedy (2015), Batch Normalization,
          arXiv:1502.03167; Szegedy et al. (2015), label smoothing, arXiv:1512.00567
Data      fashion_mnist, 2,000 of its training images / 10,000 (bundled: / 2,000)
Expect    0.8209 ± 0.0008 (3 seeds), 0.2 min a run; control 0.8163
Target    none published for so few images
Run       python recipes/basics/regularization.py          --quick: under 30 s
Change    METHODS, FEW, HIDDEN
"""

import sys

from kerasdnn.layers import FusedBatchNormalization
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
# How the strengths are tuned: each method trains once with each of its strengths, with a seed that
# the table does not use; the best accuracy on held-out training images, the same for all, counts.
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
FEW = 2000  # training images, so that the net can learn them by heart
HELD_OUT = 5000  # further training images, for tuning and for early stopping
HIDDEN = (256, 256)  # units
EPOCHS, QUICK_EPOCHS = 25, 4
BATCH = 100  # images a step
RATE = 1e-3  # Adam's learning rate
TUNING_SEED = 1000
GATES = {
    "fashion_mnist": Gate(0.80, gain=0.003),
    "fashion_mnist_bundled": Gate(0.78, gain=0.003),
}

METHODS = {  # and the strengths that are tried
    "none": (0.0,),
    "L1": (3e-5, 1e-4, 3e-4),
    "L2": (3e-4, 1e-3, 3e-3),
    "weight decay": (0.1, 0.5, 2.0),
    "dropout": (0.2, 0.4, 0.6),
    "Gaussian noise": (0.2, 0.4, 0.8),  # standard deviation, on pixels of -1 to 1
    "batch normalization": (0.9, 0.99),  # momentum of the moving statistics
    "label smoothing": (0.1, 0.2, 0.4),
    "early stopping": (1, 3, 6),  # epochs without a lower held-out loss
    "dropout and L2": (0.1, 0.3, 1.0),  # of the L2 that is best alone, beside the best dropout
}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10, *, l1=0.0, l2=0.0, **options):
    """Returns the network, pixels to logits.

    Args:
        hp: hyper-parameters of Keras Tuner, which then choose L2 and dropout.
        input_shape: shape of an image.
        classes: int.
        l1: float, strength of the penalty on the sum of the kernels' absolute values.
        l2: float, the same for the squares.
        **options: `dropout` (rate), `noise` (standard deviation), `momentum` of a batch
            normalization after each hidden layer; what is left out is not in the network.
    """
    if hp is not None:
        l2 = hp.Float("l2", 1e-5, 1e-2, sampling="log")
        options = {"dropout": hp.Float("dropout", 0.0, 0.7, step=0.1)}
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Flatten()(x)  # (B, 784)
    if options.get("noise"):
        x = layers.GaussianNoise(options["noise"])(x)
    for units in HIDDEN:
        penalty = keras.regularizers.L1L2(l1, l2) if l1 or l2 else None
        x = layers.Dense(units, kernel_initializer="he_normal", kernel_regularizer=penalty)(x)
        if options.get("momentum"):
            x = FusedBatchNormalization(momentum=options["momentum"])(x)
        x = layers.Activation("relu")(x)
        if options.get("dropout"):
            x = layers.Dropout(options["dropout"])(x)
    logits = layers.Dense(classes, dtype="float32")(x)  # (B, 10)
    return keras.Model(inputs, logits, name="mlp")


# --- Train ---------------------------------------------------------------------------------------
def options_of(method, strength, tuned):
    """Returns what a method passes to `build`; `tuned` holds the strengths found so far."""
    if method == "dropout and L2":
        return {"dropout": tuned["dropout"], "l2": tuned["L2"] * strength}
    argument = {
        "L1": "l1",
        "L2": "l2",
        "dropout": "dropout",
        "Gaussian noise": "noise",
        "batch normalization": "momentum",
    }.get(method)
    return {argument: strength} if argument else {}


def train(data, run, *, use_technique=True, method=None, strength=None, tuned=None):
    """Trains with dropout (the control: nothing), or with another method."""
    method = method or ("dropout" if use_technique else "none")
    strength = METHODS[method][0] if strength is None else strength
    x, y = data["train"]

    def compiled():
        classes, options = data["classes"], options_of(method, strength, tuned)
        model = build(None, x.shape[1:], classes, **options)
        decay = strength if method == "weight decay" else 0.0
        smoothing = strength if method == "label smoothing" else 0.0
        model.compile(
            keras.optimizers.AdamW(RATE, weight_decay=decay),  # without decay it is Adam
            SparseCategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
            metrics=["accuracy"],
        )
        return model

    options = {}
    if method == "early stopping":
        stop = keras.callbacks.EarlyStopping(patience=strength, restore_best_weights=True)
        options = {"callbacks": [stop], "validation_data": data["held out"]}
    key = f"{method} {strength}"  # one compilation for all seeds
    model = run.fastest(compiled, x, y, batch_size=BATCH, once=True, reuse=key)
    history = run.fit(
        model,
        x,
        y,
        batch_size=BATCH,
        epochs=QUICK_EPOCHS if run.quick else EPOCHS,
        label=f"{method} {strength:g}",
        **options,
    )
    return model, history


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, x, y):
    """Returns the accuracy."""
    logits = model.predict(x, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == y))


# --- Tune ----------------------------------------------------------------------------------------
def tune(data, run, method, tuned):
    """Returns the strength with the best accuracy on held-out training images."""
    strengths = METHODS[method]
    if run.quick or len(strengths) == 1:
        return strengths[len(strengths) // 2]
    found = {}
    for strength in strengths:
        keras.utils.set_random_seed(TUNING_SEED)
        model, _ = train(data, run, method=method, strength=strength, tuned=tuned)
        found[strength] = evaluate(model, *data["held out"])
    cells = ", ".join(f"{s:g}: {a:.4f}" for s, a in found.items())
    run.say(f"{method}, strength and held-out accuracy: {cells}")
    return max(found, key=found.get)


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000)
    few = min(FEW, len(dataset.x_train) // 2)
    held = slice(few, few + HELD_OUT)
    data = {
        "train": (dataset.x_train[:few], dataset.y_train[:few]),
        "held out": (dataset.x_train[held], dataset.y_train[held]),
        "classes": len(dataset.class_names),
    }
    run.say(
        f"trained on {few:,} images, tuned on {len(data['held out'][0]):,} other training images"
    )
    tuned = {}

    def trial(method):
        def once(seed):
            if method not in tuned:  # once for all seeds
                parts = ("dropout", "L2") if method == "dropout and L2" else ()
                for name in (*parts, method):  # the parts are known, unless the run was resumed
                    tuned[name] = tuned[name] if name in tuned else tune(data, run, name, tuned)
                keras.utils.set_random_seed(seed)
            model, history = train(data, run, method=method, strength=tuned[method], tuned=tuned)
            train_accuracy = evaluate(model, *data["train"])
            test_accuracy = evaluate(model, dataset.x_test, dataset.y_test)
            columns = {
                "train accuracy": train_accuracy,
                "gap": train_accuracy - test_accuracy,
                "strength": float(tuned[method]),
            }
            return Trial(test_accuracy, model, history, columns)

        return once

    for method in ("none", "dropout", "early stopping") if run.quick else METHODS:
        role = {"none": "control", "dropout": "technique"}.get(method, "row")
        run.row(method, trial(method), role=role)
    run.finish(save_inputs=dataset.x_test[:256], panels=[draw_gap(run)])


def draw_gap(run):
    """Returns the panel of the figure that shows the distance from training to test accuracy."""

    def draw(axis):
        rows = [row.summary() for row in run.rows.values()]
        axis.barh(range(len(rows)), [row["gap"] for row in rows], color="tab:orange")
        axis.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
        axis.invert_yaxis()
        axis.set_xlabel("training accuracy - test accuracy")

    return draw


if __name__ == "__main__":
    sys.exit(main())
