"""Losses and optimizers, each at its own learning rate.

Shows     what cross-entropy gains over the squared error, and what each optimizer gains over SGD,
          when every one of them has the learning rate that suits it
Concept   losses, optimizers (MSE, CE; SGD, Adam)
Paper     Kingma, Ba (2014), Adam, arXiv:1412.6980; Loshchilov, Hutter (2017), AdamW,
          arXiv:1711.05101; Chen et al. (2023), Lion, arXiv:2302.06675
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000)
Expect    0.8670 ± 0.0071 (3 seeds), 0.3 min a run; control 0.8450
Target    none published for so short a training
Run       python recipes/basics/losses_optimizers.py          --quick: under 30 s
Change    OPTIMIZERS, LOSSES, EPOCHS
"""

import sys

from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers, ops

# --- Settings ------------------------------------------------------------------------------------
# How the rates are tuned: on five sixths of the training images, for the same number of epochs,
# with a seed that the table does not use; the best accuracy on the other sixth counts. From the
# rate that stands below the search goes up and down by STEP until both neighbours are worse.
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
HIDDEN = (256, 128)  # units
EPOCHS, FEW_IMAGES, FEW_EPOCHS = 4, 20_000, 12  # the bundled images are seen more often
QUICK_EPOCHS = 1
BATCH = 256  # images a step
HELD_OUT = 6  # one in so many training images is for tuning
TUNING_SEED = 1000
STEP = 3.0  # factor from one learning rate to the next
GATES = {"fashion_mnist": Gate(0.855, gain=0.01), "fashion_mnist_bundled": Gate(0.80, gain=0.01)}

OPTIMIZERS = {  # and the rate at which the search for the best one begins
    "SGD": (keras.optimizers.SGD, 0.1),
    "momentum": (lambda rate: keras.optimizers.SGD(rate, momentum=0.9), 0.1),
    "Adagrad": (keras.optimizers.Adagrad, 0.03),
    "RMSprop": (keras.optimizers.RMSprop, 1e-3),
    "Adam": (keras.optimizers.Adam, 1e-3),
    "AdamW": (lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.05), 1e-3),
    "Lion": (keras.optimizers.Lion, 3e-4),
}


def squared_error(labels, logits):
    """`mean_c (onehot(y) - softmax(logits))^2`: flat where the net is certain and wrong."""
    wanted = ops.one_hot(ops.cast(labels, "int32"), logits.shape[-1])
    return ops.mean((wanted - ops.softmax(logits)) ** 2, axis=-1)


LOSSES = {
    "cross-entropy": SparseCategoricalCrossentropy(from_logits=True),
    "squared error": squared_error,
}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10):
    """Returns the network, pixels to logits; `hp` may change the layers (Keras Tuner)."""
    hidden = HIDDEN
    if hp is not None:
        hidden = [hp.Int(f"units_{i}", 64, 512, step=64) for i in range(hp.Int("depth", 1, 3))]
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Flatten()(x)  # (B, 784)
    for units in hidden:
        x = layers.Dense(units, "relu", kernel_initializer="he_normal")(x)
    logits = layers.Dense(classes, dtype="float32")(x)  # (B, 10)
    return keras.Model(inputs, logits, name="mlp")


def fresh(dataset, run, loss, optimizer, rate):
    """Returns the network with new weights, ready to train."""

    def compiled():
        model = build(None, dataset.x_train.shape[1:], len(dataset.class_names))
        model.compile(OPTIMIZERS[optimizer][0](rate), LOSSES[loss], metrics=["accuracy"])
        return model

    model = run.fastest(
        compiled,
        dataset.x_train,
        dataset.y_train,
        batch_size=BATCH,
        once=True,
        reuse=f"{loss} {optimizer}",  # one compilation for all rates and seeds
    )
    model.optimizer.learning_rate = rate
    return model


