"""Vanishing and exploding gradients, and each cure alone.

Shows     how the gradient fades or grows with depth, activation and initialization, and what
          clipping, initialization, learning rate, batch normalization and shortcuts do about it
Concept   vanishing and exploding gradients
Paper     Glorot, Bengio (2010), Understanding the difficulty of training deep feedforward neural
          networks; He et al. (2015), arXiv:1502.01852; Ioffe, Szegedy (2015), arXiv:1502.03167;
          He et al. (2016), arXiv:1512.03385; Pascanu et al. (2013), arXiv:1211.5063
Data      fashion_mnist, 60,000 / 10,000 (bundled: 10,000 / 2,000)
Expect    0.8326 ± 0.0066 (3 seeds), 0.5 min a run; control 0.1000
Target    none published for these nets
Run       python recipes/diagnosis/gradients.py          --quick: under 30 s
Change    DEPTH, DEPTHS, FAULTS, CURES
"""

import math
import sys

from kerasdnn.callbacks import GradientMonitor
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import layers

# --- Settings: the rate is one at which a net of two hidden layers learns well -------------------
IMAGE_SIZE = (28, 28)  # pixels; other images are resized to it
DEPTH, DEPTHS = 20, (2, 5, 10)  # hidden layers of the faulty nets, and of shallower ones
WIDTH = 64  # units of each
EPOCHS, FEW_IMAGES, FEW_EPOCHS = 3, 20_000, 12  # the bundled images are seen more often
QUICK_EPOCHS = 1
BATCH = 256  # images a step
RATE, MOMENTUM = 0.02, 0.9  # of SGD, which, unlike Adam, feels the size of a gradient
RATE_FACTOR = {"vanishing": 50.0, "exploding": 1 / 50}
CLIP = 1.0  # gradient norm of all weights together
TOO_LARGE = 2.0  # times He's deviation
GATES = {
    "fashion_mnist": Gate(0.80, gain=0.5),
    "fashion_mnist_bundled": Gate(0.75, gain=0.5),
}

# Each net has one fault: a slope of at most 1/4 in every layer, or weights twice too large.
FAULTS = {
    "vanishing": {"activation": "sigmoid", "initializer": "glorot_normal"},
    "exploding": {"activation": "relu", "initializer": "too_large"},
}
CURES = {
    "clipping": {"clip": CLIP},
    "rate": {},
    "initialization": {"initializer": "he_normal"},
    "ReLU": {"activation": "relu"},
    "batch normalization": {"batch_norm": True},
    "shortcuts": {"shortcuts": True},
}


# --- Model ---------------------------------------------------------------------------------------
def build(
    hp=None,
    input_shape=(*IMAGE_SIZE, 1),
    classes=10,
    *,
    depth=DEPTH,
    activation="sigmoid",
    initializer="glorot_normal",
    batch_norm=False,
    shortcuts=False,
):
    """Returns the network, pixels to logits."""
    if hp is not None:
        depth = hp.Int("depth", 2, 40, step=2)
        activation = hp.Choice("activation", ["sigmoid", "tanh", "relu"])
        initializer = hp.Choice("initializer", ["glorot_normal", "he_normal"])
        batch_norm, shortcuts = hp.Boolean("batch_norm"), hp.Boolean("shortcuts")
    inputs = keras.Input(input_shape)  # (B, 28, 28, 1)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Flatten()(x)  # (B, 784)
    for i in range(depth):
        before = x
        x = layers.Dense(WIDTH, kernel_initializer=made(initializer), name=f"hidden_{i}")(x)
        if batch_norm:
            x = layers.BatchNormalization()(x)
        x = layers.Activation(activation)(x)  # (B, 64)
        if shortcuts and i > 0:
            x = layers.Add()([before, x])  # the gradient also goes past the layer
    logits = layers.Dense(classes, dtype="float32", name="logits")(x)  # (B, 10)
    return keras.Model(inputs, logits, name="deep_mlp")


