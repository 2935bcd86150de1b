"""GAN on Fashion-MNIST: three losses, judged by features, classes and a grid of images.

Shows     what the non-saturating, hinge and Wasserstein losses generate in equal time, on one scale
Concept   GAN
Paper     Goodfellow et al. (2014), arXiv:1406.2661; Gulrajani et al. (2017), arXiv:1704.00028;
          Heusel et al. (2017), arXiv:1706.08500
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000)
Expect    not measured yet
Target    none: the distance is on features of the catalog's own network, not of Inception
Run       python recipes/generative/gan.py          --quick: under 30 s
Change    LOSSES, WIDTH, EPOCHS
"""

import sys

from kerasdnn import catalog
from kerasdnn.callbacks import ImageGrid
from kerasdnn.callbacks.samples import grid
from kerasdnn.layers import FusedBatchNormalization, MinibatchStdDev
from kerasdnn.losses import (
    HingeGAN,
    NonSaturatingGAN,
    SparseCategoricalCrossentropy,
    WassersteinGAN,
)
from kerasdnn.metrics import FrechetDistance, KernelDistance
from kerasdnn.models import GAN
from kerasdnn.recipe import Trial, recipe
from kerasdnn.saving import load_model

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
LATENT = 64  # numbers that an image is made from
WIDTH = 32  # channels of the first convolution; the second has twice as many
EPOCHS, FEW_IMAGES, FEW_EPOCHS = 12, 20_000, 40  # the bundled images are seen more often
QUICK_EPOCHS = 1
BATCH = 128  # images a step
RATE = 2e-4  # Adam's learning rate, of both networks
BETA_1 = 0.5  # Adam's first decay
SAMPLES, EPOCH_SAMPLES = 10_000, 1000  # generated to judge, and to judge after each epoch
JUDGE_EPOCHS = 3  # of a judge that has to be trained first, on data of one's own
LOSSES = {  # loss, and steps of the discriminator for one of the generator
    "hinge": (HingeGAN, 1),
    "WGAN-GP": (WassersteinGAN, 3),
    "non-saturating": (NonSaturatingGAN, 1),
}
TECHNIQUE = "non-saturating"
# The control is real images without one class: whoever is nearer has lost less than a class.
GATES = {}


