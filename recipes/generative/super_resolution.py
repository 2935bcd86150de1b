"""Super-resolution: double the size of images, sharp by a GAN or right on average by L2.

Shows     that an L2 network beats bicubic in PSNR but blurs, and that a GAN looks like real images
Concept   GAN
Paper     Ledig et al. (2017), Photo-Realistic Single Image Super-Resolution, arXiv:1609.04802
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000); 14 x 14 to 28 x 28
Expect    25.0301 ± 0.0214 (3 seeds), 5.3 min a run; control 19.3104
Target    none published for Fashion-MNIST
Run       python recipes/generative/super_resolution.py          --quick: under 30 s
Change    WIDTH, EPOCHS, NOISE
"""

import sys

from kerasdnn import catalog
from kerasdnn.errors import InputError
from kerasdnn.losses import NonSaturatingGAN
from kerasdnn.metrics import KernelDistance
from kerasdnn.models import GAN
from kerasdnn.recipe import Gate, Trial, recipe
from kerasdnn.saving import load_model

import keras
import numpy as np
from keras import layers

# --- Settings ------------------------------------------------------------------------------------
IMAGE_SIZE = (28, 28)  # pixels of the large images; other images are resized to it
SMALL = (14, 14)  # each pixel is the mean of 2 x 2
WIDTH = 32  # channels
BLOCKS = 2  # residual blocks
NOISE = 8  # random numbers an image, of the GAN alone
EPOCHS, FEW_IMAGES, FEW_EPOCHS = 4, 20_000, 12  # the bundled images are seen more often
QUICK_EPOCHS = 1
BATCH = 128  # images a step
RATE, GAN_RATE = 1e-3, 2e-4  # Adam's learning rates
JUDGED = 5000  # test images of the kernel distance
GATES = {"fashion_mnist": Gate(0.0, gain=1.0), "fashion_mnist_bundled": Gate(0.0, gain=1.0)}


# --- Models --------------------------------------------------------------------------------------
def build(hp=None, noise=0):
    """Returns the network, small images in [-1, 1] (with noise before them, if any) to large ones.

    Its output has exactly the small image as its means of 2 x 2, so it only adds what they lack.
    """
    width = WIDTH if hp is None else hp.Int("width", 16, 64, step=16)
    small = x = keras.Input((*SMALL, 1))
    random = keras.Input((noise,)) if noise else None
    if noise:
        spread = layers.Reshape((*SMALL, 1))(layers.Dense(SMALL[0] * SMALL[1])(random))
        x = layers.Concatenate()([x, spread])
    x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)  # (B, 14, 14, 32)
    for _ in range(BLOCKS):
        y = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.Add()([x, layers.Conv2D(width, 3, padding="same")(y)])
    x = layers.Conv2DTranspose(width, 4, strides=2, padding="same", activation="relu")(x)
    large = layers.Conv2D(1, 3, padding="same", dtype="float32")(x)  # (B, 28, 28, 1)
    means = layers.UpSampling2D(2, dtype="float32")(layers.AveragePooling2D(2)(large))
    details = layers.Subtract(dtype="float32")([large, means])
    base = layers.UpSampling2D(2, dtype="float32")(small)
    outputs = layers.Add(dtype="float32")([base, details])
    return keras.Model([random, small] if noise else small, outputs, name="enlarger")


def discriminator():
    """Returns the discriminator of large images, which sees the small one as well."""
    large, small = keras.Input((*IMAGE_SIZE, 1)), keras.Input((*SMALL, 1))
    x = layers.Concatenate()([large, layers.UpSampling2D(2)(small)])
    for width in (WIDTH, 2 * WIDTH):  # (B, 14, 14, 32), (B, 7, 7, 64)
        x = layers.LeakyReLU(0.2)(layers.Conv2D(width, 4, strides=2, padding="same")(x))
    scores = layers.Dense(1, dtype="float32")(layers.Flatten()(x))
    return keras.Model([large, small], scores, name="discriminator")


