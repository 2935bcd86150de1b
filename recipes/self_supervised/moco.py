"""MoCo: contrast small batches against a long queue of keys.

Shows     what momentum contrast gives to an encoder, and what its queue and momentum are for
Concept   contrastive: SimCLR, MoCo
Paper     He et al. (2020), Momentum Contrast, arXiv:1911.05722; Chen et al. (2020),
          arXiv:2003.04297
Data      mnist1d, 4,000 / 1,000; with --data fashion_mnist 60,000 / 10,000
Expect    0.8460 ± 0.0098 (3 seeds), 0.5 min a run; control 0.7510
Target    0.821, Greydanus and Kobak (2020), arXiv:2011.14439, linear probe after SimCLR
Run       python recipes/self_supervised/moco.py          --quick: under 30 s
Change    QUEUE, MOMENTUM, TEMPERATURE, the views in `augmenter()`
"""

import sys

from kerasdnn.callbacks import CollapseMeter, KNNProbe, LinearProbe
from kerasdnn.errors import InputError
from kerasdnn.layers import FusedBatchNormalization, RandomDrift, RandomResizedCrop, RandomRoll
from kerasdnn.models import MoCo
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
WIDTHS = (32, 64, 128)  # channels of the convolutions
EPOCHS, IMAGE_EPOCHS = 120, 12  # passes over signals, over images
QUICK_EPOCHS = 1
STATISTICS_MOMENTUM = 0.9  # of batch norm; Keras' 0.99 lags where an encoder trains few steps
BATCH = 250  # samples a step
QUEUE = 2000  # keys that are negatives, 8 batches
SHORT_QUEUE = 250  # of the row that shows what the queue is for
MOMENTUM = 0.99  # of the encoder of the keys
PEAK_RATE = 4e-3  # AdamW's learning rate at the top of the cycle
TEMPERATURE = 0.2  # of InfoNCE
PROBED = 10_000  # labelled training samples of the probes
GATES = {"mnist1d": Gate(0.80, gain=0.05), "fashion_mnist": Gate(0.83, gain=0.03)}


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
def train(dataset, run, callbacks, *, queue=QUEUE, momentum=MOMENTUM):
    """Trains an encoder without a label; returns the MoCo model and its history."""
    signal = dataset.task == "signal"
    epochs = QUICK_EPOCHS if run.quick else EPOCHS if signal else IMAGE_EPOCHS
    steps = epochs * -(-len(dataset.x_train) // BATCH)
    x = dataset.x_train.astype("float32")

    def compiled():
        model = MoCo(
            build(input_shape=x.shape[1:]),
            augmenter(signal),
            queue_size=queue,
            momentum=momentum,
            temperature=TEMPERATURE,
        )
        model.compile(keras.optimizers.AdamW(OneCycle(PEAK_RATE, steps), weight_decay=1e-4))
        return model

    model = run.fastest(compiled, x, None, batch_size=BATCH)
    label = f"MoCo, queue {queue}, momentum {momentum}"
    return model, run.fit(
        model, x, epochs=epochs, batch_size=BATCH, label=label, callbacks=callbacks
    )


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
    target=(0.821, "arXiv:2011.14439, linear probe on MNIST-1D after SimCLR"),
)
def main(run):
    dataset = run.load(image_size=None if run.args.data == "mnist1d" else IMAGE_SIZE)
    if dataset.task not in ("signal", "image"):
        raise InputError(
            f"moco expects signals or images; received {dataset.task} data, {dataset.name}. Try "
            "--data mnist1d or fashion_mnist."
        )

    def untrained(seed):
        linear, neighbours = evaluate(build(input_shape=dataset.x_train.shape[1:]), dataset)
        return Trial(linear, columns={"knn": neighbours})

    def trial(**changes):
        def once(seed):
            meter = CollapseMeter(dataset.x_test[:500].astype("float32"), every=10)
            model, history = train(dataset, run, [meter], **changes)
            linear, neighbours = evaluate(model.encoder, dataset)
            columns = {"knn": neighbours, "embedding_std": meter.std}
            return Trial(linear, model.encoder, history, columns)

        return once

    run.row("random encoder", untrained, role="control")
    if run.quick:
        run.say("--quick leaves out the rows with a short queue and without momentum")
    else:
        run.row(f"queue of {SHORT_QUEUE}", trial(queue=SHORT_QUEUE))
        run.row("no momentum", trial(momentum=0.0))
    run.row("MoCo", trial(), role="technique")
    run.finish(save_inputs=dataset.x_test[:256].astype("float32"))


if __name__ == "__main__":
    sys.exit(main())
