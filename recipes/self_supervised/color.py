"""Colour: features without labels, from telling the colours of grey images.

Shows     what naming the colours of grey patches teaches an encoder, frozen and on few labels
Concept   self-supervised: rotation, colour
Paper     Zhang, Isola, Efros (2016), Colorful Image Colorization, arXiv:1603.08511;
          Larsson et al. (2017), Colorization as a Proxy Task, arXiv:1703.04044
Data      photographs, 3,550 / 1,250 patches of three photographs; or your own folder of photographs
Expect    0.5923 ± 0.0238 (3 seeds), 0.9 min a run; control 0.3848
Target    none published for these patches
Run       python recipes/self_supervised/color.py          --quick: under 30 s
Change    WIDTHS, BINS, EPOCHS, LABELS
"""

import sys

from kerasdnn.callbacks import KNNProbe, LinearProbe
from kerasdnn.errors import InputError
from kerasdnn.layers import FusedBatchNormalization
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.models import ColorPretext
from kerasdnn.models.pretext import grey
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (32, 32)  # pixels; other images are resized to it
WIDTHS = (16, 32, 64)  # channels of the convolutions
BINS = 7  # values of each of the two chroma axes
EPOCHS, QUICK_EPOCHS = 30, 2  # passes over the patches
BATCH = 128  # patches a step
PEAK_RATE = 4e-3  # AdamW's learning rate at the top of the cycle
LABELS = 10  # a class, for fine-tuning
FINE_TUNING_STEPS, QUICK_STEPS = 100, 10  # full batches
GATES = {"photographs": Gate(0.40, gain=0.03)}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1)):
    """Returns the encoder, grey pixels 0-255 to a feature map."""
    widths = WIDTHS
    if hp is not None:
        widths = [hp.Int(f"width_{i}", 8, 128, step=8) for i in range(len(WIDTHS))]
    inputs = keras.Input(input_shape)  # (B, 32, 32, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for width in widths:  # (B, 16, 16, 16), (B, 8, 8, 32), (B, 4, 4, 64)
        x = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
        # With the default momentum the statistics would lag behind 100 steps of fine-tuning.
        x = layers.Activation("relu")(FusedBatchNormalization(momentum=0.9)(x))
    return keras.Model(inputs, x, name="encoder")


def pooled(encoder):
    """Returns the encoder with its feature map averaged over the places."""
    features = layers.GlobalAveragePooling2D(dtype="float32")(encoder.output)  # (B, 64)
    return keras.Model(encoder.input, features, name="features")


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run):
    """Trains an encoder on colours; returns it and the history."""
    x = dataset.x_train.astype("float32")
    epochs = QUICK_EPOCHS if run.quick else EPOCHS
    steps = epochs * -(-len(x) // BATCH)

    def compiled():
        model = ColorPretext(build(), layers.RandomFlip("horizontal"), bins=BINS)
        model.compile(keras.optimizers.AdamW(OneCycle(PEAK_RATE, steps), weight_decay=1e-3))
        return model

    model = run.fastest(compiled, x, None, batch_size=BATCH)
    history = run.fit(model, x, epochs=epochs, batch_size=BATCH, label="colour")
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
    x, test = _grey(dataset.x_train[few]), _grey(dataset.x_test)
    steps = QUICK_STEPS if run.quick else FINE_TUNING_STEPS
    model.fit(x, y[few], batch_size=len(few), epochs=steps, verbose=0)
    logs = model.evaluate(test, dataset.y_test, batch_size=500, verbose=0, return_dict=True)
    return logs["accuracy"]


# --- Evaluate ------------------------------------------------------------------------------------
def _grey(images):
    """The brightness of colour images: the classifiers see no colours."""
    return keras.ops.convert_to_numpy(grey(images))


def evaluate(encoder, dataset):
    """Returns the test accuracy of a linear classifier and of the neighbours, on the features."""
    parts = (_grey(dataset.x_train), dataset.y_train, _grey(dataset.x_test), dataset.y_test)
    return LinearProbe(*parts).measure(encoder), KNNProbe(*parts).measure(encoder)


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="linear_accuracy", data="photographs", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE)
    if dataset.task != "image" or dataset.x_train.shape[-1] != 3:
        raise InputError(
            f"color expects colour images; received {dataset.name} of shape "
            f"{dataset.x_train.shape[1:]}. Try a folder of photographs, class/image.jpg."
        )

    def trial(use_technique):
        def once(seed):
            if use_technique:
                encoder, history = train(dataset, run)
            else:
                encoder, history = build(), {}
            encoder = pooled(encoder)
            linear, neighbours = evaluate(encoder, dataset)
            few = fine_tune(encoder, dataset, run, seed)
            columns = {"knn": neighbours, f"{LABELS} labels a class": few}
            return Trial(linear, encoder, history, columns)

        return once

    run.row("random encoder", trial(False), role="control")
    run.row("colour", trial(True), role="technique")
    run.finish(save_inputs=_grey(dataset.x_test[:256]))


if __name__ == "__main__":
    sys.exit(main())