def epochs_of(run, dataset):
    """Returns the length of every training, of the tuning too."""
    if run.quick:
        return QUICK_EPOCHS
    return EPOCHS if len(dataset.x_train) > FEW_IMAGES else FEW_EPOCHS


# --- Tune ----------------------------------------------------------------------------------------
def tune(dataset, run, loss, optimizer):
    """Returns the learning rate with the best accuracy on held-out training images."""
    held = np.arange(len(dataset.x_train)) % HELD_OUT == 0
    x, y = dataset.x_train[~held], dataset.y_train[~held]

    def rate(k):
        return float(f"{OPTIMIZERS[optimizer][1] * STEP**k:.3g}")

    def accuracy(k):
        if k not in found:
            keras.utils.set_random_seed(TUNING_SEED)
            model = fresh(dataset, run, loss, optimizer, rate(k))
            model.fit(x, y, batch_size=BATCH, epochs=epochs_of(run, dataset), verbose=0)
            logits = model.predict(dataset.x_train[held], batch_size=500, verbose=0)
            found[k] = float(np.mean(logits.argmax(-1) == dataset.y_train[held]))
        return found[k]

    found, best = {}, 0
    for direction in () if run.quick else (1, -1):
        while accuracy(best + direction) > accuracy(best):
            best += direction
    cells = ", ".join(f"{rate(k):g}: {a:.4f}" for k, a in sorted(found.items()))
    run.say(f"{loss}, {optimizer}, rate and held-out accuracy: {cells or 'not tuned'}")
    return rate(best)


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run, *, use_technique=True, loss=None, optimizer=None, rate=None):
    """Trains with cross-entropy and Adam (the control: squared error and SGD), or what is given."""
    loss = loss or ("cross-entropy" if use_technique else "squared error")
    optimizer = optimizer or ("Adam" if use_technique else "SGD")
    rate = rate or OPTIMIZERS[optimizer][1]
    x, y = dataset.x_train, dataset.y_train
    model = fresh(dataset, run, loss, optimizer, rate)
    label, epochs = f"{loss}, {optimizer}, rate {rate:.2g}", epochs_of(run, dataset)
    return model, run.fit(model, x, y, batch_size=BATCH, epochs=epochs, label=label)


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000)
    run.say("tuned on held-out training images, every one for itself")

    def trial(loss, optimizer):
        tuned = []

        def once(seed):
            if not tuned:  # once for all seeds
                tuned.append(tune(dataset, run, loss, optimizer))
                keras.utils.set_random_seed(seed)
            chosen = {"loss": loss, "optimizer": optimizer, "rate": tuned[0]}
            model, history = train(dataset, run, **chosen)
            first = history["accuracy"][0]
            columns = {"rate": tuned[0], "first epoch": first}
            return Trial(evaluate(model, dataset), model, history, columns)

        return once

    pairs = [("squared error", "SGD"), ("cross-entropy", "SGD"), ("squared error", "Adam")]
    pairs += [("cross-entropy", name) for name in OPTIMIZERS if name != "SGD"]
    if run.quick:
        pairs = [("squared error", "SGD"), ("cross-entropy", "Adam")]
    for loss, optimizer in pairs:
        roles = {("squared error", "SGD"): "control", ("cross-entropy", "Adam"): "technique"}
        role = roles.get((loss, optimizer), "row")
        run.row(f"{loss}, {optimizer}", trial(loss, optimizer), role=role)
    run.finish(save_inputs=dataset.x_test[:256], panels=[draw_slopes])


def draw_slopes(axis):
    """Draws why: the pull on the right class' logit, by the probability that the net gives it."""
    p = np.linspace(1e-3, 1 - 1e-3, 200)  # of two classes
    axis.plot(p, 1 - p, label="cross-entropy: 1 - p")
    axis.plot(p, 2 * p * (1 - p) ** 2, label="squared error: 2 p (1 - p)²")
    axis.set_xlabel("probability of the right class")
    axis.set_ylabel("size of the gradient by its logit")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


if __name__ == "__main__":
    sys.exit(main())
