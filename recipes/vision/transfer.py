"""Transfer learning: a network that knows half of the clothes learns the rest from ten labels each.

Shows     what a pretrained network buys when labels are few, fine-tuned without moving the
          statistics of its batch normalization
Concept   transfer learning
Paper     Yosinski et al. (2014), How transferable are features in deep neural networks?,
          arXiv:1411.1792; Howard and Ruder (2018), ULMFiT, arXiv:1801.06146
Data      fashion_mnist: 30,000 images of five classes teach the base; the task is the other five,
          10 labels a class / 5,000
Expect    0.6410 ± 0.0178 (3 seeds), 0.2 min a run; control 0.5797
Target    none published for this split
Run       python recipes/vision/transfer.py          --quick: under 30 s
          python recipes/vision/transfer.py --data FOLDER --base catalog          your own images
Change    LABELS, HEAD_EPOCHS, EPOCHS, DECAY
"""

import dataclasses
import sys

from kerasdnn import catalog
from kerasdnn.errors import InputError
from kerasdnn.layers import FusedBatchNormalization, ResidualBlock
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe
from kerasdnn.saving import load_model
from kerasdnn.transfer import fine_tune

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels, those of the pretrained network; images are resized to it
LABELS = 10  # labelled training images of each class
HEAD_EPOCHS, EPOCHS = 40, 40  # passes with the base frozen, and with all layers moving
QUICK_EPOCHS = 2
BATCH = 20  # images a step
BASE_EPOCHS, BASE_BATCH = 6, 128  # of the base, on all images of its classes
HEAD_RATE = 2e-2  # AdamW's peak rate of the new head alone
BASE_DIVISOR = 10  # then all layers move at HEAD_RATE / BASE_DIVISOR, earlier layers less:
DECAY = 0.9  # each layer at this share of the rate of the next
SCRATCH_RATE = 8e-3  # peak rate from scratch, the best of 1e-3 to 8e-3 on held-out images
MOMENTUM = 0.9  # Keras' 0.99 would not have followed the features in so few steps from scratch
WEIGHT_DECAY = 0.05
GATES = {"fashion_mnist": Gate(0.60, gain=0.05)}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, base=None, classes=10, rate=SCRATCH_RATE, steps=100):
    """Returns a new head on a base, compiled; `hp` chooses the rate (Keras Tuner)."""
    if hp is not None:
        rate = hp.Float("rate", 1e-4, 1e-1, sampling="log")
    base = base or small_base((*IMAGE_SIZE, 1))
    inputs = keras.Input(base.input_shape[1:])
    logits = layers.Dense(classes, dtype="float32", name="head")(base(inputs))
    model = keras.Model(inputs, logits, name="transfer")
    optimizer = keras.optimizers.AdamW(OneCycle(rate, steps), weight_decay=WEIGHT_DECAY)
    model.compile(optimizer, loss(), metrics=["accuracy"])
    return model


def loss():
    return SparseCategoricalCrossentropy(from_logits=True)


