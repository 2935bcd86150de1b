"""Activation functions in a net of twenty layers.

Shows     which activations let a gradient through twenty layers, and how many units they leave dead
Concept   activations (sigmoid, tanh, ReLU, leaky, PReLU, ELU, Swish, GELU, softmax; dying ReLU)
Paper     Glorot, Bengio (2010), Understanding the difficulty of training deep feedforward neural
          networks; He et al. (2015), arXiv:1502.01852; Klambauer et al. (2017), arXiv:1706.02515
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000)
Expect    0.8095 ± 0.0129 (3 seeds), 0.2 min a run; control 0.0999
Target    none published for this net
Run       python recipes/basics/activations.py          --quick: under 30 s
Change    ACTIVATIONS, DEPTH, WIDTH, RATE
"""

import sys

from kerasdnn import backend
from kerasdnn.layers import Swish
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings: of 0.01, 0.03 and 0.1 the rate is best for ReLU on 5,000 held-out training images -
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
DEPTH = 20  # hidden layers
WIDTH = 64  # units of each
EPOCHS, FEW_IMAGES, FEW_EPOCHS = 3, 20_000, 20  # the bundled images are seen more often
QUICK_EPOCHS = 1
BATCH = 500  # images a step
RATE = 0.01  # SGD's learning rate, with momentum 0.9
HIGH_RATE = 0.1  # ten times that, at which ReLU units die
PROBE = 1000  # training images on which units and gradients are looked at
DEAD_SLOPE = 1e-3  # a unit is dead if its slope is below this on every image of the probe
GATES = {
    "fashion_mnist": Gate(0.79, gain=0.5),
    "fashion_mnist_bundled": Gate(0.70, gain=0.5),
}

# Each comes with the initialization made for it, so nothing fails for want of one.
ACTIVATIONS = {
    "sigmoid": (lambda: layers.Activation("sigmoid"), "glorot_normal"),
    "softmax": (layers.Softmax, "glorot_normal"),  # it belongs at the output
    "tanh": (lambda: layers.Activation("tanh"), "glorot_normal"),
    "ReLU": (layers.ReLU, "he_normal"),
    "leaky ReLU": (lambda: layers.LeakyReLU(0.1), "he_normal"),
    "PReLU": (
        lambda: layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25)),
        "he_normal",
    ),
    "ELU": (layers.ELU, "he_normal"),
    "SELU": (lambda: layers.Activation("selu"), "lecun_normal"),
    "Swish (SiLU)": (lambda: layers.Activation("silu"), "he_normal"),
    "Swish, learned beta": (Swish, "he_normal"),
    "GELU": (lambda: layers.Activation("gelu"), "he_normal"),
}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10, activation="ReLU"):
    """Returns the network, pixels to logits; `hp` chooses the activation, depth and width."""
    depth, width = DEPTH, WIDTH
    if hp is not None:
        activation = hp.Choice("activation", list(ACTIVATIONS))
        depth, width = hp.Int("depth", 2, 40, step=2), hp.Int("width", 32, 256, step=32)
    make, initializer = ACTIVATIONS[activation]
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Flatten()(x)  # (B, 784)
    for i in range(depth):
        x = layers.Dense(width, kernel_initializer=initializer, name=f"hidden_{i}")(x)
        x = make()(x)  # (B, 64)
    logits = layers.Dense(classes, dtype="float32")(x)  # (B, 10)
    return keras.Model(inputs, logits, name="deep_mlp")


