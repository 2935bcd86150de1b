"""SimCLR: features without labels, from two random views of each sample.

Shows     what contrastive training gives to an encoder, against the same encoder untrained
Concept   contrastive: SimCLR, MoCo
Paper     Chen et al. (2020), A Simple Framework for Contrastive Learning, arXiv:2002.05709
Data      mnist1d, 4,000 / 1,000; with --data fashion_mnist 60,000 / 10,000
Expect    0.9447 ± 0.0038 (3 seeds), 1.1 min a run; control 0.7510
Target    0.821, Greydanus and Kobak (2020), arXiv:2011.14439, linear probe on MNIST-1D
Run       python recipes/self_supervised/simclr.py          --quick: under 30 s
Change    the views in `augmenter()`, TEMPERATURE, EPOCHS
"""

import sys

from kerasdnn.callbacks import CollapseMeter, KNNProbe, LinearProbe
from kerasdnn.errors import InputError
from kerasdnn.layers import FusedBatchNormalization, RandomDrift, RandomResizedCrop, RandomRoll
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.models import SimCLR
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
WIDTHS = (32, 64, 128)  # channels of the convolutions
EPOCHS, IMAGE_EPOCHS = 150, 12  # passes over signals, over images
QUICK_EPOCHS = 2
STATISTICS_MOMENTUM = 0.9  # of batch norm; Keras' 0.99 lags where an encoder trains few steps
BATCH = 500  # samples a step, each in two views
PEAK_RATE = 4e-3  # AdamW's learning rate at the top of the cycle
TEMPERATURE = 0.2  # of NT-Xent
LABELS = 10  # a class, for fine-tuning
PROBED = 10_000  # labelled training samples of the probes
FINE_TUNING_STEPS, QUICK_STEPS = 150, 10  # full batches
GATES = {"mnist1d": Gate(0.82, gain=0.05), "fashion_mnist": Gate(0.84, gain=0.04)}


# --- Model ---------------------------------------------------------------------------------------
def augmenter(signal):
    """Returns what makes a view: changes that leave the class as it is."""
    if signal:  # another start, a drifting sensor, noise
        return keras.Sequential([RandomRoll(20), RandomDrift(1.0, 1.0), layers.GaussianNoise(0.1)])
    return keras.Sequential(
        [
            RandomResizedCrop(*IMAGE_SIZE, scale=(0.3, 1.0)),
            layers.RandomFlip("horizontal"),
            layers.RandomBrightness(0.3, value_range=(0, 255)),
            layers.RandomContrast(0.4, value_range=(0, 255)),
        ]
    )


def build(hp=None, input_shape=(40, 1)):
    """Returns the encoder, signals or pixels 0-255 to features."""
    widths = WIDTHS
    if hp is not None:
        widths = [hp.Int(f"width_{i}", 16, 256, step=16) for i in range(len(WIDTHS))]
    inputs = x = keras.Input(input_shape)  # (B, 40, 1) or (B, 28, 28, C)
    signal = len(input_shape) == 2
    convolution = layers.Conv1D if signal else layers.Conv2D
    pooling = layers.GlobalAveragePooling1D if signal else layers.GlobalAveragePooling2D
    normalization = layers.BatchNormalization if signal else FusedBatchNormalization
    if not signal:
        x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for i, width in enumerate(widths):
        size, stride = (5, 1 if i == 0 else 2) if signal else (3, 2)
        x = convolution(width, size, strides=stride, padding="same", use_bias=False)(x)
        x = normalization(momentum=STATISTICS_MOMENTUM)(x)
        x = layers.Activation("relu")(x)
    return keras.Model(inputs, pooling(dtype="float32")(x), name="encoder")


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run, callbacks):
    """Trains an encoder without a label; returns the SimCLR model and its history."""
    signal = dataset.task == "signal"
    epochs = QUICK_EPOCHS if run.quick else EPOCHS if signal else IMAGE_EPOCHS
    steps = epochs * -(-len(dataset.x_train) // BATCH)
    x = dataset.x_train.astype("float32")

    def compiled():
        encoder = build(input_shape=x.shape[1:])
        model = SimCLR(encoder, augmenter(signal), temperature=TEMPERATURE)
        model.compile(keras.optimizers.AdamW(OneCycle(PEAK_RATE, steps), weight_decay=1e-4))
        return model

    model = run.fastest(compiled, x, None, batch_size=BATCH)
    history = run.fit(
        model, x, epochs=epochs, batch_size=BATCH, label="SimCLR", callbacks=callbacks
    )
    return model, history


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
@recipe(
    metric="linear_accuracy",
    data="mnist1d",
    gates=GATES,
    target=(0.821, "arXiv:2011.14439, linear probe on MNIST-1D"),
)
def main(run):
    dataset = run.load(image_size=None if run.args.data == "mnist1d" else IMAGE_SIZE)
    if dataset.task not in ("signal", "image"):
        raise InputError(
            f"simclr expects signals or images; received {dataset.task} data, {dataset.name}. Try "
            "--data mnist1d or fashion_mnist."
        )

    def raw(seed):
        linear, neighbours = evaluate(lambda x: x.reshape(len(x), 1, -1), dataset)
        return Trial(linear, columns={"knn": neighbours})

    def trial(use_technique):
        def once(seed):
            meter = CollapseMeter(dataset.x_test[:500].astype("float32"), every=10)
            if use_technique:
                model, history = train(dataset, run, [meter])
                encoder, more = model.encoder, {"embedding_std": meter.std}
            else:
                encoder, history, more = build(input_shape=dataset.x_train.shape[1:]), {}, {}
            linear, neighbours = evaluate(encoder, dataset)
            few = fine_tune(encoder, dataset, run, seed)
            columns = {"knn": neighbours, f"{LABELS} labels a class": few, **more}
            return Trial(linear, encoder, history, columns)

        return once

    run.row("raw inputs", raw, seeds=[0])
    run.row("random encoder", trial(False), role="control")
    run.row("SimCLR", trial(True), role="technique")
    run.finish(save_inputs=dataset.x_test[:256].astype("float32"))


if __name__ == "__main__":
    sys.exit(main())