def made(initializer):
    """Returns a new initializer; "too_large" has `TOO_LARGE` times the deviation of He's."""
    if initializer == "too_large":
        return keras.initializers.VarianceScaling(2 * TOO_LARGE**2, "fan_in", "untruncated_normal")
    return keras.initializers.get(initializer)


# --- Train ---------------------------------------------------------------------------------------
def train(
    dataset, run, *, use_technique=True, fault="vanishing", cure=None, depth=DEPTH, label=None
):
    """Trains the net with one fault and one cure (the technique: batch normalization) or none."""
    if cure is None and use_technique:
        cure = "batch normalization"
    changes = {**FAULTS[fault], **CURES.get(cure, {})}
    clip = changes.pop("clip", None)
    rate = RATE * (RATE_FACTOR[fault] if cure == "rate" else 1.0)
    x, y = dataset.x_train, dataset.y_train

    def compiled():
        model = build(None, x.shape[1:], len(dataset.class_names), depth=depth, **changes)
        model.compile(
            keras.optimizers.SGD(rate, momentum=MOMENTUM, global_clipnorm=clip),
            SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    model = run.fastest(compiled, x, y, batch_size=BATCH, once=True)
    epochs = EPOCHS if len(x) > FEW_IMAGES else FEW_EPOCHS
    monitor = GradientMonitor()
    history = run.fit(
        model,
        x,
        y,
        batch_size=BATCH,
        epochs=QUICK_EPOCHS if run.quick else epochs,
        label=label or fault,
        callbacks=[monitor],
    )
    return model, history, what_was_seen(monitor, depth)


# --- Evaluate ------------------------------------------------------------------------------------
def what_was_seen(monitor, depth):
    """Returns numbers of the first step, before any weight has moved, and the clip rate."""
    first_step = monitor.rows[0]["layers"]
    first, last = (first_step[f"hidden_{i}"]["gradient_norm"] for i in (0, depth - 1))
    tiny = np.finfo("float32").tiny  # what is below it has become zero
    return {
        "log10 first/last gradient": math.log10(max(first, tiny) / max(last, tiny)),
        "log10 gradient": math.log10(max(first, tiny)),
        "clip rate": monitor.rows[-1]["layers"]["logits"]["clip_rate"],
    }


def evaluate(model, dataset):
    """Returns the test accuracy; a model whose weights are no numbers has that of a guess."""
    logits = model.predict(dataset.x_test, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(-1) == dataset.y_test))


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="test_accuracy", data="fashion_mnist", gates=GATES)
def main(run):
    dataset = run.load(image_size=IMAGE_SIZE, quick_limit=1000, task="image")

    def trial(name, fault, cure=None, depth=DEPTH):
        def once(seed):
            model, history, columns = train(
                dataset,
                run,
                use_technique=False,
                fault=fault,
                cure=cure,
                depth=depth,
                label=name,
            )
            return Trial(evaluate(model, dataset), model, history, columns)

        return once

    for fault in ("vanishing",) if run.quick else FAULTS:
        for depth in () if run.quick else DEPTHS:
            name = f"{fault}, {depth} layers"
            run.row(name, trial(name, fault, depth=depth))
        name = f"{fault}, {DEPTH} layers"
        run.row(name, trial(name, fault), role="control" if fault == "vanishing" else "row")
        for cure in ("batch normalization",) if run.quick else CURES:
            if CURES[cure].items() <= FAULTS[fault].items() and cure != "rate":
                continue  # the net has it already
            technique = fault == "vanishing" and cure == "batch normalization"
            name = f"{fault} + {cure}"
            run.row(name, trial(name, fault, cure), role="technique" if technique else "row")
    run.finish(save_inputs=dataset.x_test[:256], panels=[draw_first_gradient(run)])


def draw_first_gradient(run):
    """Returns the panel of the figure that shows the gradient of the first layer of each row."""

    def draw(axis):
        rows = [row.summary() for row in run.rows.values()]
        axis.barh(range(len(rows)), [row["log10 gradient"] for row in rows], color="tab:gray")
        axis.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
        axis.invert_yaxis()
        axis.set_xlabel("log10 gradient norm of the first layer, first step")

    return draw


if __name__ == "__main__":
    sys.exit(main())
