"""Channel pruning of a CNN on Fashion-MNIST.

Shows     a network of half the width cut out of a trained one: smaller and faster everywhere, and
          after little training as accurate
Concept   pruning
Paper     Li et al. (2017), arXiv:1608.08710; Fang et al. (2023), arXiv:2301.12900
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000)
Expect    0.9328 ± 0.0007 (3 seeds), 9.1 min a run; control 0.9388
Target    none published for this network; ResNet-56 on CIFAR-10: 93.53 to 93.87 at 2.1 x
Run       python recipes/compression/channel_pruning.py          --quick: under 30 s
Change    RATIO, IMPORTANCE, EPOCHS
"""

import importlib.util
import sys
import tempfile

from kerasdnn import catalog
from kerasdnn.layers import FusedBatchNormalization, RandomResizedCrop, ResidualBlock
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.optimizers import OneCycle
from kerasdnn.pruning import latency, prune_channels
from kerasdnn.recipe import Gate, Trial, recipe
from kerasdnn.saving import load_model

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
WIDTHS = (16, 32, 80, 112)  # channels of the published network, to be trained where it is missing
RATIO = 0.5  # share of the channels that is removed
IMPORTANCE = "l1"  # by which channels are ranked
EPOCHS = 20  # passes of the smaller network over the images
DENSE_EPOCHS = 4  # of the dense network, where the published one does not fit the data
QUICK_IMAGES, QUICK_EPOCHS = 500, 2
BATCH = 128  # images a step
PEAK_RATE = 3e-3  # AdamW's learning rate at the top of the cycle
LATENCY_BATCH = 256  # images of the prediction whose time is measured
GATES = {"fashion_mnist": Gate(0.92, gain=-0.01)}  # at most a point below the dense network


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
def fit(model, dataset, run, label, epochs):
    """Compiles the model behind the augmentation and trains it; returns the history."""
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
    return run.fit(trainer, x, y, label=label, batch_size=BATCH, epochs=epochs)


def train(dataset, run, dense, *, use_technique=True):
    """Returns the cut network and its history; without the technique it is not trained on."""
    model = prune_channels(dense, RATIO, importance=IMPORTANCE).model
    return model, fit(model, dataset, run, "cut", EPOCHS) if use_technique else {}


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


def latencies(run, dense, cut):
    """Returns the milliseconds of both networks by runtime: dictionaries of table columns."""
    found = {f"keras_ms_{LATENCY_BATCH}": latency([dense, cut], LATENCY_BATCH)}
    installed = all(importlib.util.find_spec(name) for name in ("onnxruntime", "tf2onnx"))
    if installed and keras.backend.backend() == "tensorflow":
        from kerasdnn.export import onnx_milliseconds

        with tempfile.TemporaryDirectory() as folder:
            for batch in (LATENCY_BATCH, 1):
                found[f"onnx_ms_{batch}"] = onnx_milliseconds([dense, cut], batch, folder)
    else:
        run.say("ONNX Runtime is not measured: it needs TensorFlow and the extra 'export'")
    return [{name: times[i] for name, times in found.items()} for i in (0, 1)]


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000)
    dense = dense_model(dataset, run)
    result = prune_channels(dense, RATIO, importance=IMPORTANCE)
    run.say(str(result))
    dense_times, cut_times = latencies(run, dense, result.model)

    def columns(model, times):
        return {"parameters": model.count_params() / dense.count_params(), **times}

    def dense_row(seed):
        return Trial(evaluate(dense, dataset), columns=columns(dense, dense_times))

    def cut(use_technique):
        def once(seed):
            model, history = train(dataset, run, dense, use_technique=use_technique)
            value = evaluate(model, dataset)
            return Trial(value, model, history, columns=columns(model, cut_times))

        return once

    run.row("dense", dense_row, role="control", seeds=[0])
    run.row("half the channels, as cut", cut(False), seeds=[0])
    run.row("half the channels, trained on", cut(True), role="technique")
    run.finish(save_inputs=dataset.x_test[:256])


if __name__ == "__main__":
    sys.exit(main())
