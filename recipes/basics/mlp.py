"""Multi-layer perceptron on Fashion-MNIST.

Shows     what hidden layers buy over a linear model of the same pixels
Concept   network structure
Paper     Rumelhart, Hinton, Williams (1986), Learning representations by back-propagating errors
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000)
Expect    0.8888 ± 0.0012 (3 seeds), 1.6 min a run; control 0.8448
Target    0.8833, Fashion-MNIST README, "MLP 256-128-100"
Run       python recipes/basics/mlp.py          --quick: under 30 s
Change    HIDDEN, DROPOUT, EPOCHS
"""

import sys

from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings: chosen on 5,000 held-out training images; the runs below train on all of them ----
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
HIDDEN = (256, 128, 100)  # units of the hidden layers, as in the published entry
DROPOUT = 0.2  # share of units dropped after each hidden layer
EPOCHS = 15  # passes over the training images
QUICK_EPOCHS = 3
BATCH = 128  # images a step
PEAK_RATE = 2e-3  # Adam's learning rate at the top of the cycle
GATES = {"fashion_mnist": Gate(0.883, gain=0.02), "fashion_mnist_bundled": Gate(0.84)}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10, hidden=HIDDEN):
    """Returns the network, pixels to logits; without hidden layers it is a linear classifier."""
    dropout = DROPOUT
    if hp is not None:
        hidden = [hp.Int(f"units_{i}", 64, 512, step=64) for i in range(hp.Int("depth", 1, 4))]
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Flatten()(x)  # (B, 784)
    for units in hidden:
        x = layers.Dense(units, activation="relu", kernel_initializer="he_normal")(x)
        x = layers.Dropout(dropout)(x)
    logits = layers.Dense(classes, dtype="float32")(x)  # (B, 10)
    return keras.Model(inputs, logits, name="mlp")


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run, *, use_technique=True):
    """Trains one network, with its hidden layers or without; returns it and its history."""
    epochs = QUICK_EPOCHS if run.quick else EPOCHS
    steps = epochs * -(-len(dataset.x_train) // BATCH)

    def compiled():
        model = build(
            input_shape=dataset.x_train.shape[1:],
            classes=len(dataset.class_names),
            hidden=HIDDEN if use_technique else (),
        )
        model.compile(
            keras.optimizers.Adam(OneCycle(PEAK_RATE, steps)),
            SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    model = run.fastest(compiled, dataset.x_train, dataset.y_train, batch_size=BATCH)
    history = run.fit(
        model,
        dataset.x_train,
        dataset.y_train,
        batch_size=BATCH,
        epochs=epochs,
        label="hidden layers" if use_technique else "linear",
    )
    return model, history


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(
    metric="test_accuracy",
    data="fashion_mnist",
    gates=GATES,
    target=(0.8833, 'Fashion-MNIST README, "MLP 256-128-100"'),
)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE)

    def trial(use_technique):
        def once(seed):
            model, history = train(dataset, run, use_technique=use_technique)
            return Trial(evaluate(model, dataset), model, history)

        return once

    run.row("linear", trial(False), role="control")
    run.row("MLP " + "-".join(map(str, HIDDEN)), trial(True), role="technique")
    run.finish(save_inputs=dataset.x_test[:256])


if __name__ == "__main__":
    sys.exit(main())
