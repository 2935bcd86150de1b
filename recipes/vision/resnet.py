"""Residual networks, with and without their shortcuts.

Shows     that a plain network gets worse with depth, in training too, and that shortcuts undo it
Concept   skip connections, residual blocks
Paper     He et al. (2015), Deep Residual Learning for Image Recognition, arXiv:1512.03385
Data      fashion_mnist_bundled, 10,000 / 2,000
Expect    0.8460 ± 0.0212 (3 seeds), 7.1 min a run; control 0.3163
Target    none published for these nets; on CIFAR-10 the paper's plain net fails at 110 layers
Run       python recipes/vision/resnet.py          --quick: under 30 s
Change    BLOCKS, WIDTHS, EPOCHS, RATE
"""

import sys

from kerasdnn.layers import FusedBatchNormalization, ResidualBlock
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
WIDTHS = (16, 32)  # channels of the two stages, on 7 x 7 and on 4 x 4 pixels
BLOCKS = (2, 6, 14)  # blocks of each stage; the last is the depth that the recipe reports
QUICK_BLOCKS = (1, 3)
EPOCHS, QUICK_EPOCHS = 6, 1  # passes over the training images
BATCH = 128  # images a step
RATE = 0.1  # SGD's learning rate at the top of the cycle, as in the paper
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
GATES = {"fashion_mnist_bundled": Gate(0.80, gain=0.10), "fashion_mnist": Gate(0.80)}


def depth(blocks):
    """Returns the number of layers with kernels on the longest path: stem, blocks, classifier."""
    return 2 * len(WIDTHS) * blocks + 2


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10, blocks=BLOCKS[-1], shortcuts=True):
    """Returns the network, pixels to logits; `hp` chooses depth and widths (Keras Tuner).

    With and without shortcuts it has the same layers; where the channels change, a shortcut has a
    1 x 1 convolution of its own.
    """
    widths = WIDTHS
    if hp is not None:
        blocks = hp.Int("blocks", 1, 10)
        widths = [hp.Int(f"width_{i}", 8, 64, step=8) for i in range(len(WIDTHS))]
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Conv2D(widths[0], 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.Activation("relu")(FusedBatchNormalization()(x))
    x = layers.MaxPooling2D()(x)  # (B, 7, 7, 16)
    for stage, width in enumerate(widths):  # (B, 7, 7, 16), (B, 4, 4, 32)
        for block in range(blocks):
            x = ResidualBlock(
                width,
                strides=2 if stage and not block else 1,
                use_shortcut=shortcuts,
                fused_batch_norm=True,
                zero_init_last=False,  # both nets start from the same weights
                name=f"stage{stage}_block{block}",
            )(x)
    x = layers.GlobalAveragePooling2D()(x)
    logits = layers.Dense(classes, dtype="float32")(x)  # (B, 10)
    return keras.Model(inputs, logits, name="resnet" if shortcuts else "plain")


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run, *, use_technique=True, blocks=BLOCKS[-1]):
    """Trains one network, with its shortcuts or without; returns it and its history."""
    x, y = dataset.x_train, dataset.y_train
    epochs = QUICK_EPOCHS if run.quick else EPOCHS

    def compiled():
        model = build(None, x.shape[1:], len(dataset.class_names), blocks, use_technique)
        rate = OneCycle(RATE, epochs * -(-len(x) // BATCH))
        model.compile(
            keras.optimizers.SGD(rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY),
            SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    model = run.fastest(compiled, x, y, batch_size=BATCH, once=True)
    label = f"{'residual' if use_technique else 'plain'}, {depth(blocks)} layers"
    history = run.fit(model, x, y, batch_size=BATCH, epochs=epochs, label=label)
    return model, history


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, x, y):
    """Returns the accuracy."""
    logits = model.predict(x, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == y))


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist_bundled", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=500)
    many = QUICK_BLOCKS if run.quick else BLOCKS
    run.say(f"the value is that of {depth(many[-1])} layers")

    def trial(use_technique):
        def once(seed):
            columns = {}
            for blocks in many:  # the deepest last: its model and history are kept
                model, history = train(dataset, run, use_technique=use_technique, blocks=blocks)
                columns[f"{depth(blocks)} layers"] = evaluate(model, dataset.x_test, dataset.y_test)
            value = columns.pop(f"{depth(many[-1])} layers")
            # Lower here, too: the plain net does not fit too well, it does not fit.
            columns["train accuracy"] = evaluate(model, dataset.x_train, dataset.y_train)
            return Trial(value, model, history, columns)

        return once

    run.row("plain", trial(False), role="control")
    run.row("residual", trial(True), role="technique")
    run.finish(save_inputs=dataset.x_test[:256], panels=[draw_by_depth(run, many)])


def draw_by_depth(run, many):
    """Returns the panel of the figure that shows the accuracy over the depth."""

    def draw(axis):
        depths = [depth(blocks) for blocks in many]
        for row in (row.summary() for row in run.rows.values()):
            values = [*(row[f"{layers} layers"] for layers in depths[:-1]), row["value"]]
            axis.plot(depths, values, marker=".", label=row["name"])
        axis.set_xlabel("layers")
        axis.set_ylabel("test accuracy")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)

    return draw


if __name__ == "__main__":
    sys.exit(main())
