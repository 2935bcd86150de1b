"""Mixed precision on the device at hand: speed, memory, accuracy, and where float16 fails.

Shows     what float32, bfloat16 and float16 cost and give in training the same CNN here, and that
          small gradients vanish in float16 unless the loss is scaled
Concept   mixed precision
Paper     Micikevicius et al. (2018), Mixed Precision Training, arXiv:1710.03740
Data      fashion_mnist_bundled, 10,000 / 2,000
Expect    0.8933 ± 0.0058 (3 seeds), 0.3 min a run; control 0.8938
Target    none: the numbers are of the machine
Run       python recipes/precision/mixed_precision.py          --quick: under 30 s
Change    POLICIES, WIDTHS, TINY_LOSS
"""

import math
import statistics
import sys
import time

from kerasdnn import backend
from kerasdnn.layers import FusedBatchNormalization, ResidualBlock
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
WIDTHS = (32, 64, 128)  # channels of the stem and of the stages
EPOCHS = 10  # passes over the training images
EMULATED_IMAGES = 512  # training images of float16 where no GPU is: CPUs only emulate it
QUICK_IMAGES, QUICK_EPOCHS, QUICK_WIDTHS = 128, 1, (8, 16)
BATCH = 128  # images a step
ROUNDS = 9  # alternating measurements of each policy
PEAK_RATE = 4e-3  # AdamW's learning rate at the top of the cycle
TINY_LOSS = 1e-6  # weight of the loss at which float16 gradients vanish
TINY_EPOCHS = 3
GATES = {"fashion_mnist_bundled": Gate(0.84, gain=-0.003)}  # as accurate as float32


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10, widths=WIDTHS):
    """Returns a small residual CNN, pixels to logits, in the policy that is set."""
    stem, *widths = widths
    if hp is not None:
        widths = [hp.Int(f"width_{i}", w // 2, 2 * w, step=8) for i, w in enumerate(widths)]
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Conv2D(stem, 3, padding="same", use_bias=False)(x)
    x = layers.MaxPooling2D()(layers.Activation("relu")(FusedBatchNormalization()(x)))
    for width in widths:
        x = ResidualBlock(width, 2, fused_batch_norm=True)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, dtype="float32")(x))


def perceptron(input_shape, classes):
    """Returns an MLP for the demonstration of vanishing gradients."""
    inputs = keras.Input(input_shape)
    x = layers.Flatten()(layers.Rescaling(1 / 127.5, offset=-1)(inputs))
    x = layers.Dense(64, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(classes)(x))


