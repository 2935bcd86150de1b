"""Vision Transformer on Fashion-MNIST.

Shows     an image classified as a set of patches, and what it loses when no patch knows its place
Concept   self-attention in vision, patches, 2-D positions
Paper     Dosovitskiy et al. (2021), An Image is Worth 16x16 Words, arXiv:2010.11929;
          Beyer, Zhai, Kolesnikov (2022), Better plain ViT baselines, arXiv:2205.01580
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000)
Expect    not measured yet
Target    none published for a ViT of this size
Run       python recipes/vision/vit.py          --quick: under 30 s
Change    PATCH, WIDTH, DEPTH, EPOCHS
"""

import sys

from kerasdnn.layers import (
    AttentionPooling,
    LearnedPositionEmbedding,
    PatchEmbedding,
    SinePositionEncoding,
    TransformerEncoderBlock,
)
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
PATCH = 4  # pixels, side of a patch: 7 x 7 patches
WIDTH = 64  # numbers of a token
DEPTH, HEADS, MLP = 4, 4, 128  # blocks, attention heads, hidden units of a block
EPOCHS = 12  # passes over the training images
FEW_IMAGES, FEW_EPOCHS = 20_000, 20  # the bundled images are seen more often
QUICK_EPOCHS, QUICK_DEPTH = 1, 2
BATCH = 128  # images a step
PEAK_RATE = 2e-3  # AdamW's learning rate at the top of the cycle
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
GATES = {
    "fashion_mnist": Gate(0.90, gain=0.005),
    "fashion_mnist_bundled": Gate(0.84, gain=0.005),
}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10, positions="2-D sine", depth=DEPTH):
    """Returns the network, pixels to logits; `hp` chooses width and depth (Keras Tuner)."""
    width = WIDTH
    if hp is not None:
        width = hp.Int("width", 32, 128, step=32)
        depth = hp.Int("depth", 1, 8)
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = PatchEmbedding(PATCH, width, flatten=False)(x)  # (B, 7, 7, D)
    if positions == "2-D sine":
        x = layers.Add()([x, SinePositionEncoding()(x)])
    tokens = layers.Reshape((-1, width))(x)  # (B, 49, D)
    if positions == "learned":
        tokens = layers.Add()([tokens, LearnedPositionEmbedding(tokens.shape[1])(tokens)])
    for block in range(depth):
        tokens = TransformerEncoderBlock(HEADS, MLP, name=f"block_{block}")(tokens)
    tokens = layers.LayerNormalization(epsilon=1e-6, name="norm")(tokens)
    x = AttentionPooling(HEADS, name="pooling")(tokens)  # (B, D)
    logits = layers.Dense(classes, dtype="float32")(x)  # (B, 10)
    return keras.Model(inputs, logits, name="vit")


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run, *, use_technique=True, positions=None):
    """Trains one network, with positions or without; returns it and its history."""
    positions = positions or ("2-D sine" if use_technique else "none")
    x, y = dataset.x_train, dataset.y_train
    epochs = EPOCHS if len(x) > FEW_IMAGES else FEW_EPOCHS
    epochs = QUICK_EPOCHS if run.quick else epochs
    size = {"depth": QUICK_DEPTH} if run.quick else {}

    def compiled():
        model = build(None, x.shape[1:], len(dataset.class_names), positions, **size)
        mirror = layers.RandomFlip("horizontal")
        trainer = keras.Sequential([keras.Input(x.shape[1:]), mirror, model])
        trainer.compile(
            keras.optimizers.AdamW(
                OneCycle(PEAK_RATE, epochs * -(-len(x) // BATCH)), weight_decay=WEIGHT_DECAY
            ),
            SparseCategoricalCrossentropy(from_logits=True, label_smoothing=LABEL_SMOOTHING),
            metrics=["accuracy"],
        )
        return trainer

    trainer = run.fastest(compiled, x, y, batch_size=BATCH, once=True)
    label = f"positions: {positions}"
    history = run.fit(trainer, x, y, batch_size=BATCH, epochs=epochs, label=label)
    return trainer.get_layer("vit"), history


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset):
    """Returns the test accuracy; the image and its mirror image vote."""
    views = dataset.x_test, dataset.x_test[:, :, ::-1]
    logits = sum(model.predict(view, batch_size=500, verbose=0) for view in views)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


def attention(model, images):
    """Returns how much each patch counts in the class: the pooling's weights (N, rows, columns)."""
    tokens = keras.Model(model.inputs, model.get_layer("norm").output).predict(images, verbose=0)
    _, scores = model.get_layer("pooling")(tokens, return_attention_scores=True)  # (N, heads, T)
    rows, columns = (size // PATCH for size in images.shape[1:3])
    return keras.ops.convert_to_numpy(scores).mean(1).reshape(-1, rows, columns)


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=500)
    run.say(f"parameters: {build().count_params():,}")

    def trial(positions):
        def once(seed):
            model, history = train(dataset, run, positions=positions)
            return Trial(evaluate(model, dataset), model, history)

        return once

    run.row("no positions", trial("none"), role="control")
    if not run.quick:
        run.row("learned", trial("learned"), seeds=run.seeds[:1])
    run.row("2-D sine", trial("2-D sine"), role="technique")

    def examples(model):
        images, labels = dataset.x_test[:6], dataset.y_test[:6]
        guesses = model.predict(images, verbose=0).argmax(-1)
        weights = attention(model, images).repeat(PATCH, 1).repeat(PATCH, 2)[..., None]
        lit = images.mean(-1, keepdims=True) * weights / weights.max((1, 2, 3), keepdims=True)
        shown = np.stack([images.mean(-1, keepdims=True), lit], 1).reshape(-1, *lit.shape[1:])
        names = dataset.class_names
        titles = []
        for g, y in zip(guesses, labels):
            titles += [names[g] + ("" if g == y else f"\nis {names[y]}"), "attention"]
        return shown, titles

    run.finish(examples=examples, save_inputs=dataset.x_test[:256])


if __name__ == "__main__":
    sys.exit(main())
