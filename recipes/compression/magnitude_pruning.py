"""Magnitude pruning of a CNN on Fashion-MNIST.

Shows     that nine of ten weights of a trained CNN can be zero at almost no loss, if the smallest
          go and the rest trains on; nine of ten chosen blindly cost far more
Concept   pruning
Paper     Han et al. (2015), arXiv:1506.02626; Zhu, Gupta (2017), arXiv:1710.01878
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000)
Expect    0.9360 ± 0.0011 (3 seeds), 11.8 min a run; control 0.9388
Target    none published for this network; LeNet-300-100 loses nothing at 92 % (Han et al.)
Run       python recipes/compression/magnitude_pruning.py          --quick: under 30 s
Change    SPARSITY, EPOCHS, `scope` and `schedule` of PruneToSparsity
"""

import sys
import tempfile
from pathlib import Path

from kerasdnn import catalog
from kerasdnn.callbacks import PruneToSparsity
from kerasdnn.layers import FusedBatchNormalization, RandomResizedCrop, ResidualBlock
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.optimizers import OneCycle
from kerasdnn.pruning import sparsity_report
from kerasdnn.recipe import Gate, Trial, recipe
from kerasdnn.saving import load_model

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
WIDTHS = (16, 32, 80, 112)  # channels of the published network, to be trained where it is missing
SPARSITY = 0.9  # share of zeros in all kernels
EPOCHS = 20  # passes over the images; the zeros come during the first 60 % of them
DENSE_EPOCHS = 8  # of the dense network, where the published one does not fit the data
QUICK_IMAGES, QUICK_EPOCHS = 500, 2
BATCH = 128  # images a step
PEAK_RATE = 3e-3  # AdamW's learning rate at the top of the cycle
GATES = {"fashion_mnist": Gate(0.92, gain=-0.005)}  # at most half a point below the dense network


# --- Model ---------------------------------------------------------------------------------------
def augmenter():
    """Returns an augmentation milder than the dense network's, for pixels 0-255."""
    return keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            RandomResizedCrop(*IMAGE_SIZE, scale=(1, 1), ratio=(1, 1), padding=2),
        ]
    )


def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10):
    """Returns the network of recipes/vision/cnn_augmentation.py, pixels to logits."""
    stem, *widths = WIDTHS
    if hp is not None:
        widths = [hp.Int(f"width_{i}", w // 2, 2 * w, step=8) for i, w in enumerate(widths)]
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for stage, width in enumerate([stem, *widths]):
        x = layers.MaxPooling2D(padding="same")(x) if stage > 1 else x
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = x if stage else layers.MaxPooling2D()(x)
        x = layers.Activation("relu")(FusedBatchNormalization()(x))
        x = ResidualBlock(width, fused_batch_norm=True)(x) if stage else x
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, dtype="float32")(x), name="cnn")


def dense_model(dataset, run):
    """Returns the published network, or where it does not fit the data one trained here."""
    path = catalog.results_folder() / "cnn_augmentation" / "model.keras"
    shape, classes = dataset.x_train.shape[1:], len(dataset.class_names)
    if path.is_file():
        model = load_model(path, compile=False)
        if model.input_shape[1:] == shape and model.output_shape[-1] == classes:
            return model
    run.say("no published network for these data: training a dense one first")
    model = build(None, shape, classes)
    fit(model, dataset, run, "dense", DENSE_EPOCHS)
    return model


# --- Train ---------------------------------------------------------------------------------------
def fit(model, dataset, run, label, epochs, callbacks=()):
    """Compiles the model behind the augmentation and trains it; returns that and the history."""
    count = QUICK_IMAGES if run.quick else None
    x, y = dataset.x_train[:count], dataset.y_train[:count]
    epochs = QUICK_EPOCHS if run.quick else epochs
    trainer = keras.Sequential([keras.Input(x.shape[1:]), augmenter(), model])
    trainer.compile(
        keras.optimizers.AdamW(OneCycle(PEAK_RATE, epochs * -(-len(x) // BATCH)), 0.05),
        SparseCategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy"],
        jit_compile=run.jit_compile,
    )
    options = {"batch_size": BATCH, "epochs": epochs, "callbacks": callbacks}
    return trainer, run.fit(trainer, x, y, label=label, **options)


def train(dataset, run, dense, *, use_technique=True):
    """Prunes a copy of the dense network while it trains, by magnitude or blindly."""
    model = keras.Model.from_config(dense.get_config())
    model.set_weights(dense.get_weights())
    criterion = "magnitude" if use_technique else "random"
    prune = PruneToSparsity(SPARSITY, criterion=criterion)
    return fit(model, dataset, run, f"pruned, {criterion}", EPOCHS, [prune])


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


def zeros_after_reload(model, dataset):
    """Returns the sparsity after saving, loading and training on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        again = load_model(path)
    again.fit(dataset.x_train[:1000], dataset.y_train[:1000], batch_size=BATCH, verbose=0)
    return sparsity_report(again).sparsity


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000)
    dense = dense_model(dataset, run)

    def dense_row(seed):
        report = sparsity_report(dense)
        columns = {"sparsity": report.sparsity, "zip_kb": report.compressed_bytes / 1000}
        return Trial(evaluate(dense, dataset), columns=columns)

    def pruned(use_technique):
        def once(seed):
            model, history = train(dataset, run, dense, use_technique=use_technique)
            report, value = sparsity_report(model), evaluate(model, dataset)
            columns = {"sparsity": report.sparsity, "zip_kb": report.compressed_bytes / 1000}
            if use_technique and seed == 0:
                columns["sparsity_reloaded"] = zeros_after_reload(model, dataset)
            return Trial(value, model, history, columns=columns)

        return once

    run.row("dense", dense_row, role="control", seeds=[0])
    run.row("90 % zeros, smallest", pruned(True), role="technique")
    run.row("90 % zeros, random", pruned(False), seeds=[0])
    run.finish(save_inputs=dataset.x_test[:256])


if __name__ == "__main__":
    sys.exit(main())