def hidden_layers(model):
    """Returns the hidden dense layers and the activation that follows each."""
    dense = [layer for layer in model.layers if layer.name.startswith("hidden_")]
    after = [model.layers[model.layers.index(layer) + 1] for layer in dense]
    return dense, after


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run, *, use_technique=True, activation=None, rate=RATE):
    """Trains the net with ReLU (the control: sigmoid), or with any other activation."""
    activation = activation or ("ReLU" if use_technique else "sigmoid")
    x, y = dataset.x_train, dataset.y_train

    def compiled():
        model = build(None, x.shape[1:], len(dataset.class_names), activation)
        model.compile(
            keras.optimizers.SGD(rate, momentum=0.9),
            SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    key = f"{activation} {rate}"  # one compilation for all seeds
    model = run.fastest(compiled, x, y, batch_size=BATCH, once=True, reuse=key)
    columns = {"log10 first/last gradient": gradient_ratio(model, x[:PROBE], y[:PROBE])}
    epochs = EPOCHS if len(x) > FEW_IMAGES else FEW_EPOCHS
    epochs = QUICK_EPOCHS if run.quick else epochs
    history = run.fit(model, x, y, batch_size=BATCH, epochs=epochs, label=activation)
    columns["dead units"] = dead_share(model, x[:PROBE])
    return model, history, columns


# --- Evaluate ------------------------------------------------------------------------------------
def gradient_ratio(model, x, y):
    """Returns log10 of the gradient's RMS in the first hidden layer over that in the last."""
    _, gradients = backend.current().loss_gradients(model, x, y)
    paths = [v.path for v in model.trainable_variables]
    first, *_, last = (layer.kernel.path for layer in hidden_layers(model)[0])
    sizes = [
        np.sqrt(np.mean(gradients[paths.index(p)].astype("float64") ** 2)) for p in (first, last)
    ]
    smallest = np.finfo("float32").tiny  # what is below it has become zero
    return float(np.log10(max(sizes[0], smallest) / max(sizes[1], smallest)))


def dead_share(model, x):
    """Returns the share of hidden units that no image of the probe can change any more."""
    dense, activations = hidden_layers(model)
    look = keras.Model(model.inputs[0], [layer.output for layer in dense])
    dead = []
    for z, activation in zip(look(x, training=False), activations, strict=True):
        policy = activation.dtype_policy  # differences need float32, whatever it was trained in
        activation.dtype_policy = keras.DTypePolicy("float32")
        slopes = keras.ops.convert_to_numpy(slope(activation, keras.ops.cast(z, "float32")))
        activation.dtype_policy = policy
        dead.append(~(np.abs(slopes).max(axis=0) > DEAD_SLOPE))  # (64,); NaN counts as dead
    return float(np.mean(dead))


def slope(activation, z):
    """Returns the derivative of each output by its own input, by differences."""
    if isinstance(activation, layers.Softmax):  # an output depends on all inputs
        return activation(z) * (1 - activation(z))
    step = 1e-2 * (1 + keras.ops.abs(z))
    return (activation(z + step) - activation(z - step)) / (2 * step)


def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000)

    def trial(activation, rate=RATE):
        def once(seed):
            model, history, columns = train(dataset, run, activation=activation, rate=rate)
            return Trial(evaluate(model, dataset), model, history, columns)

        return once

    rows = ["ReLU", "sigmoid"] if run.quick else ["ReLU", *ACTIVATIONS]
    for name in dict.fromkeys(rows):
        role = {"sigmoid": "control", "ReLU": "technique"}.get(name, "row")
        run.row(name, trial(name), role=role)
    if not run.quick:
        for name in ("ReLU", "leaky ReLU"):
            run.row(f"{name}, rate x 10", trial(name, HIGH_RATE))
    run.finish(save_inputs=dataset.x_test[:256], panels=[draw_dead_units(run)])


def draw_dead_units(run):
    """Returns the panel of the figure that shows the share of dead units of each row."""

    def draw(axis):
        rows = [row.summary() for row in run.rows.values()]
        axis.barh(range(len(rows)), [row["dead units"] for row in rows], color="tab:gray")
        axis.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
        axis.invert_yaxis()
        axis.set_xlim(0, 1)
        axis.set_xlabel("share of dead hidden units after training")

    return draw


if __name__ == "__main__":
    sys.exit(main())
