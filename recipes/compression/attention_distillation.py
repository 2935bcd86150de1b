"""Attention distillation between vision Transformers on Fashion-MNIST.

Shows     whether a student that also attends where its teacher does learns more than from the
          teacher's answers alone
Concept   attention distillation
Paper     Jiao et al. (2020), TinyBERT, arXiv:1909.10351; Wang et al. (2020), arXiv:2002.10957
Data      fashion_mnist_bundled, 10,000 / 2,000
Expect    0.7877 ± 0.0047 (5 seeds), 0.6 min a run; control 0.7997
Target    none published for this setting
Run       python recipes/compression/attention_distillation.py          --quick: under 30 s
Change    MAP_WEIGHT, TEMPERATURE, the sizes of both models
"""

import sys

from kerasdnn.layers import LearnedPositionEmbedding, PatchEmbedding, TransformerEncoderBlock
from kerasdnn.losses import AttentionMapKL, SoftTargets, SparseCategoricalCrossentropy
from kerasdnn.models import Distiller
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
PATCH = 7  # pixels, side of a patch: 16 tokens an image
TEACHER = {"width": 64, "heads": 4, "blocks": 3}
STUDENT = {"width": 24, "heads": 2, "blocks": 1}
TEACHER_EPOCHS, EPOCHS = 20, 12  # passes over the training images
QUICK_EPOCHS = 1
BATCH = 128  # images a step
PEAK_RATE = 3e-3  # AdamW's learning rate at the top of the cycle
WEIGHT_DECAY = 0.02
TEMPERATURE = 4.0  # of both softmaxes
LABEL_WEIGHT = 0.1  # of the labels, beside 1 for the teacher's answers
MAP_WEIGHT = 5.0  # of the attention maps
GATES = {"fashion_mnist_bundled": Gate(0.80)}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10, width=24, heads=2, blocks=1):
    """Returns a vision Transformer, pixels to logits; its blocks are named block_0, block_1, ..."""
    if hp is not None:
        width = hp.Int("width", 16, 64, step=16)
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = PatchEmbedding(PATCH, width)(x)  # (B, 16, D)
    x = x + LearnedPositionEmbedding((IMAGE_SIZE[0] // PATCH) * (IMAGE_SIZE[1] // PATCH))(x)
    for index in range(blocks):
        x = TransformerEncoderBlock(heads, 2 * width, name=f"block_{index}")(x)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(inputs, layers.Dense(classes, dtype="float32")(x))


# --- Train ---------------------------------------------------------------------------------------
def fit(model, dataset, run, label, epochs):
    """Compiles and trains; returns the history."""
    epochs = QUICK_EPOCHS if run.quick else epochs
    steps = epochs * -(-len(dataset.x_train) // BATCH)
    model.compile(
        keras.optimizers.AdamW(OneCycle(PEAK_RATE, steps), weight_decay=WEIGHT_DECAY),
        SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=run.jit_compile,
    )
    return run.fit(
        model, dataset.x_train, dataset.y_train, label=label, batch_size=BATCH, epochs=epochs
    )


def train(dataset, run, teacher=None, *, use_technique=True):
    """Trains a student: with a teacher on its answers, with the technique on its maps too."""
    student = build(None, dataset.x_train.shape[1:], len(dataset.class_names), **STUDENT)
    if teacher is None:
        return student, fit(student, dataset, run, "labels alone", EPOCHS)
    losses = [SoftTargets(TEMPERATURE)]
    if use_technique:
        maps = {
            "loss": AttentionMapKL(),
            "weight": MAP_WEIGHT,
            "student_layer": f"block_{STUDENT['blocks'] - 1}",
            "teacher_layer": f"block_{TEACHER['blocks'] - 1}",
        }
        losses.append(maps)
    distiller = Distiller(student, teacher, losses, label_weight=LABEL_WEIGHT)
    label = "answers and attention" if use_technique else "answers alone"
    return student, fit(distiller, dataset, run, label, EPOCHS)


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist_bundled", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000)
    teachers = {}

    def teach(seed):
        if seed not in teachers:
            shape, classes = dataset.x_train.shape[1:], len(dataset.class_names)
            teacher = build(None, shape, classes, **TEACHER)
            teachers[seed] = teacher, fit(teacher, dataset, run, "teacher", TEACHER_EPOCHS)
        return teachers[seed]

    def teacher_row(seed):
        teacher, history = teach(seed)
        return Trial(evaluate(teacher, dataset), teacher, history)

    def student(use_teacher, use_technique):
        def once(seed):
            teacher = teach(seed)[0] if use_teacher else None
            model, history = train(dataset, run, teacher, use_technique=use_technique)
            return Trial(evaluate(model, dataset), model, history)

        return once

    run.row("teacher", teacher_row)
    run.row("student, labels alone", student(False, False))
    run.row("student, answers alone", student(True, False), role="control")
    run.row("student, answers and attention", student(True, True), role="technique")
    run.finish(save_inputs=dataset.x_test[:256])


if __name__ == "__main__":
    sys.exit(main())
