"""Small real trainings, one of each kind of state that a training can have."""

import functools

from kerasdnn import data, layers
from kerasdnn.callbacks import PruneToSparsity
from kerasdnn.models import GAN, MoCo, SimCLR
from kerasdnn.resume import exact_fit
from kerasdnn.runtime import seed_everything

import keras
import numpy as np

BATCH, EPOCHS, SAMPLES = 16, 3, 90  # six steps an epoch, the last batch is smaller
STEPS = -(-SAMPLES // BATCH)


@functools.cache
def images():
    digits = data.load("digits", limit=SAMPLES, seed=0)
    return digits.x_train.astype("float32"), digits.y_train


def signals():
    x, y = images()
    return x.reshape(len(x), 8, 8) / 16.0, y


def augmentation():
    return [
        keras.layers.RandomTranslation(0.1, 0.1),
        layers.RandomResizedCrop(8, 8, scale=(0.6, 1.0)),
        keras.layers.GaussianNoise(0.1),
    ]


def cnn():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            *augmentation(),
            keras.layers.Conv2D(8, 3, use_bias=False),
            layers.FusedBatchNormalization(),
            keras.layers.Activation("relu"),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(10, dtype="float32"),
        ]
    )
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(0.01, EPOCHS * STEPS), use_ema=True
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    return model


def lstm():
    model = keras.Sequential(
        [
            keras.Input((8, 8)),
            keras.layers.LSTM(8, dropout=0.2, recurrent_dropout=0.2),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
    model.jit_compile = False
    return model


def mixed():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")  # with a loss scale, which is state too
    try:
        return cnn()
    finally:
        keras.config.set_dtype_policy(policy)


def encoder():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.BatchNormalization(),
        ]
    )


def simclr():
    model = SimCLR(encoder(), keras.Sequential(augmentation()), temperature=0.5)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    return model


def moco():
    model = MoCo(encoder(), keras.Sequential(augmentation()), queue_size=48, momentum=0.9)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    return model


def gan():
    generator = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(64, activation="sigmoid"),
            keras.layers.Reshape((8, 8, 1)),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="leaky_relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    model = GAN(generator, discriminator, latent_dim=4)
    model.compile(jit_compile=False)
    return model


def stopping():
    return [
        keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=0, min_delta=10.0),
        keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True),
    ]


def pruning():
    return [PruneToSparsity(0.7, updates=7)]


# name: what builds the model, the data, the callbacks, and whether the labels are used
WORKLOADS = {
    "CNN with augmentation": (cnn, images, list, True),
    "LSTM with dropout": (lstm, signals, stopping, True),
    "SimCLR": (simclr, images, list, False),
    "MoCo": (moco, images, list, False),
    "GAN": (gan, images, list, False),
    "pruning": (cnn, images, pruning, True),
    "mixed precision": (mixed, images, list, True),
}
QUICK = ("CNN with augmentation", "LSTM with dropout")


def train(name, folder, every, *, watch=(), epochs=EPOCHS, say=None):
    """Trains one of the workloads; returns the model and its history."""
    build, load, others, labels = WORKLOADS[name]
    seed_everything(7)
    x, y = load()
    targets = y if labels else None
    model = build()
    history = exact_fit(
        model,
        x,
        targets,
        epochs=epochs,
        batch_size=BATCH,
        seed=7,
        resume_dir=folder,
        every=every,
        validation_data=(x[:20], y[:20]) if others is stopping else None,
        callbacks=[*others(), *watch],
        say=say,
    )
    return model, history


def arrays(model):
    """Returns every variable of a training: model with its random generators, optimizer."""
    return [
        np.asarray(keras.ops.convert_to_numpy(v))
        for v in [*model.variables, *model.optimizer.variables]
    ]
