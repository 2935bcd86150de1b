"""AutoML on tables: scaling, products, selection and model family, with nested cross-validation.

Shows     what a search over feature engineering and networks buys on a table, against a default
          network and beside tuned gradient boosting; no fold is judged by what it was chosen on
Concept   AutoML: feature engineering, model choice, hyper-parameters
Paper     Feurer et al. (2015), Efficient and Robust Automated Machine Learning; Cawley and Talbot
          (2010), On Over-fitting in Model Selection; Gorishniy et al. (2021), arXiv:2106.11959
Data      breast_cancer, 455 / 114 rows of 30 numbers, folds of all; or wine, digits, a CSV file
Expect    not measured yet
Target    none: published numbers are for other splits
Run       python recipes/automl/tabular_automl.py --data mine.csv          --quick: under 30 s
Change    `features`, `build`, TRIALS
"""

import functools
import sys

from kerasdnn.errors import InputError
from kerasdnn.losses import SparseCategoricalCrossentropy
from kerasdnn.recipe import Gate, Trial, recipe
from kerasdnn.tuning import NoRepeatBayesian

import keras
import keras_tuner
import numpy as np
from keras import layers
from sklearn import feature_selection, preprocessing
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

# --- Settings -------------------------------------------------------------------------------------
TRIALS = 14  # of the search in each outer fold
FAR_APART = 5  # of them are far apart, before a model of the score chooses
OUTER, INNER = 3, 3  # folds: to judge the whole procedure, and to choose within it
EPOCHS = 40  # passes over the rows of a fold
QUICK = {"trials": 1, "outer": 2, "inner": 2, "epochs": 3, "iterations": 10}
BATCH = 32  # rows a step
MOST_FACTORS = 32  # features of which products are made, at most
DEFAULTS = {"scaling": "standard", "share": 1.0, "products": False, "family": "mlp"}
DEFAULTS |= {"width": 64, "depth": 2, "dropout": 0.2, "rate": 3e-3, "decay": 1e-3}
ITERATIONS = 100  # trees a class of gradient boosting
GATES = {"breast_cancer": Gate(0.955), "wine": Gate(0.95), "digits": Gate(0.955)}


# --- Features: fitted on the rows to learn from alone ---------------------------------------------
def features(values, x):
    """Returns the scikit-learn pipeline from a table like `x` to the input of the network."""
    kept = max(1, round(values["share"] * np.sum(np.nanvar(x, axis=0) > 0)))
    best = functools.partial(feature_selection.SelectKBest, feature_selection.f_classif)
    normal = {"n_quantiles": 64, "output_distribution": "normal", "random_state": 0}
    scalers = {
        "standard": preprocessing.StandardScaler(),
        "robust": preprocessing.RobustScaler(),
        "quantile": preprocessing.QuantileTransformer(**normal),
    }
    steps = [SimpleImputer(strategy="median"), feature_selection.VarianceThreshold()]
    steps += [scalers[values["scaling"]], best(k=kept)]
    if values["products"]:  # x_i x_j and x_i^2 of the features that tell most
        products = preprocessing.PolynomialFeatures(2, include_bias=False)
        steps += [best(k=min(kept, MOST_FACTORS)), products, preprocessing.StandardScaler()]
    return make_pipeline(*steps)


def space(hp):
    """Returns a value for each hyper-parameter, the defaults where `hp` is None."""
    if hp is None:
        return DEFAULTS
    return {
        "scaling": hp.Choice("scaling", ["standard", "robust", "quantile"]),
        "share": hp.Choice("share", [1.0, 0.7, 0.4]),
        "products": hp.Boolean("products"),
        "family": hp.Choice("family", ["linear", "mlp", "residual"], default="mlp"),
        "width": hp.Int("width", 16, 128, step=16, default=DEFAULTS["width"]),
        "depth": hp.Int("depth", 1, 3, default=DEFAULTS["depth"]),
        "dropout": hp.Float("dropout", 0.0, 0.5, step=0.1, default=DEFAULTS["dropout"]),
        "rate": hp.Float("rate", 5e-4, 2e-2, sampling="log", default=DEFAULTS["rate"]),
        "decay": hp.Float("decay", 1e-4, 1e-1, sampling="log", default=DEFAULTS["decay"]),
    }


# --- Model ---------------------------------------------------------------------------------------
def build(hp=None, columns=30, classes=2, values=None):
    """Returns the compiled network, a row of features to logits."""
    values = values or space(hp)
    x = inputs = keras.Input((columns,))
    if values["family"] == "residual":
        x = layers.Dense(values["width"])(x)
    for _ in range(0 if values["family"] == "linear" else values["depth"]):
        before = x
        if values["family"] == "residual":
            x = layers.LayerNormalization()(x)
        x = layers.Dense(values["width"], activation="relu")(x)
        x = layers.Dropout(values["dropout"])(x)
        if values["family"] == "residual":
            x = layers.Add()([before, layers.Dense(values["width"])(x)])
    model = keras.Model(inputs, layers.Dense(classes)(x), name="table")
    optimizer = keras.optimizers.AdamW(values["rate"], weight_decay=values["decay"])
    loss = SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


