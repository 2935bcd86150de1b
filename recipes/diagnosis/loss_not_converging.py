"""Why a loss does not converge: each cause made, diagnosed and repaired.

Shows     ten trainings of one network, each spoiled by one cause; what `diagnose` calls the cause,
          and the test accuracy before and after `repair`
Concept   loss does not converge: 8 causes
Paper     Zhang et al. (2021), AutoTrainer, ICSE 2021; Ben Braiek, Khomh (2022), TheDeepChecker
Data      digits, 1,438 / 359
Expect    0.8000 ± 0.0000 (3 seeds), 0.0 min a run; control 0.0000
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
LARGE = 2550  # the largest pixel of unscaled data
FOLDS = 3  # of the cross-validation that chooses a network
REPAIRED = 0.05  # accuracy: as near to the healthy training ...
GAINED = 0.1  # ... or, where the data are spoiled too, so much gained
SECONDS, QUICK_SECONDS = 12.0, 2.0  # of processor time, for a diagnosis; a repair takes thrice
QUICK_CAUSES = ("too few epochs",)
GATES = {"digits": Gate(0.8, gain=0.5)}


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, input_shape=(8, 8, 1), classes=10, **spoil):
    """Returns the compiled network, pixels 0 to 1 to class probabilities; `spoil` changes it."""
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
    shape, classes = data[0].shape[1:], int(data[1].max()) + 1
    fit = {"batch_size": BATCH, "epochs": epochs}
    return Program(lambda: build(None, shape, classes, **spoil), *data, fit)


# --- Causes: how each one spoils the training, and the findings that name it ---------------------
def too_large(data):
    """Gives pixels from 0 to 2,550."""
    return data[0] * np.float32(LARGE), data[1]


def unbalanced(data):
    """Keeps one row in twenty of the second half of the classes."""
    keep = (data[1] < 5) | (np.random.default_rng(0).uniform(size=len(data[1])) < 0.05)
    return data[0][keep], data[1][keep]


def few_and_wrong(data):
    """Keeps 300 rows and gives a quarter of them another label."""
    x, y = data[0][:300], data[1][:300].copy()
    random = np.random.default_rng(0)
    wrong = random.uniform(size=len(y)) < 0.25
    y[wrong] = random.integers(0, int(y.max()) + 1, int(wrong.sum()))
    return x, y


CONSTANT, DEEP = initializers.Constant(0.05), (32,) * 8
CAUSES = {
    "learning rate too high": (None, {"optimizer": lambda: Adam(0.5)}, "lr.high"),
    "learning rate too low": (None, {"optimizer": lambda: SGD(1e-4)}, "lr.low fit.epochs"),
    "initialization": (None, {"initializer": CONSTANT}, "init.constant init.scale"),
    "activation": (None, {"hidden": DEEP, "activation": "sigmoid"}, "grad.vanish act.saturated"),
    "unscaled data": (too_large, {"optimizer": lambda: SGD(0.05)}, "data.scale_x"),
    "network too simple": (None, {"hidden": (1,)}, "fit.underfit"),
    "network too complex": (few_and_wrong, {"hidden": (512,), "epochs": 40}, "fit.overfit"),
    "too much regularization": (None, {"l2": 1.0}, "reg.strong"),
    "too few, unbalanced data": (unbalanced, {"epochs": 6}, "data.imbalance"),
    "too few epochs": (None, {"epochs": 1, "optimizer": Adam}, "fit.epochs lr.low"),
}
# A network that is too simple or too complex is not repaired but chosen, by cross-validation.
CHOICES = {
    "network too simple": [{"hidden": (width,)} for width in (1, 4, 16, 64)],
    "network too complex": [
        {"hidden": hidden, "l2": l2} for hidden in ((512,), (64,)) for l2 in (0.0, 0.003, 0.03)
    ],
}


# --- Train, diagnose, repair ---------------------------------------------------------------------
def train(made, *, use_technique=True, report=None, seconds=3 * SECONDS):
    """Trains a program, which the technique repairs first; returns model, history, `Repaired`."""
    result = repair(made, report, seconds=seconds) if use_technique else None
    made = result.program if use_technique else made
    model = made.build()
    return model, model.fit(made.x, made.y, verbose=0, **made.fit).history, result


def cross_validated(made, choices):
    """Returns the choice with the best mean accuracy on held-out folds."""
    scores = []
    for choice in choices:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(made.y, made.y)
        parts = []
        for rows, held in folds:
            part = program((made.x[rows], made.y[rows]), epochs=made.epochs, **choice)
            model, _, _ = train(part, use_technique=False)
            parts.append(evaluate(model, made.x[held], made.y[held]))
        scores.append(np.mean(parts))
    return choices[int(np.argmax(scores))]


def mended(made, cause, report, seconds):
    """Returns model, history, what was done, and the program that was trained in the end."""
    if cause not in CHOICES:
        model, history, result = train(made, report=report, seconds=seconds)
        return model, history, [step["remedy"] for step in result.applied], result.program
    choice = cross_validated(made, CHOICES[cause])
    fixed = program((made.x, made.y), epochs=made.epochs, **choice)
    model, history, _ = train(fixed, use_technique=False)
    return model, history, [f"chosen by cross-validation: {choice}"], fixed


# --- Evaluate ------------------------------------------------------------------------------------
def evaluate(model, x, y):
    """Returns the mean over the classes of the share that is recognised."""
    guess = model.predict(x, batch_size=500, verbose=0).argmax(-1)
    return float(np.mean([(guess[y == name] == name).mean() for name in np.unique(y)]))


def treated_like(fixed, made, x):
    """Returns test images as the remedy scaled the training images."""
    return (x - made.x.mean()) * (fixed.x.std() / made.x.std()) + fixed.x.mean()


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
    x_test, y_test = dataset.x_test / np.float32(255), dataset.y_test
    causes = QUICK_CAUSES if run.quick else tuple(CAUSES)
    seconds = QUICK_SECONDS if run.quick else SECONDS

    def healthy(seed):
        model, history, _ = train(program(data), use_technique=False)
        return Trial(1.0, model, history, {"after": evaluate(model, x_test, y_test)})

    def spoiled(cause):
        def once(seed):
            change, spoil, right = CAUSES[cause]
            made = program(change(data) if change else data, **spoil)
            x = x_test * np.float32(LARGE if change is too_large else 1)
            before = evaluate(train(made, use_technique=False)[0], x, y_test)
            report = diagnose(made, seconds=seconds)
            model, history, done, fixed = mended(made, cause, report, 3 * seconds)
            after = evaluate(model, treated_like(fixed, made, x), y_test)
            found = report.top.id if report.top else "no finding"
            run.say(f"{cause}: {found}; {'; '.join(done) or 'no remedy'}")
            good = after >= healthy_accuracy - REPAIRED or after >= before + GAINED
            cells = {"before": before, "after": after, "named": float(found in right.split())}
            return Trial(float(good), model, history, cells)

        return once

    run.row("healthy", healthy)
    healthy_accuracy = np.mean([cell["after"] for cell in run.rows["healthy"].columns])
    for cause in causes:
        run.row(cause, spoiled(cause))

    def together(repaired):
        def once(seed):
            cells = [run.rows[cause].columns[run.seeds.index(seed)] for cause in causes]
            values = [cell["before"] >= healthy_accuracy - REPAIRED for cell in cells]
            if repaired:
                values = [run.rows[cause].values[run.seeds.index(seed)] for cause in causes]
            mean = {key: float(np.mean([cell[key] for cell in cells])) for key in cells[0]}
            model = train(program(data), use_technique=False)[0] if repaired else None
            return Trial(float(np.mean(values)), model, columns=mean)

        return once

    run.row("all, left as they are", together(False), role="control")
    run.row("all, diagnosed and repaired", together(True), role="technique")

    def before_and_after(axis):
        for place, cause in enumerate(causes):
            cells = run.rows[cause].columns
            ends = [np.mean([cell[key] for cell in cells]) for key in ("before", "after")]
            axis.plot(ends, [place, place], color="tab:gray", zorder=1)
            axis.scatter(ends, [place, place], c=["tab:red", "tab:green"], zorder=2)
        axis.set(yticks=range(len(causes)), yticklabels=causes)
        axis.set_xlabel("test accuracy before (red) and after (green)")

    run.finish(panels=[before_and_after])


if __name__ == "__main__":
    sys.exit(main())
