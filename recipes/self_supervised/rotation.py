"""Rotation: features without labels, from telling which way up an image is.

Shows     what naming the rotation of images teaches an encoder, frozen and fine-tuned on few labels
Concept   self-supervised: rotation, colour
Paper     Gidaris et al. (2018), Unsupervised Representation Learning by Predicting Image Rotations,
          arXiv:1803.07728
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000)
Expect    0.7869 ± 0.0052 (3 seeds), 1.7 min a run; control 0.7342
Target    none published for Fashion-MNIST
Run       python recipes/self_supervised/rotation.py          --quick: under 30 s
Change    WIDTHS, EPOCHS, LABELS
"""

import sys

from kerasdnn.callbacks import KNNProbe, LinearProbe
from kerasdnn.layers import FusedBatchNormalization, RandomResizedCrop
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.models import RotationPretext
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels, square; other images are resized to it
WIDTHS = (16, 32, 64)  # channels of the convolutions
EPOCHS, FEW_IMAGES, FEW_EPOCHS = 4, 20_000, 12  # the bundled images are seen more often
QUICK_EPOCHS = 1
BATCH = 128  # images a step, each in four rotations
PEAK_RATE = 4e-3  # AdamW's learning rate at the top of the cycle
PROBED = 10_000  # labelled training images of the probes
LABELS = 10  # a class, for fine-tuning
FINE_TUNING_STEPS, QUICK_STEPS = 100, 10  # full batches
GATES = {
    "fashion_mnist": Gate(0.70, gain=0.03),
    "fashion_mnist_bundled": Gate(0.65, gain=0.03),
}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1)):
    """Returns the encoder, pixels 0-255 to features."""
    widths = WIDTHS
    if hp is not None:
        widths = [hp.Int(f"width_{i}", 8, 128, step=8) for i in range(len(WIDTHS))]
    inputs = keras.Input(input_shape)  # (B, 28, 28, C)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for width in widths:  # (B, 14, 14, 16), (B, 7, 7, 32), (B, 4, 4, 64)
        x = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
        # With the default momentum the statistics would lag behind 100 steps of fine-tuning.
        x = layers.Activation("relu")(FusedBatchNormalization(momentum=0.9)(x))
    features = layers.GlobalAveragePooling2D(dtype="float32")(x)  # (B, 64)
    return keras.Model(inputs, features, name="encoder")


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run):
    """Trains an encoder on rotations; returns it and the history."""
    x = dataset.x_train.astype("float32")
    epochs = EPOCHS if len(x) > FEW_IMAGES else FEW_EPOCHS
    epochs = QUICK_EPOCHS if run.quick else epochs
    steps = epochs * -(-len(x) // BATCH)

    def compiled():
        crops = RandomResizedCrop(*IMAGE_SIZE, scale=(0.6, 1.0))
        model = RotationPretext(build(input_shape=x.shape[1:]), crops)
        model.compile(keras.optimizers.AdamW(OneCycle(PEAK_RATE, steps), weight_decay=1e-3))
        return model

    model = run.fastest(compiled, x, None, batch_size=BATCH)
    history = run.fit(model, x, epochs=epochs, batch_size=BATCH, label="rotation")
    return model.encoder, history


def fine_tune(encoder, dataset, run, seed):
    """Trains a copy of the encoder and a classifier on few labels; returns the test accuracy."""
    random, y = np.random.default_rng(seed), dataset.y_train
    few = [random.permutation(np.flatnonzero(y == c))[:LABELS] for c in np.unique(y)]
    few = random.permutation(np.concatenate(few))
    body = keras.models.clone_model(encoder)
    body.set_weights(encoder.get_weights())
    logits = layers.Dense(len(dataset.class_names), dtype="float32")(body.output)
    model = keras.Model(body.input, logits)
    loss = SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"], jit_compile=run.jit_compile
    )
    x, test = dataset.x_train[few].astype("float32"), dataset.x_test.astype("float32")
    steps = QUICK_STEPS if run.quick else FINE_TUNING_STEPS
    model.fit(x, y[few], batch_size=len(few), epochs=steps, verbose=0)
    logs = model.evaluate(test, dataset.y_test, batch_size=500, verbose=0, return_dict=True)
    return logs["accuracy"]


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(encoder, dataset):
    """Returns the test accuracy of a linear classifier and of the neighbours, on the features."""
    parts = (
        dataset.x_train[:PROBED].astype("float32"),
        dataset.y_train[:PROBED],
        dataset.x_test.astype("float32"),
        dataset.y_test,
    )
    return LinearProbe(*parts).measure(encoder), KNNProbe(*parts).measure(encoder)


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="linear_accuracy", data="fashion_mnist", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE)

    def trial(use_technique):
        def once(seed):
            if use_technique:
                encoder, history = train(dataset, run)
            else:
                encoder, history = build(input_shape=dataset.x_train.shape[1:]), {}
            linear, neighbours = evaluate(encoder, dataset)
            few = fine_tune(encoder, dataset, run, seed)
            columns = {"knn": neighbours, f"{LABELS} labels a class": few}
            return Trial(linear, encoder, history, columns)

        return once

    run.row("random encoder", trial(False), role="control")
    run.row("rotation", trial(True), role="technique")
    run.finish(save_inputs=dataset.x_test[:256].astype("float32"))


if __name__ == "__main__":
    sys.exit(main())
