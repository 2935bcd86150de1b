"""Speed run on Fashion-MNIST.

Shows     how little computing a small convnet needs for the accuracy of Keras' plain MNIST-style
          convnet, and for 0.93, when every part is chosen for time to accuracy
Concept   speed
Paper     Jordan (2024), 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv:2404.00498; Smith,
          Topin (2017), Super-Convergence, arXiv:1708.07120
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000)
Expect    0.9309 ± 0.0004 (3 seeds), 1.3 min a run; control 0.9041
Target    0.901, the plain convnet of keras.io's "Simple MNIST convnet" after its 15 epochs
Run       python recipes/vision/fast_cnn.py --seeds 3          --quick: under 30 s
Change    SPRINT, FULL, the class `Views`
"""

import sys
import time

from kerasdnn.layers import FusedBatchNormalization
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.optimizers import OneCycle
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings: chosen on 5,000 held-out training images, the epochs of FULL by their time ---------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
# What is meant to be fast: the stem halves the image at once, so no layer works on 28 x 28; the
# rate rises and falls within a few epochs; an image is mirrored every other time it is seen instead
# of by chance.
SPRINT = {"widths": (16, 32, 64), "epochs": 2, "rate": 1.2e-2, "shift": 0}  # aims at the control
FULL = {"widths": (32, 64, 128), "epochs": 8, "rate": 5e-3, "shift": 2}  # aims at 0.93
BATCH = 256  # images a step
WARMUP = 0.25  # share of the steps
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
PLAIN_EPOCHS, PLAIN_BATCH = 15, 128  # as on keras.io
QUICK_EPOCHS = 6
GATES = {"fashion_mnist": Gate(0.93, gain=0.02), "fashion_mnist_bundled": Gate(0.86)}


# --- Data ----------------------------------------------------------------------------------------
class Views(keras.utils.PyDataset):
    """Batches in a new order each epoch, every image shifted a little and mirrored in turn.

    Half of the images start mirrored, and each epoch mirrors the other half: two epochs show both
    sides of every image, where coin tosses would show half of them the same side twice.
    """

    def __init__(self, x, y, *, shift, seed):
        super().__init__()
        self.x, self.y, self.shift, self.seed, self.epoch = x, y, shift, seed, 0
        border = ((0, 0), (shift, shift), (shift, shift), (0, 0))
        padded = np.pad(x, border)
        self.windows = np.lib.stride_tricks.sliding_window_view(padded, x.shape[1:3], axis=(1, 2))
        self.first_mirrored = np.random.default_rng(seed).random(len(x)) < 0.5
        self._begin()

    def _begin(self):
        draw = np.random.default_rng((self.seed, self.epoch))
        self.order = draw.permutation(len(self.x))
        self.moves = draw.integers(0, 2 * self.shift + 1, (2, len(self.x)))

    def on_epoch_end(self):
        self.epoch += 1
        self._begin()

    def __len__(self):
        return len(self.x) // BATCH  # the rest of an epoch, less than a batch, is left out

    def __getitem__(self, index):
        rows = self.order[index * BATCH : (index + 1) * BATCH]
        down, right = self.moves[:, rows]
        images = np.moveaxis(self.windows[rows, down, right], 1, -1)  # (B, 28, 28, C)
        mirrored = self.first_mirrored[rows] ^ bool(self.epoch % 2)
        images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
        return images, self.y[rows]


# --- Models --------------------------------------------------------------------------------------
def convolution(x, width, *, pool=False):
    """3 x 3 convolution, batch normalization, ReLU; pooling first halves the work of the rest."""
    x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
    x = layers.MaxPooling2D(padding="same")(x) if pool else x
    return layers.Activation("relu")(FusedBatchNormalization(momentum=0.8)(x))