# --- Models --------------------------------------------------------------------------------------
def build(hp=None, channels=1):
    """Returns the generator, latent vectors to images in [-1, 1]."""
    width = WIDTH if hp is None else hp.Int("width", 16, 96, step=16)
    inputs = keras.Input((LATENT,))
    x = layers.Dense(7 * 7 * 2 * width, use_bias=False)(inputs)
    x = layers.Reshape((7, 7, 2 * width))(x)
    x = layers.ReLU()(FusedBatchNormalization()(x))
    x = layers.Conv2DTranspose(width, 4, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(FusedBatchNormalization()(x))  # (B, 14, 14, 32)
    x = layers.Conv2DTranspose(channels, 4, strides=2, padding="same")(x)
    images = layers.Activation("tanh", dtype="float32")(x)  # (B, 28, 28, C)
    return keras.Model(inputs, images, name="generator")


def discriminator(channels=1):
    """Returns the discriminator, images to scores; without batch norm, which no penalty allows."""
    inputs = keras.Input((*IMAGE_SIZE, channels))
    x = inputs
    for width in (WIDTH, 2 * WIDTH):  # (B, 14, 14, 32), (B, 7, 7, 64)
        x = layers.Conv2D(width, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Flatten()(MinibatchStdDev()(x))
    return keras.Model(inputs, layers.Dense(1, dtype="float32")(x), name="discriminator")


def judge(dataset, run):
    """Returns a classifier of pixels 0-255 and the model of its last features before the logits."""
    path = catalog.results_folder() / "cnn_augmentation" / "model.keras"
    if dataset.name.startswith("fashion_mnist") and path.is_file():
        classifier = load_model(path, compile=False)
    else:
        run.say("judge: no saved network knows these classes, so a small one is trained")
        classifier = keras.Sequential([keras.Input(dataset.x_train.shape[1:])])
        classifier.add(layers.Rescaling(1 / 127.5, offset=-1))
        for width in (32, 64):
            classifier.add(layers.Conv2D(width, 3, strides=2, padding="same", activation="relu"))
        classifier.add(layers.GlobalAveragePooling2D())
        classifier.add(layers.Dense(len(dataset.class_names)))
        classifier.compile("adam", SparseCategoricalCrossentropy(from_logits=True))
        epochs = 1 if run.quick else JUDGE_EPOCHS
        classifier.fit(dataset.x_train, dataset.y_train, epochs=epochs, batch_size=64, verbose=0)
    return classifier, keras.Model(classifier.inputs, classifier.layers[-1].input)


# --- Train ---------------------------------------------------------------------------------------
class DistanceByEpoch(keras.callbacks.Callback):
    """Puts the distance of some samples from real images into the history."""

    def __init__(self, real, features, number):
        super().__init__()
        self.real, self.features, self.number = real, features, number

    def on_epoch_end(self, epoch, logs=None):
        metric = FrechetDistance()
        images = pixels(self.model.generate(self.number, seed=0))
        metric.update_state(self.real, look(self.features, images))
        logs["frechet_distance"] = metric.result()


def train(dataset, run, name, callbacks):
    """Trains one GAN; returns it and its history."""
    loss, steps = LOSSES[name]
    x = dataset.x_train.astype("float32") / 127.5 - 1.0
    epochs = EPOCHS if len(x) > FEW_IMAGES else FEW_EPOCHS
    epochs = QUICK_EPOCHS if run.quick else epochs

    def compiled():
        networks = build(channels=x.shape[-1]), discriminator(x.shape[-1])
        gan = GAN(*networks, latent_dim=LATENT, loss=loss(), discriminator_steps=steps, seed=0)
        gan.compile(
            keras.optimizers.Adam(RATE, beta_1=BETA_1), keras.optimizers.Adam(RATE, beta_1=BETA_1)
        )
        return gan

    gan = run.fastest(compiled, x, None, batch_size=BATCH)
    return gan, run.fit(gan, x, epochs=epochs, batch_size=BATCH, label=name, callbacks=callbacks)


# --- Evaluate ------------------------------------------------------------------------------------
def pixels(images):
    """Returns pixels 0-255 of images in [-1, 1]."""
    return (np.clip(images, -1, 1) + 1) * 127.5


def look(network, images):
    """Returns what a network makes of images, as float32."""
    return network.predict(images.astype("float32"), batch_size=500, verbose=0).astype("float32")


def evaluate(images, real, networks):
    """Returns both distances of images from real features, and the share of the rarest class."""
    classifier, features = networks
    generated, distances = look(features, images), []
    for metric in (FrechetDistance(), KernelDistance()):
        metric.update_state(real, generated)
        distances.append(metric.result())
    guesses = look(classifier, images).argmax(-1)
    shares = np.bincount(guesses, minlength=classifier.output_shape[-1]) / len(images)
    columns = {"kernel_distance": distances[1], "rarest class": float(shares.min())}
    return distances[0], columns


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="frechet_distance", data="fashion_mnist", gates=GATES, higher_is_better=False)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000)
    networks = judge(dataset, run)
    half, y = dataset.x_test[::2], dataset.y_test[1::2]
    other = dataset.x_test[1::2].astype("float32")  # as many as the half they are compared with
    real, real_half = look(networks[1], dataset.x_test), look(networks[1], half)
    blurred = (other + np.roll(other, 1, axis=1) + np.roll(other, 1, axis=2)) / 3
    count = 500 if run.quick else SAMPLES

    def calibration(images):
        def once(seed):
            value, columns = evaluate(images, real_half, networks)
            return Trial(value, columns=columns)

        return once

    def trial(name):
        def once(seed):
            few = min(count, EPOCH_SAMPLES)
            callbacks = [
                DistanceByEpoch(real, networks[1], few),
                ImageGrid(run.folder / "samples" / f"{name}-{seed}", every=5),
            ]
            gan, history = train(dataset, run, name, callbacks)
            images = pixels(gan.generate(count, seed=seed))
            value, columns = evaluate(images, real, networks)
            return Trial(value, gan.generator, history, columns)

        return once

    run.row("real, against other real ones", calibration(other), seeds=[0])
    run.row("real, blurred", calibration(blurred), seeds=[0])
    run.row("real, one class missing", calibration(other[y != 0]), role="control", seeds=[0])
    if run.quick:
        run.say(f"--quick trains the {TECHNIQUE} loss alone")
    for name in [TECHNIQUE] if run.quick else LOSSES:
        run.row(name, trial(name), role="technique" if name == TECHNIQUE else "row")

    latent = np.random.default_rng(0).normal(size=(64, LATENT)).astype("float32")

    def draw_samples(axis):
        images = grid(run.trained_model().predict(latent, verbose=0), 8, 8)
        axis.imshow(images.squeeze(), cmap="gray")
        axis.set_title(f"{TECHNIQUE}: samples", fontsize=9)
        axis.axis("off")

    def draw_distances(axis):
        for (name, seed), history in run.histories.items():
            if seed == 0 and history.get("frechet_distance"):
                axis.plot(history["frechet_distance"], marker=".", label=name)
        axis.set_xlabel("epoch")
        axis.set_ylabel(f"frechet_distance of {min(count, EPOCH_SAMPLES)} samples")
        axis.set_yscale("log")
        axis.legend(fontsize=8)

    run.finish(save_inputs=latent, panels=[draw_distances, draw_samples])


if __name__ == "__main__":
    sys.exit(main())
