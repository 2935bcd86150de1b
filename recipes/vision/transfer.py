"""Transfer learning: a network that knows clothes learns digits from ten labels a class.

Shows     what a pretrained network buys when labels are few, fine-tuned without moving the
          statistics of its batch normalization
Concept   transfer learning
Paper     Yosinski et al. (2014), How transferable are features in deep neural networks?,
          arXiv:1411.1792; Howard and Ruder (2018), ULMFiT, arXiv:1801.06146
Data      digits, 10 labels a class / 359
Expect    0.8960 ± 0.0190 (3 seeds), 0.5 min a run; control 0.9164
Target    none published for this split
Run       python recipes/vision/transfer.py          --quick: under 30 s
          python recipes/vision/transfer.py --base imagenet          downloads MobileNetV2
Change    LABELS, HEAD_EPOCHS, EPOCHS, DECAY
"""

import sys

from kerasdnn import catalog, data
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
HEAD_EPOCHS, EPOCHS = 20, 40  # passes with the base frozen, and with all layers moving
QUICK_EPOCHS = 2
BATCH = 20  # images a step
HEAD_RATE = 5e-3  # AdamW's peak rate of the new head alone
BASE_DIVISOR = 1  # then all layers move at HEAD_RATE / BASE_DIVISOR, earlier layers less:
DECAY = 1.0  # each layer at this share of the rate of the next; clothes are far from digits
SCRATCH_RATE = 4e-3  # peak rate from scratch
SCRATCH_MOMENTUM = 0.9  # Keras' 0.99 would not have followed the features in so few steps
WEIGHT_DECAY = 0.05
GATES = {"digits": Gate(0.90, gain=0.05)}


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
    """A smaller relative of the catalog's network, for when that is not there."""
    inputs = keras.Input(input_shape)  # (B, 28, 28, C)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for width in (16, 32, 64):  # (B, 14, 14, 16), (B, 7, 7, 32), (B, 4, 4, 64)
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D(padding="same")(x)
        x = layers.Activation("relu")(FusedBatchNormalization()(x))
        x = ResidualBlock(width, fused_batch_norm=True)(x)
    return keras.Model(inputs, layers.GlobalMaxPooling2D()(x), name="base")


def pretrained(run):
    """Returns the base that is transferred: images to a vector of features each."""
    if run.args.base == "imagenet":
        return imagenet_base(run.dataset.x_train.shape[1:], "imagenet")
    path = catalog.results_folder() / "cnn_augmentation" / "model.keras"
    if path.is_file() and not run.quick:
        run.say(f"base: the catalog's cnn_augmentation, {path}")
        cnn = load_model(path, compile=False)
        return keras.Model(cnn.inputs, cnn.layers[-2].output, name="base")
    kept = run.folder / "base.keras"
    if not kept.is_file():
        few = "quick" if run.quick else f"{path} is missing"
        run.say(f"base: a small network, trained here on the bundled Fashion-MNIST ({few})")
        clothes = data.load("fashion_mnist_bundled", limit=300 if run.quick else None)
        x, y = clothes.x_train, clothes.y_train
        epochs = 1 if run.quick else 4
        steps = epochs * -(-len(x) // 128)
        model = run.fastest(
            lambda: build(base=small_base(x.shape[1:]), steps=steps), x, y, batch_size=128
        )
        run.fit(model, x, y, batch_size=128, epochs=epochs, label="base, on clothes")
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
            f"--base imagenet needs weights that could not be had ({reason}). Go online, or leave "
            "--base out to transfer the catalog's own network."
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
                    layer.momentum = SCRATCH_MOMENTUM
        return build(None, copy, classes, steps=steps)

    model = run.fastest(compiled, x, y, batch_size=BATCH, once=True)
    base = model.get_layer("base")
    before = statistics(base)
    if use_technique:
        labels = iter(("the new head", "all layers"))
        history = fine_tune(
            model,
            x,
            y,
            base=base,
            loss=loss(),
            metrics=["accuracy"],
            head_epochs=head_epochs,
            epochs=epochs,
            learning_rate=HEAD_RATE,
            base_divisor=BASE_DIVISOR,
            decay=DECAY,
            batch_size=BATCH,
            optimizer=lambda rate: keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY),
            fit=lambda model, x, y, **options: run.fit(model, x, y, label=next(labels), **options),
        )
    else:
        passes = head_epochs + epochs
        history = run.fit(model, x, y, epochs=passes, batch_size=BATCH, label="from scratch")
    moved = sum(np.any(a != b) for a, b in zip(before, statistics(base), strict=True))
    return model, history, int(moved)


def statistics(model):
    """Returns all moving means and variances inside the model."""
    weights = zip(model.weights, model.get_weights(), strict=True)
    return [value.copy() for weight, value in weights if "moving" in weight.path]


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
    parser.add_argument(
        "--base", choices=["catalog", "imagenet"], default="catalog", help="what is transferred"
    )


@recipe(metric="test_accuracy", data="digits", gates=GATES, flags=flags)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=500)
    base, classes = pretrained(run), len(dataset.class_names)
    run.say(f"{LABELS} labels a class, {base.count_params():,} parameters below the head")

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
