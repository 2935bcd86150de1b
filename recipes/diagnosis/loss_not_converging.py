"""Why a loss does not converge: each cause made, diagnosed and repaired.

Shows     ten trainings of one network, each spoiled by one cause; what `diagnose` calls the cause,
          and the test accuracy before and after `repair`
Concept   loss does not converge: 8 causes
Paper     Zhang et al. (2021), AutoTrainer, ICSE 2021; Ben Braiek, Khomh (2022), TheDeepChecker
Data      digits, 1,438 / 359
Expect    not measured yet
Target    0.973 of the faulty trainings repaired, AutoTrainer, on faults of its own making
Run       python recipes/diagnosis/loss_not_converging.py          --quick: under 30 s
Change    CAUSES, or diagnose a training of your own: `kerasdnn diagnose FILE.py:build`
"""

import sys

from kerasdnn.diagnosis import Program, diagnose, repair
from kerasdnn.recipe import Gate, Trial, recipe

import keras
import numpy as np
from keras import initializers, layers
from keras.optimizers import SGD, Adam
from sklearn.model_selection import StratifiedKFold

# --- Settings ------------------------------------------------------------------------------------
HIDDEN = (64, 64)  # units
EPOCHS = 15  # passes over the training images
BATCH = 32  # images a step
RATE = 2e-3  # Adam's learning rate
FOLDS = 3  # of the cross-validation that chooses a network
REPAIRED = 0.05  # accuracy: as near to the healthy training, or so much gained from far below
DIAGNOSE_SECONDS, REPAIR_SECONDS = 12.0, 40.0  # budgets
QUICK_CAUSES = ("too few epochs",)
GATES = {"digits": Gate(0.8, gain=0.5)}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(8, 8, 1), classes=10, **spoil):
    """Returns the compiled network, pixels 0 to 1 to class probabilities.

    Args:
        hp: hyper-parameters of Keras Tuner, which then choose the rate.
        input_shape: shape of an image.
        classes: int.
        **spoil: what to do otherwise: `hidden`, `activation`, `initializer`, `optimizer`, `l2`,
            `dropout`.
    """
    rate = RATE if hp is None else hp.Float("rate", 1e-4, 1e-1, sampling="log")
    inputs = keras.Input(input_shape)  # (B, 8, 8, 1)
    x = layers.Flatten()(inputs)  # (B, 64)
    for units in spoil.get("hidden", HIDDEN):
        x = layers.Dense(
            units,
            activation=spoil.get("activation", "relu"),
            kernel_initializer=spoil.get("initializer", "he_normal"),
            kernel_regularizer=keras.regularizers.L2(spoil["l2"]) if spoil.get("l2") else None,
        )(x)
        x = layers.Dropout(spoil["dropout"])(x) if spoil.get("dropout") else x
    model = keras.Model(inputs, layers.Dense(classes, activation="softmax")(x), name="mlp")
    optimizer = spoil.get("optimizer", lambda: Adam(rate))()
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def program(data, *, epochs=EPOCHS, **spoil):
    """Returns the training, spoiled in the named way."""
    x, y = data
    shape, classes = x.shape[1:], int(y.max()) + 1
    return Program(
        lambda: build(None, shape, classes, **spoil),
        x,
        y,
        fit={"batch_size": BATCH, "epochs": epochs},
    )


# --- Causes: the training that each one spoils, and the names that are right for it ---------------
def unbalanced(data):
    """Keeps one row in twenty of the second half of the classes."""
    x, y = data
    keep = (y < 5) | (np.random.default_rng(0).uniform(size=len(y)) < 0.05)
    return x[keep], y[keep]


def few_and_wrong(data):
    """Keeps 300 rows and gives a quarter of them another label."""
    x, y = data[0][:300], data[1][:300].copy()
    random = np.random.default_rng(0)
    wrong = random.uniform(size=len(y)) < 0.25
    y[wrong] = random.integers(0, int(y.max()) + 1, int(wrong.sum()))
    return x, y


CAUSES = {
    "learning rate too high": (lambda d: program(d, optimizer=lambda: Adam(0.5)), {"lr.high"}),
    "learning rate too low": (
        lambda d: program(d, optimizer=lambda: SGD(1e-4)),
        {"lr.low", "fit.epochs"},
    ),
    "initialization": (
        lambda d: program(d, initializer=initializers.Constant(0.05)),
        {"init.constant", "init.scale"},
    ),
    "activation": (
        lambda d: program(d, hidden=(32,) * 8, activation="sigmoid"),
        {"grad.vanish", "act.saturated"},
    ),
    "unscaled data": (
        lambda d: program((d[0] * 2550.0, d[1]), optimizer=lambda: SGD(0.05)),
        {"data.scale_x"},
    ),
    "network too simple": (lambda d: program(d, hidden=(1,)), {"fit.underfit"}),
    "network too complex": (
        lambda d: program(few_and_wrong(d), hidden=(512, 512), epochs=40),
        {"fit.overfit", "data.labels"},
    ),
    "too much regularization": (lambda d: program(d, l2=1.0), {"reg.strong"}),
    "too few, unbalanced data": (lambda d: program(unbalanced(d), epochs=6), {"data.imbalance"}),
    "too few epochs": (lambda d: program(d, epochs=1), {"fit.epochs", "lr.low"}),
}
# A network that is too simple or too complex is not repaired but chosen, by cross-validation.
CHOICES = {
    "network too simple": [{"hidden": (width,)} for width in (1, 4, 16, 64)],
    "network too complex": [
        {"hidden": hidden, "l2": l2} for hidden in ((512, 512), (64,)) for l2 in (0.0, 0.003, 0.03)
    ],
}


