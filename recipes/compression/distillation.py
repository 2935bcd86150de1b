"""Knowledge distillation of an MLP on Fashion-MNIST.

Shows     that a small network that sees a tenth of the images learns more from a large one's soft
          answers to them than from their labels
Concept   knowledge distillation
Paper     Hinton, Vinyals, Dean (2015), arXiv:1503.02531, sections 3 and 6
Data      fashion_mnist_bundled, 10,000 / 2,000
Expect    0.5780 ± 0.0953 (5 seeds), 0.2 min a run; control 0.0000
Target    0.82, of the gap in test errors on MNIST (teacher 67, student 146, distilled 74)
Run       python recipes/compression/distillation.py          --quick: under 30 s
Change    TEMPERATURE, LABEL_WEIGHT, IMAGES, STUDENT, TEACHER
"""

import sys

from kerasdnn.losses import SoftTargets, SparseCategoricalCrossentropy
from kerasdnn.models import Distiller
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings: chosen on 2,000 held-out training images -------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
TEACHER, STUDENT = (512, 512), (128, 128)  # units of the hidden layers
DROPOUT = 0.4  # of the teacher's hidden units; as in the paper, the student has none
IMAGES = 0.1  # share of the training images that the students see; the teacher sees all
TEACHER_EPOCHS = 20  # passes over the images
STEPS, QUICK_STEPS = 2000, 20  # of every student
BATCH = 128  # images a step
PEAK_RATE = 2e-3  # Adam's learning rate at the top of the cycle
TEMPERATURE = 4.0  # of both softmaxes
LABEL_WEIGHT = 0.1  # of the labels, beside 1 for the teacher
GATES = {"fashion_mnist_bundled": Gate(0.5)}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10, hidden=STUDENT, dropout=0.0):
    """Returns an MLP, pixels to logits; with dropout its images are also mirrored in training."""
    if hp is not None:
        hidden = [hp.Int(f"units_{i}", 64, 512, step=64) for i in range(2)]
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    if dropout:
        x = layers.RandomFlip("horizontal")(x)
    x = layers.Flatten()(x)  # (B, 784)
    for units in hidden:
        x = layers.Dense(units, activation="relu", kernel_initializer="he_normal")(x)
        x = layers.Dropout(dropout)(x) if dropout else x
    return keras.Model(inputs, layers.Dense(classes, dtype="float32")(x))


# --- Train ---------------------------------------------------------------------------------------
def fit(model, x, y, run, label, steps):
    """Compiles and trains on labels, or on labels with a teacher's answers; returns history."""
    an_epoch = -(-len(x) // BATCH)
    epochs = max(1, (QUICK_STEPS if run.quick else steps) // an_epoch)
    model.compile(
        keras.optimizers.Adam(OneCycle(PEAK_RATE, epochs * an_epoch)),
        SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=run.jit_compile,
    )
    return run.fit(model, x, y, label=label, batch_size=BATCH, epochs=epochs)


def train(dataset, run, teacher=None, *, seed=0, mirrored=True, use_technique=True):
    """Trains a student, on its teacher's answers or on the labels alone."""
    rows = np.random.default_rng(seed).permutation(len(dataset.x_train))
    rows = rows[: max(BATCH, round(IMAGES * len(rows)))]
    x, y = dataset.x_train[rows], dataset.y_train[rows]
    if mirrored:
        x, y = np.concatenate([x, x[:, :, ::-1]]), np.concatenate([y, y])
    student = build(None, x.shape[1:], len(dataset.class_names))
    if not use_technique:
        return student, fit(student, x, y, run, "labels alone", STEPS)
    distiller = Distiller(student, teacher, SoftTargets(TEMPERATURE), label_weight=LABEL_WEIGHT)
    answers = distiller.teach(x, y)  # once, not in every epoch
    return student, fit(distiller, x, answers, run, "distilled", STEPS)


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(
    metric="share_of_gap_closed",
    data="fashion_mnist_bundled",
    gates=GATES,
    target=(0.82, "Hinton et al. (2015), MNIST, all images: 146 errors to 74, teacher 67"),
)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE)
    found = {}

    def teach(seed):
        if ("teacher", seed) not in found:
            shape, classes = dataset.x_train.shape[1:], len(dataset.class_names)
            teacher = build(None, shape, classes, TEACHER, DROPOUT)
            x, y = dataset.x_train, dataset.y_train
            steps = TEACHER_EPOCHS * -(-len(x) // BATCH)
            history = fit(teacher, x, y, run, "teacher", steps)
            found["teacher", seed] = teacher, history, evaluate(teacher, dataset)
        return found["teacher", seed]

    def share(accuracy, seed):
        gap = teach(seed)[2] - found["alone", seed]
        return (accuracy - found["alone", seed]) / gap if gap > 0 else 0.0

    def alone(seed):
        student, history = train(dataset, run, seed=seed, mirrored=False, use_technique=False)
        found["alone", seed] = evaluate(student, dataset)
        return Trial(0.0, student, history, columns={"accuracy": found["alone", seed]})

    def taught(**options):
        def once(seed):
            if ("alone", seed) not in found:  # after --resume
                alone(seed)
            student, history = train(dataset, run, teach(seed)[0], seed=seed, **options)
            accuracy = evaluate(student, dataset)
            return Trial(share(accuracy, seed), student, history, columns={"accuracy": accuracy})

        return once

    def teacher_row(seed):
        teacher, history, accuracy = teach(seed)
        return Trial(1.0, teacher, history, columns={"accuracy": accuracy})

    run.row("student alone", alone, role="control")
    run.row("teacher", teacher_row)
    run.row("student alone, mirrored images too", taught(use_technique=False))
    run.row("distilled student", taught(), role="technique")
    run.finish(save_inputs=dataset.x_test[:256])


if __name__ == "__main__":
    sys.exit(main())