def with_policy(policy, make):
    """Makes a model under a precision policy and puts the old one back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return make()
    finally:
        keras.config.set_dtype_policy(before)


def activation_megabytes(model):
    """Returns the size of what one batch leaves between the layers for the backward pass."""
    tensors = [t for layer in model.layers for t in keras.tree.flatten(layer.output)]
    sizes = {"float32": 4, "float16": 2, "bfloat16": 2}
    total = sum(math.prod(t.shape[1:]) * sizes.get(str(t.dtype), 4) for t in tensors)
    return BATCH * total / 1e6


# --- Train ---------------------------------------------------------------------------------------
def compiled(dataset, run, policy):
    """Returns the CNN under a policy, ready to train; Keras scales the loss under float16."""
    epochs = QUICK_EPOCHS if run.quick else EPOCHS
    steps = epochs * -(-len(dataset.x_train) // BATCH)
    shape, classes = dataset.x_train.shape[1:], len(dataset.class_names)

    def make():
        model = build(None, shape, classes, QUICK_WIDTHS if run.quick else WIDTHS)
        model.compile(
            keras.optimizers.AdamW(OneCycle(PEAK_RATE, steps), 0.05),
            SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=run.jit_compile,
        )
        return model

    return with_policy(policy, make)


def train(dataset, run, policy="mixed_bfloat16", *, use_technique=True, model=None):
    """Trains the CNN under a policy, without the technique in float32."""
    model = model or compiled(dataset, run, policy if use_technique else "float32")
    count = QUICK_IMAGES if run.quick else images_of(policy, dataset)
    x, y = dataset.x_train[:count], dataset.y_train[:count]
    epochs = QUICK_EPOCHS if run.quick else EPOCHS
    return model, run.fit(model, x, y, label=policy, batch_size=BATCH, epochs=epochs)


def images_of(policy, dataset):
    """Returns how many images a policy is trained on."""
    emulated = policy == "mixed_float16" and not backend.current().has_gpu()
    return EMULATED_IMAGES if emulated else len(dataset.x_train)


def speeds(models, dataset, run):
    """Returns images a second of training of each model, medians of alternating rounds.

    The models are afterwards as they were, to be trained without compiling them again.
    """
    x, y = dataset.x_train[:BATCH], dataset.y_train[:BATCH]
    states = {}
    for policy, model in models.items():
        model.optimizer.build(model.trainable_variables)
        states[policy] = [np.array(keras.ops.convert_to_numpy(v)) for v in everything(model)]
    found = {policy: [] for policy in models}
    for number in range(2 if run.quick else ROUNDS + 1):
        for policy, model in models.items():
            begin = time.perf_counter()
            model.train_on_batch(x, y)
            if number:  # the first round compiles
                found[policy].append(len(x) / (time.perf_counter() - begin))
    for policy, model in models.items():
        for variable, value in zip(everything(model), states[policy], strict=True):
            variable.assign(value)
    return {policy: statistics.median(values) for policy, values in found.items()}


def everything(model):
    """Returns all variables that training changes, but for the metrics."""
    return [*model.weights, *model.optimizer.variables]


def train_on_tiny_loss(dataset, run, scaled):
    """Trains an MLP in float16 on a loss so small that its gradients need scaling."""

    def make():
        model = perceptron(dataset.x_train.shape[1:], len(dataset.class_names))
        model.compile(
            keras.optimizers.Adam(1e-3, epsilon=1e-12),
            SparseCategoricalCrossentropy(from_logits=True),
            loss_weights=TINY_LOSS,
            metrics=["accuracy"],
            auto_scale_loss=scaled,
            jit_compile=run.jit_compile,
        )
        return model

    model = with_policy("mixed_float16", make)
    options = {"batch_size": BATCH, "epochs": 1 if run.quick else TINY_EPOCHS}
    label = "tiny loss, scaled" if scaled else "tiny loss, not scaled"
    return model, run.fit(model, dataset.x_train, dataset.y_train, label=label, **options)


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist_bundled", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000)
    models = {}
    for policy in POLICIES:
        keras.utils.set_random_seed(0)  # the same initial weights
        models[policy] = compiled(dataset, run, policy)
    speed = speeds(models, dataset, run)

    def trial(policy):
        def once(seed):
            model, history = train(dataset, run, policy, model=models.pop(policy, None))
            columns = {
                "images_per_second": speed[policy],
                "speedup": speed[policy] / speed["float32"],
                "activations_mb": activation_megabytes(model),
            }
            return Trial(evaluate(model, dataset), model, history, columns=columns)

        return once

    def tiny(scaled):
        def once(seed):
            model, history = train_on_tiny_loss(dataset, run, scaled)
            return Trial(evaluate(model, dataset), model, history)

        return once

    run.row("float32", trial("float32"), role="control")
    run.row("mixed_bfloat16", trial("mixed_bfloat16"), role="technique")
    if images_of("mixed_float16", dataset) < len(dataset.x_train):
        run.say(f"no GPU: float16 is emulated here, and trained on {EMULATED_IMAGES} images only")
    run.row("mixed_float16", trial("mixed_float16"))
    run.row(f"float16, loss x {TINY_LOSS:g}, not scaled", tiny(False))
    run.row(f"float16, loss x {TINY_LOSS:g}, scaled", tiny(True))
    best = max(speed, key=speed.get)
    gain = speed[best] / speed["float32"]
    advice = f"use {best}, {gain:.2f} x float32" if gain > 1.05 else "stay with float32"
    run.say(f"Advice for this device: {advice}.")
    run.finish(save_inputs=dataset.x_test[:256])


if __name__ == "__main__":
    sys.exit(main())