def small_base(input_shape):
    """Returns an untrained base, pixels 0-255 to a vector of features.

    They are taken from every stage: the last knows the classes it was trained for, the first ones
    edges and cloth, which other classes have as well.
    """
    inputs = keras.Input(input_shape)  # (B, 28, 28, C)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    features = []
    for width in (16, 32, 64):  # (B, 14, 14, 16), (B, 7, 7, 32), (B, 4, 4, 64)
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D(padding="same")(x)
        x = layers.Activation("relu")(FusedBatchNormalization(momentum=MOMENTUM)(x))
        x = ResidualBlock(width, fused_batch_norm=True)(x)
        features += [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
    return keras.Model(inputs, layers.Concatenate()(features), name="base")  # (B, 224)


def catalog_base(input_shape):
    """Returns the catalog's published network below its head; it knows all ten kinds of clothes."""
    path = catalog.results_folder() / "cnn_augmentation" / "model.keras"
    cnn = load_model(path, compile=False)
    if cnn.input_shape[1:] != input_shape:
        raise InputError(
            f"--base catalog expects images of shape {cnn.input_shape[1:]}, gray; received "
            f"{input_shape}. Leave --base out, or take --base imagenet for colour."
        )
    return keras.Model(cnn.inputs, cnn.layers[-2].output, name="base")


def pretrained(run, source):
    """Returns the base that is transferred: images to a vector of features each."""
    shape = source.x_train.shape[1:]
    if run.args.base == "imagenet":
        return imagenet_base(shape, "imagenet")
    if run.args.base == "catalog":
        return catalog_base(shape)
    kept = run.folder / "base.keras"
    if not kept.is_file():
        x, y, classes = source.x_train, source.y_train, len(source.class_names)
        epochs = QUICK_EPOCHS if run.quick else BASE_EPOCHS
        steps = epochs * -(-len(x) // BASE_BATCH)

        def compiled():
            return build(None, small_base(shape), classes, steps=steps)

        model = run.fastest(compiled, x, y, batch_size=BASE_BATCH)
        run.fit(model, x, y, batch_size=BASE_BATCH, epochs=epochs, label="base")
        model.get_layer("base").save(kept)
    return load_model(kept, compile=False)


def imagenet_base(input_shape, weights):
    """MobileNetV2 on images of any size and of one or three channels."""
    inputs = keras.Input(input_shape)
    x = layers.Resizing(96, 96)(layers.Rescaling(1 / 127.5, offset=-1)(inputs))
    x = layers.Concatenate()([x] * 3) if input_shape[-1] == 1 else x
    try:
        network = keras.applications.MobileNetV2(
            (96, 96, 3), alpha=0.35, include_top=False, pooling="avg", weights=weights
        )
    except Exception as error:  # Keras raises a bare Exception when a download fails
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--base imagenet needs weights that could not be had ({reason}). Go online, or take "
            "--base catalog, which is on this machine."
        ) from error
    return keras.Model(inputs, network(x), name="base")


# --- Train ---------------------------------------------------------------------------------------
def train(x, y, run, base, *, classes, use_technique=True, epochs=EPOCHS):
    """Fine-tunes a copy of the base, or trains one of the same form from scratch.

    Returns the model, its history, and how many statistics of batch normalization have moved.
    """
    head_epochs = min(HEAD_EPOCHS, QUICK_EPOCHS) if run.quick else HEAD_EPOCHS
    epochs = min(epochs, QUICK_EPOCHS) if run.quick else epochs
    steps = (head_epochs + epochs) * -(-len(x) // BATCH)
    weights = base.get_weights()

    def compiled():
        copy = keras.models.clone_model(base)
        if use_technique:
            copy.set_weights(weights)
        else:
            for layer in copy._flatten_layers():
                if isinstance(layer, layers.BatchNormalization):
                    layer.momentum = MOMENTUM
        return build(None, copy, classes, steps=steps)

    model = run.fastest(compiled, x, y, batch_size=BATCH, once=True)
    base = model.get_layer("base")
    before = statistics(base)
    if use_technique:
        labels = iter(("the new head", "all layers"))
        phases = {"head_epochs": head_epochs, "epochs": epochs, "learning_rate": HEAD_RATE}
        history = fine_tune(
            *(model, x, y),
            **phases,
            base=base,
            loss=loss(),
            metrics=["accuracy"],
            base_divisor=BASE_DIVISOR,
            decay=DECAY,
            batch_size=BATCH,
            optimizer=lambda rate: keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY),
            fit=lambda model, x, y, **options: run.fit(model, x, y, label=next(labels), **options),
        )
    else:
        options = {"epochs": head_epochs + epochs, "batch_size": BATCH, "label": "from scratch"}
        history = run.fit(model, x, y, **options)
    moved = sum(np.any(a != b) for a, b in zip(before, statistics(base), strict=True))
    return model, history, int(moved)


def statistics(model):
    """Returns all moving means and variances inside the model."""
    weights = zip(model.weights, model.get_weights(), strict=True)
    return [value.copy() for weight, value in weights if "moving" in weight.path]


def only(dataset, labels):
    """Returns the rows of these labels, which become 0, 1, ..."""
    changed = {"class_names": tuple(dataset.class_names[label] for label in labels)}
    for part in ("train", "test"):
        x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
        changed[f"x_{part}"] = x[np.isin(y, labels)]
        changed[f"y_{part}"] = np.searchsorted(labels, y[np.isin(y, labels)]).astype("int32")
    return dataclasses.replace(dataset, **changed)


def few(x, y, seed):
    """Returns `LABELS` images of each class, chosen by the seed, and their labels."""
    order = np.random.default_rng(seed).permutation(len(y))
    rows = np.concatenate([order[y[order] == label][:LABELS] for label in np.unique(y)])
    return x[rows], y[rows]


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
def flags(parser):
    bases = ["classes", "catalog", "imagenet"]
    text = "what is transferred: half of the classes, the catalog's network, MobileNetV2 (download)"
    parser.add_argument("--base", choices=bases, default="classes", help=text)


@recipe(metric="test_accuracy", data="fashion_mnist", gates=GATES, flags=flags)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000)
    source = dataset
    if run.args.base == "classes":
        count = len(dataset.class_names)
        if count < 4:
            needed = "--base classes expects at least 4 classes, half of them for the base"
            raise InputError(f"{needed}; received {count}. Take --base catalog or imagenet.")
        source, dataset = (only(dataset, np.arange(first, count, 2)) for first in (1, 0))
        run.say(f"the base learns {', '.join(source.class_names)}")
    base, classes = pretrained(run, source), len(dataset.class_names)
    run.say(f"the task: {LABELS} labels of {', '.join(dataset.class_names)} each")

    def trial(**options):
        def once(seed):
            x, y = few(dataset.x_train, dataset.y_train, seed)
            model, history, moved = train(x, y, run, base, classes=classes, **options)
            return Trial(evaluate(model, dataset), model, history, {"statistics moved": moved})

        return once

    run.row("from scratch", trial(use_technique=False), role="control")
    run.row("frozen base, new head", trial(epochs=0))
    run.row("fine-tuned", trial(), role="technique")
    run.finish(save_inputs=dataset.x_test[:256])


if __name__ == "__main__":
    sys.exit(main())