# --- Train and evaluate on one fold --------------------------------------------------------------
def network(run, values, fit, judged, epochs):
    """Returns the accuracy on `judged` of a network that learned from `fit`, and the network."""
    pipeline = features(values, fit[0])
    x = pipeline.fit_transform(*fit).astype("float32")
    shape = {"columns": x.shape[1], "classes": int(fit[1].max()) + 1}
    model = run.fastest(
        lambda: build(values=values, **shape),
        x,
        fit[1],
        batch_size=BATCH,
        once=True,
        reuse=f"{shape} {values}",  # the folds of a trial share what is compiled
    )
    model.fit(x, fit[1], batch_size=BATCH, epochs=epochs, verbose=0)
    logits = model(pipeline.transform(judged[0]).astype("float32"), training=False)
    guesses = keras.ops.convert_to_numpy(logits).argmax(-1)
    return float(np.mean(guesses == judged[1])), model


def boosting(values, fit, judged, iterations):
    """Returns the accuracy of gradient boosting, and None."""
    model = HistGradientBoostingClassifier(max_iter=iterations, random_state=0, **values)
    return float(model.fit(*fit).score(*judged)), None


def space_of_boosting(hp):
    """Returns the hyper-parameters of scikit-learn's gradient boosting."""
    return {
        "learning_rate": hp.Float("learning_rate", 0.02, 0.3, sampling="log", default=0.1),
        "max_leaf_nodes": hp.Choice("max_leaf_nodes", [4, 8, 16, 31], default=31),
        "min_samples_leaf": hp.Choice("min_samples_leaf", [2, 5, 10, 20], default=20),
        "l2_regularization": hp.Choice("l2_regularization", [0.0, 0.1, 1.0]),
    }


# --- Search, and the folds around it -------------------------------------------------------------
class Search(NoRepeatBayesian):
    """Bayesian search for the best mean accuracy over the inner folds."""

    def run_trial(self, trial, learn, values_of, x, y, folds, budget, verbose=0):
        values = values_of(trial.hyperparameters)
        found = [learn(values, (x[a], y[a]), (x[b], y[b]), budget)[0] for a, b in folds]
        return {"accuracy": float(np.mean(found))}


def folds_of(x, y, count, seed):
    return list(StratifiedKFold(count, shuffle=True, random_state=seed).split(x, y))


def nested(run, x, y, seed, name, learn, values_of, budget):
    """Returns the mean accuracy over the outer folds, the last network, and what was chosen."""
    full = {"outer": OUTER, "inner": INNER, "trials": TRIALS}
    outer, inner, trials = ((QUICK if run.quick else full)[key] for key in full)
    scores, chosen, model = [], [], None
    for number, (fit, judged) in enumerate(folds_of(x, y, outer, seed)):
        values = DEFAULTS
        if values_of is not None:
            declared = keras_tuner.HyperParameters()
            values_of(declared)
            search = Search(
                objective=keras_tuner.Objective("accuracy", "max"),
                hyperparameters=declared,
                max_trials=trials,
                num_initial_points=FAR_APART,
                seed=seed,
                directory=str(run.folder / "search"),
                project_name=f"{name}-{seed}-{number}",
            )
            inside = folds_of(x[fit], y[fit], inner, seed)
            search.search(learn, values_of, x[fit], y[fit], inside, budget, verbose=0)
            best = search.oracle.get_best_trials()[0]
            if best.score is None:
                raise RuntimeError(f"No trial could be judged: {best.message}")
            values = values_of(best.hyperparameters)
            run.say(f"fold {number + 1}: {values}")
        keras.utils.set_random_seed(seed)
        score, model = learn(values, (x[fit], y[fit]), (x[judged], y[judged]), budget)
        scores.append(score)
        chosen.append(values.get("family"))
    return float(np.mean(scores)), model, chosen


# --- Main ----------------------------------------------------------------------------------------
@recipe(metric="nested_cv_accuracy", data="breast_cancer", gates=GATES)
def main(run):
    dataset = run.load(quick_limit=120)
    if dataset.task not in ("numbers", "image"):
        raise InputError(
            f"tabular_automl expects a table of numbers, or images; {dataset.name} is of the task "
            f"'{dataset.task}'. See the tasks with: kerasdnn data list"
        )
    x = np.concatenate([dataset.x_train, dataset.x_test]).astype("float32")
    x = x.reshape(len(x), -1)  # images are rows of pixels
    y = np.concatenate([dataset.y_train, dataset.y_test])
    epochs = QUICK["epochs"] if run.quick else EPOCHS
    iterations = QUICK["iterations"] if run.quick else ITERATIONS

    def row(name, learn, values_of, budget):
        def once(seed):
            value, model, chosen = nested(run, x, y, seed, name, learn, values_of, budget)
            families = {} if None in chosen else {"families": " ".join(chosen)}
            return Trial(value, model, columns=families)

        return once

    learn = functools.partial(network, run)
    run.row("default MLP", row("default", learn, None, epochs), role="control")
    run.row("AutoML", row("automl", learn, space, epochs), role="technique")
    boosted = row("boosting", boosting, space_of_boosting, iterations)
    run.row("tuned gradient boosting", boosted)
    run.finish()


if __name__ == "__main__":
    sys.exit(main())