# --- Train ---------------------------------------------------------------------------------------
def train(parts, run, *, use_gan):
    """Trains the network on the squared error, or as the generator of a GAN."""
    large, small = parts
    epochs = EPOCHS if len(large) > FEW_IMAGES else FEW_EPOCHS
    epochs = QUICK_EPOCHS if run.quick else epochs

    def compiled():
        if use_gan:
            networks = build(noise=NOISE), discriminator()
            model = GAN(*networks, latent_dim=NOISE, loss=NonSaturatingGAN(), seed=0)
            adam = [keras.optimizers.Adam(GAN_RATE, beta_1=0.5) for _ in networks]
            model.compile(*adam)
            return model
        model = build()
        model.compile(keras.optimizers.Adam(RATE), "mse")
        return model

    x, y = ((large, small), None) if use_gan else (small, large)
    model = run.fastest(compiled, x, y, batch_size=BATCH)
    label = "GAN" if use_gan else "L2"
    return model, run.fit(model, x, y, epochs=epochs, batch_size=BATCH, label=label)


# --- Evaluate ------------------------------------------------------------------------------------
def halved(images):
    """Returns the means of 2 x 2 pixels."""
    n, height, width, channels = images.shape
    return images.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def bicubic(small):
    """Returns images of twice the size."""
    large = keras.ops.image.resize(small, IMAGE_SIZE, interpolation="bicubic")
    return keras.ops.convert_to_numpy(large)


def ssim(a, b):
    """Returns the mean structural similarity, windows of 7 x 7 pixels, values in [0, 255]."""
    from scipy.ndimage import uniform_filter

    def mean(x):
        return uniform_filter(x, (0, 7, 7, 0))[:, 3:-3, 3:-3]

    a, b = a.astype("float64"), b.astype("float64")
    mean_a, mean_b, scale = mean(a), mean(b), 49 / 48  # unbiased variances
    var_a, var_b = scale * (mean(a * a) - mean_a**2), scale * (mean(b * b) - mean_b**2)
    both = scale * (mean(a * b) - mean_a * mean_b)
    small = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    over = (2 * mean_a * mean_b + small[0]) * (2 * both + small[1])
    return float(np.mean(over / ((mean_a**2 + mean_b**2 + small[0]) * (var_a + var_b + small[1]))))


def evaluate(guess, truth, features):
    """Returns the PSNR in dB, and SSIM and kernel distance as columns."""
    guess, truth = ((np.clip(images, -1, 1) + 1) * 127.5 for images in (guess, truth))
    error = np.mean((guess - truth) ** 2, axis=(1, 2, 3))
    psnr = float(np.mean(10 * np.log10(255**2 / np.maximum(error, 1e-6))))
    columns = {"ssim": ssim(guess, truth)}
    if features is not None:
        seen = [
            features.predict(x[:JUDGED].astype("float32"), batch_size=500, verbose=0)
            for x in (truth, guess)
        ]
        metric = KernelDistance()
        metric.update_state(*seen)
        columns["kernel_distance"] = metric.result()
    return psnr, columns


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="psnr_db", data="fashion_mnist", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE)
    if dataset.task != "image" or dataset.x_train.shape[-1] != 1:
        raise InputError(
            f"super_resolution expects grey images; received {dataset.name} of shape "
            f"{dataset.x_train.shape[1:]}. Convert them to grey first."
        )
    path = catalog.results_folder() / "cnn_augmentation" / "model.keras"
    features = None
    if path.is_file():
        network = load_model(path, compile=False)
        features = keras.Model(network.inputs, network.layers[-1].input)
    else:
        run.say(f"note: no kernel distance, since {path} is not there")
    scaled = [x.astype("float32") / 127.5 - 1 for x in (dataset.x_train, dataset.x_test)]
    (train_large, truth), (train_small, small) = scaled, [halved(x) for x in scaled]

    def trial(use_gan):
        def once(seed):
            model, history = train((train_large, train_small), run, use_gan=use_gan)
            if use_gan:
                guess, model = model.generate(len(small), small, seed=seed), model.generator
            else:
                guess = model.predict(small, batch_size=500, verbose=0)
            psnr, columns = evaluate(guess, truth, features)
            return Trial(psnr, model, history, columns)

        return once

    def cubic(seed):
        psnr, columns = evaluate(bicubic(small), truth, features)
        return Trial(psnr, columns=columns)

    run.row("bicubic", cubic, role="control", seeds=[0])
    run.row("GAN", trial(True))
    run.row("L2 network", trial(False), role="technique")

    def examples(model):
        shown = [bicubic(small[:4]), model.predict(small[:4], verbose=0), truth[:4]]
        images = np.clip(np.stack(shown, 1).reshape(12, *IMAGE_SIZE, 1), -1, 1) / 2 + 0.5
        return images, ["bicubic", "L2", "real"] * 4

    run.finish(examples=examples, save_inputs=small[:256])


if __name__ == "__main__":
    sys.exit(main())
