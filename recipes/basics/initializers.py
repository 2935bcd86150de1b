"""Initialization of a deep net.

Shows     that a deep net trains only if its first weights keep the size of the signal, by depth
Concept   initialization (Xavier, He)
Paper     Glorot, Bengio (2010), Understanding the difficulty of training deep feedforward neural
          networks; He et al. (2015), Delving Deep into Rectifiers, arXiv:1502.01852
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000)
Expect    0.7934 ± 0.0425 (3 seeds), 0.4 min a run; control 0.3269
Target    none published for this net
Run       python recipes/basics/initializers.py          --quick: under 30 s
Change    INITIALIZERS, DEPTHS, WIDTH
"""

import sys

from kerasdnn import backend
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings: rate and length are those of activations.py, whose net this is --------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
DEPTHS = (2, 8, 20)  # hidden layers; the last is the one that the recipe reports
WIDTH = 64  # units of each
EPOCHS, FEW_IMAGES, FEW_EPOCHS = 3, 20_000, 20  # the bundled images are seen more often
QUICK_EPOCHS, QUICK_DEPTHS = 1, (2, 12)
BATCH = 500  # images a step
RATE = 0.01  # SGD's learning rate, with momentum 0.9
PROBE = 1000  # training images on which signal and gradient are measured
GATES = {
    "fashion_mnist": Gate(0.79, gain=0.3),
    "fashion_mnist_bundled": Gate(0.70, gain=0.3),
}


def normal(gain, factor=1.0):
    """Returns a function of the number of inputs: weights `factor * N(0, gain / inputs)`."""

    def initializer(inputs):
        return keras.initializers.RandomNormal(stddev=factor * np.sqrt(gain / inputs))

    return initializer


# He's gain makes up for the half of the signal that ReLU cuts off; tanh needs none (between equal
# layers Xavier's 2 / (inputs + outputs) is 1 / inputs).
INITIALIZERS = {
    "He": ("relu", normal(2)),
    "constant": ("relu", lambda inputs: keras.initializers.Constant(1 / inputs)),
    "He x 0.1": ("relu", normal(2, 0.1)),
    "He x 10": ("relu", normal(2, 10)),
    "Xavier": ("relu", normal(1)),
    "tanh, Xavier": ("tanh", normal(1)),
    "tanh, Xavier x 0.1": ("tanh", normal(1, 0.1)),
}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(*IMAGE_SIZE, 1), classes=10, name="He", depth=DEPTHS[-1]):
    """Returns the network, pixels to logits; `hp` chooses initializer and depth (Keras Tuner)."""
    if hp is not None:
        name = hp.Choice("initializer", list(INITIALIZERS))
        depth = hp.Int("depth", 2, 40, step=2)
    activation, initializer = INITIALIZERS[name]
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Flatten()(x)  # (B, 784)
    for i in range(depth):
        start = initializer(x.shape[-1])
        x = layers.Dense(WIDTH, activation, kernel_initializer=start, name=f"hidden_{i}")(x)
    start = initializer(WIDTH)
    logits = layers.Dense(classes, kernel_initializer=start, dtype="float32")(x)  # (B, 10)
    return keras.Model(inputs, logits, name="deep_mlp")


# --- Train ---------------------------------------------------------------------------------------
def train(dataset, run, *, use_technique=True, name=None, depth=DEPTHS[-1]):
    """Trains the net from He's weights (the control: a constant), or from any others."""
    name = name or ("He" if use_technique else "constant")
    x, y = dataset.x_train, dataset.y_train

    def compiled():
        model = build(None, x.shape[1:], len(dataset.class_names), name, depth)
        model.compile(
            keras.optimizers.SGD(RATE, momentum=0.9),
            SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    key = f"{INITIALIZERS[name][0]} {depth}"  # one compilation for all that start differently
    model = run.fastest(compiled, x, y, batch_size=BATCH, once=True, reuse=key)
    columns = at_the_start(model, x[:PROBE], y[:PROBE], depth)
    epochs = EPOCHS if len(x) > FEW_IMAGES else FEW_EPOCHS
    epochs = QUICK_EPOCHS if run.quick else epochs
    label = f"{name}, depth {depth}"
    history = run.fit(model, x, y, batch_size=BATCH, epochs=epochs, label=label)
    return model, history, columns


# --- Evaluate ------------------------------------------------------------------------------------
def at_the_start(model, x, y, depth):
    """Returns what the first weights do to the signal going up and to the gradient coming down.

    Both as log10 of root mean squares: of the last hidden layer's output over the first one's (0 is
    the size kept), and of the gradient that arrives at the first hidden layer's weights.
    """
    ends = [model.get_layer(f"hidden_{i}") for i in (0, depth - 1)]
    signals = keras.Model(model.inputs[0], [end.output for end in ends])(x, training=False)
    _, gradients = backend.current().loss_gradients(model, x, y)
    first = [v.path for v in model.trainable_variables].index(ends[0].kernel.path)
    return {
        "log10 signal": _log_size(signals[1]) - _log_size(signals[0]),
        "log10 first gradient": _log_size(gradients[first]),
    }


def _log_size(values):
    values = keras.ops.convert_to_numpy(keras.ops.cast(values, "float32"))
    size = np.sqrt(np.mean(np.square(values, dtype="float64")))
    return float(np.log10(max(size, np.finfo("float32").tiny)))  # what is smaller has become zero


def evaluate(model, dataset):
    """Returns the test accuracy."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000)
    depths = QUICK_DEPTHS if run.quick else DEPTHS

    def trial(name):
        def once(seed):
            accuracies = {}
            for depth in depths:  # the deepest last: its model, history and ratios are kept
                model, history, columns = train(dataset, run, name=name, depth=depth)
                accuracies[depth] = evaluate(model, dataset)
            columns |= {f"depth {depth}": accuracies[depth] for depth in depths[:-1]}
            return Trial(accuracies[depths[-1]], model, history, columns)

        return once

    run.say(f"the value is that of depth {depths[-1]}")
    for name in ("He", "constant") if run.quick else INITIALIZERS:
        role = {"constant": "control", "He": "technique"}.get(name, "row")
        run.row(name, trial(name), role=role)
    run.finish(save_inputs=dataset.x_test[:256], panels=[draw_by_depth(run, depths)])


def draw_by_depth(run, depths):
    """Returns the panel of the figure that shows the accuracy over the depth."""

    def draw(axis):
        for row in (row.summary() for row in run.rows.values()):
            values = [*(row[f"depth {depth}"] for depth in depths[:-1]), row["value"]]
            axis.plot(depths, values, marker=".", label=row["name"])
        axis.set_xlabel("hidden layers")
        axis.set_ylabel("test accuracy")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)

    return draw


if __name__ == "__main__":
    sys.exit(main())