# --- Train, diagnose, repair ---------------------------------------------------------------------
def train(made, *, use_technique=True, report=None):
    """Trains a program, repaired first with the technique; returns model, history and remedies."""
    applied = []
    if use_technique:
        result = repair(made, report, seconds=REPAIR_SECONDS)
        made, applied = result.program, [step["remedy"] for step in result.applied]
    model = made.build()
    history = model.fit(np.asarray(made.x), made.y, verbose=0, **made.fit).history
    return model, history, applied, made


def cross_validated(made, choices):
    """Returns the choice with the best mean accuracy on held-out folds."""
    scores = []
    for choice in choices:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(made.x[:, 0, 0], made.y)
        parts = []
        for rows, held in folds:
            model = program((made.x[rows], made.y[rows]), **choice).build()
            model.fit(made.x[rows], made.y[rows], verbose=0, **made.fit)
            parts.append(evaluate(model, made.x[held], made.y[held]))
        scores.append(np.mean(parts))
    return choices[int(np.argmax(scores))]


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, x, y):
    """Returns the mean over the classes of the share that is recognised."""
    guess = model.predict(x, batch_size=500, verbose=0).argmax(-1)
    return float(np.mean([(guess[y == name] == name).mean() for name in np.unique(y)]))


def scaled_like(made, original, x):
    """Returns test images treated as the repaired program treats its training images."""
    before, after = np.asarray(original.x, "float64"), np.asarray(made.x, "float64")
    if before.shape != after.shape or np.allclose(before, after):
        return x
    slope = after.std() / before.std()  # the remedy is one shift and one scale
    return ((x - before.mean()) * slope + after.mean()).astype("float32")


# --- Main ----------------------------------------------------------------------------------------
@recipe(
    metric="repaired",
    data="digits",
    gates=GATES,
    target=(0.973, "AutoTrainer, ICSE 2021, faults of its own making"),
)
def main(run):
    dataset = run.load(image_size=(8, 8), quick_limit=400)
    data = dataset.x_train / np.float32(255), dataset.y_train
    test = dataset.x_test / np.float32(255), dataset.y_test
    causes = [c for c in CAUSES if c in QUICK_CAUSES or not run.quick]
    kept = {}

    def healthy(seed):
        model, history, _, _ = train(program(data), use_technique=False)
        kept["model"] = model
        return Trial(1.0, model, history, {"after": evaluate(model, *test)})

    def spoiled(cause):
        make, right = CAUSES[cause]

        def once(seed):
            made = make(data)
            x = test[0] * (2550.0 if cause == "unscaled data" else 1.0)
            model, _, _, _ = train(made, use_technique=False)
            before = evaluate(model, x, test[1])
            report = diagnose(made, seconds=DIAGNOSE_SECONDS)
            if cause in CHOICES:
                choice = cross_validated(made, CHOICES[cause])
                fixed = program((made.x, made.y), epochs=made.epochs, **choice)
                model, history, _, _ = train(fixed, use_technique=False)
                applied = [f"chosen by cross-validation: {choice}"]
            else:
                model, history, applied, fixed = train(made, report=report)
            after = evaluate(model, scaled_like(fixed, made, x), test[1])
            first = report.top.id if report.top else "nothing"
            run.say(f"{cause}: found {first}; {'; '.join(applied) or 'no remedy'}")
            reference = run.rows["healthy"].columns[0]["after"]
            good = after >= reference - REPAIRED or (before < 0.5 * after and after > 0.8)
            good = good or (cause == "network too complex" and after >= before + REPAIRED)
            named = float(first in right)
            cells = {"before": before, "after": after, "named": named}
            return Trial(float(good), model, history, cells)

        return once

    run.row("healthy", healthy)
    for cause in causes:
        run.row(cause, spoiled(cause))

    def share(column):
        def once(seed):
            reference = run.rows["healthy"].columns[0]["after"] - REPAIRED
            at = run.seeds.index(seed)
            cells = [(run.rows[c].values[at], run.rows[c].columns[at]) for c in causes]
            if column == "before":
                value = np.mean([cell["before"] >= reference for _, cell in cells])
            else:
                value = np.mean([good for good, _ in cells])
            mean = {key: float(np.mean([cell[key] for _, cell in cells])) for key in cells[0][1]}
            return Trial(float(value), kept.get("model"), columns=mean)

        return once

    run.row("all, left as they are", share("before"), role="control")
    run.row("all, diagnosed and repaired", share("after"), role="technique")

    def before_and_after(axis):
        for place, cause in enumerate(causes):
            cells = run.rows[cause].columns
            ends = [np.mean([cell[key] for cell in cells]) for key in ("before", "after")]
            axis.plot(ends, [place, place], color="tab:gray", zorder=1)
            axis.scatter(ends, [place, place], c=["tab:red", "tab:green"], zorder=2)
        axis.set_yticks(range(len(causes)), causes, fontsize=8)
        axis.invert_yaxis()
        axis.set_xlabel("test accuracy before (red) and after (green)")
        axis.grid(alpha=0.3)

    run.finish(panels=[before_and_after])


if __name__ == "__main__":
    sys.exit(main())