def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10, widths=FULL["widths"]):
    """Returns the fast network, pixels to logits; `hp` may change the widths (Keras Tuner)."""
    if hp is not None:
        widths = [hp.Int(f"width_{i}", w // 2, 2 * w, step=8) for i, w in enumerate(widths)]
    first, second, third = widths
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 90, offset=-0.81)(inputs)  # mean 0, deviation 1
    x = layers.Conv2D(first, 4, 2, padding="same", use_bias=False)(x)
    x = layers.Activation("relu")(FusedBatchNormalization(momentum=0.8)(x))  # (B, 14, 14, 32)
    x = convolution(x, second, pool=True)  # (B, 7, 7, 64)
    x = layers.Add()([x, convolution(x, second)])
    x = convolution(x, third, pool=True)  # (B, 4, 4, 128)
    x = layers.Add()([x, convolution(x, third)])
    x = layers.GlobalMaxPooling2D()(x)  # (B, 128)
    logits = layers.Dense(classes, use_bias=False, dtype="float32")(x)
    logits = layers.Rescaling(0.25, dtype="float32")(logits)  # (B, 10)
    return keras.Model(inputs, logits, name="fast_cnn")


def compiled(shape, classes, setting, steps):
    """Returns the fast network of one setting, compiled for that many steps."""
    model = build(None, shape, classes, setting["widths"])
    model.compile(
        keras.optimizers.AdamW(
            OneCycle(setting["rate"], steps, warmup=WARMUP, anneal="linear"),
            weight_decay=WEIGHT_DECAY,
            beta_2=0.99,
        ),
        SparseCategoricalCrossentropy(from_logits=True, label_smoothing=LABEL_SMOOTHING),
        metrics=["accuracy"],
    )
    return model


def build_plain(input_shape, classes):
    """Returns keras.io's "Simple MNIST convnet", with pixels scaled inside."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(classes, activation="softmax"),
        ],
        name="plain",
    )


# --- Train ---------------------------------------------------------------------------------------
class Stopwatch(keras.callbacks.Callback):
    """Seconds from the end of the first step, which also compiles, to the end of the training."""

    def on_train_begin(self, logs=None):
        self.started = None

    def on_train_batch_end(self, batch, logs=None):
        if self.started is None:
            self.started = time.perf_counter(), time.process_time()

    def on_train_end(self, logs=None):
        self.seconds = time.perf_counter() - self.started[0]
        self.cpu_seconds = time.process_time() - self.started[1]  # of all threads


def train(dataset, run, *, use_technique=True, setting=FULL, seed=0):
    """Trains the fast network (the control: the plain one); returns it, its history, its watch."""
    x, y, watch = dataset.x_train, dataset.y_train, Stopwatch()
    shape, classes = x.shape[1:], len(dataset.class_names)
    if not use_technique:  # as on keras.io, and with Keras' own defaults of precision and jit
        model = build_plain(shape, classes)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = run.fit(
            model,
            x,
            y,
            batch_size=PLAIN_BATCH,
            epochs=QUICK_EPOCHS if run.quick else PLAIN_EPOCHS,
            label="plain",
            callbacks=[watch],
        )
        return model, history, watch

    views = Views(x, y, shift=setting["shift"], seed=seed)
    epochs = QUICK_EPOCHS if run.quick else setting["epochs"]

    steps = epochs * len(views)
    model = run.fastest(lambda: compiled(shape, classes, setting, steps), x, y, batch_size=BATCH)
    label = f"fast, {epochs} epochs"
    history = run.fit(model, views, label=label, epochs=epochs, callbacks=[watch], shuffle=False)
    return model, history, watch


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset, *, mirror=True):
    """Returns the test accuracy; with `mirror`, shifted and mirrored copies vote too."""
    outputs = 0.0
    for shift, weight in ((0, 2), (1, 1), (-1, 1)) if mirror else ((0, 1),):
        moved = np.roll(dataset.x_test, (shift, shift), axis=(1, 2))
        for view in (moved, moved[:, :, ::-1]) if mirror else (moved,):
            outputs += weight * model.predict(view, batch_size=500, verbose=0)
    return float(np.mean(outputs.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(
    metric="test_accuracy",
    data="fashion_mnist",
    gates=GATES,
    target=(0.901, 'keras.io, "Simple MNIST convnet", on Fashion-MNIST'),
)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000)
    plain = f"plain, {PLAIN_EPOCHS} epochs"

    def trial(**options):
        def once(seed):
            model, history, watch = train(dataset, run, seed=seed, **options)
            accuracy = evaluate(model, dataset, mirror=options["use_technique"])
            columns = {"seconds": watch.seconds, "CPU seconds": watch.cpu_seconds}
            if options["use_technique"]:  # how many times less than the plain one
                reference = run.rows[plain].summary()
                columns |= {f"{key}, x less": reference[key] / columns[key] for key in columns}
            return Trial(accuracy, model, history, columns)

        return once

    run.row(plain, trial(use_technique=False), role="control")
    for setting, role in (
        ((FULL, "technique"),) if run.quick else ((SPRINT, "row"), (FULL, "technique"))
    ):
        name = f"fast, {setting['epochs']} epochs"
        run.row(name, trial(use_technique=True, setting=setting), role=role)
    run.finish(save_inputs=dataset.x_test[:256])


if __name__ == "__main__":
    sys.exit(main())
