"""Trials and seconds until a search has found 99 % of the best score, on recorded search spaces.

python benchmarks/tuning.py --seeds 10              --record makes the recordings anew

Every point of each space was trained once (`benchmarks/spaces/*.json`), so a trial is a look-up and
the searches can be compared on many seeds. A search that has not arrived by MOST trials counts as
MOST. Curves were not recorded: a point that Hyperband promotes counts once, and its strength, cheap
first rungs, is not measured here. Optuna's TPE takes part where it is installed. Spaces: gradient
boosting on breast_cancer, a network (scikit-learn's) and a support vector machine on digits.
"""

import contextlib
import importlib.util
import io
import itertools
import json
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

from kerasdnn import bench, results

import numpy as np

SPACES = {
    "boosting": {
        "learning_rate": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0],
        "max_leaf_nodes": [2, 4, 8, 16, 31],
        "min_samples_leaf": [1, 5, 20, 60],
        "l2_regularization": [0.0, 1.0, 30.0],
    },
    "network": {
        "units": [4, 8, 16, 32, 64],
        "rate": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2],
        "batch": [16, 64, 256],
        "alpha": [1e-5, 1e-3, 1e-1],
        "activation": ["relu", "tanh"],
    },
    "support vectors": {
        "c": [10.0**k for k in range(-3, 5)],
        "gamma": [10.0**k for k in range(-6, 2)],
        "kernel": ["rbf", "poly", "sigmoid"],
    },
}
MOST = 50  # trials
SHARE = 0.99  # of the best score
OURS, THEIRS, TPE = "NoRepeatBayesian", "BayesianOptimization", "Optuna TPE"
FOLDER = Path(__file__).parent / "spaces"


# --- Recording -----------------------------------------------------------------------------------
def classifier(space, values):
    """Returns the scikit-learn classifier at one point of a space."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    if space == "boosting":
        return HistGradientBoostingClassifier(max_iter=40, random_state=0, **values)
    if space == "support vectors":
        return SVC(C=values["c"], gamma=values["gamma"], kernel=values["kernel"])
    return MLPClassifier(
        (values["units"],),
        learning_rate_init=values["rate"],
        batch_size=values["batch"],
        alpha=values["alpha"],
        activation=values["activation"],
        max_iter=12,
        random_state=0,
    )


def record(space):
    """Trains every point of a space and writes the accuracies on rows that were held out."""
    from sklearn import datasets
    from sklearn.model_selection import cross_val_score

    bunch = datasets.load_breast_cancer() if space == "boosting" else datasets.load_digits()
    x, y = bunch.data, bunch.target
    if space != "boosting":
        x = x / 16
    axes, scores = SPACES[space], []
    for values in itertools.product(*axes.values()):
        model = classifier(space, dict(zip(axes, values)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 12 passes are meant to be few
            scores.append(round(float(np.mean(cross_val_score(model, x, y, cv=2))), 5))
    name = space.replace(" ", "_")
    results.write_json(FOLDER / f"{name}.json", {"axes": axes, "scores": scores})
    print(f"{space}: {len(scores)} points, best {max(scores)}")


def load(space):
    """Returns the axes of a recording and a dictionary from values to score."""
    recorded = json.loads((FOLDER / f"{space.replace(' ', '_')}.json").read_text())
    points = itertools.product(*recorded["axes"].values())
    return recorded["axes"], dict(zip(points, recorded["scores"], strict=True))


# --- Searching -----------------------------------------------------------------------------------
class ArrivedError(Exception):
    """The search has found what it looked for."""


def search(name, axes, table, seed, goal):
    """Returns trials until arrival, seconds a suggestion, and whether it arrived."""
    if name == TPE:
        return search_with_optuna(axes, table, seed, goal)
    from kerasdnn.tuning import NoRepeatBayesian

    import keras_tuner

    kinds = {
        OURS: (NoRepeatBayesian, {"max_trials": MOST}),
        THEIRS: (keras_tuner.BayesianOptimization, {"max_trials": MOST}),
        "RandomSearch": (keras_tuner.RandomSearch, {"max_trials": MOST}),
        "Hyperband": (keras_tuner.Hyperband, {"max_epochs": 9, "hyperband_iterations": MOST}),
    }
    kind, options = kinds[name]
    declared, seen = keras_tuner.HyperParameters(), {}
    middle = {name: values[len(values) // 2] for name, values in axes.items()}
    for parameter, values in axes.items():
        declared.Choice(parameter, values, default=middle[parameter])

    class Tuner(kind):
        def run_trial(self, trial, *args, **kwargs):
            at = tuple(trial.hyperparameters.get(parameter) for parameter in axes)
            # A point costs a trial each time it is tried, but not when it is promoted.
            seen[at if name == "Hyperband" else trial.trial_id] = table[at]
            if table[at] >= goal or len(seen) >= MOST:
                raise keras_tuner.errors.FatalError("arrived, or given up")
            return {"score": table[at]}

    quiet = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras Tuner's Gaussian process
        tuner = Tuner(
            objective=keras_tuner.Objective("score", "max"),
            hyperparameters=declared,
            seed=seed + 1,
            directory=folder,
            **options,
        )
        suggest, took = tuner.oracle.populate_space, []

        def timed(trial_id):
            begin = time.perf_counter()
            answer = suggest(trial_id)
            took.append(time.perf_counter() - begin)
            return answer

        tuner.oracle.populate_space = timed
        with contextlib.suppress(keras_tuner.errors.FatalError):
            tuner.search(verbose=0)
    arrived = max(seen.values()) >= goal
    # The first suggestions of both are cheap: what counts is what a fitted model costs.
    return len(seen) if arrived else MOST, statistics.fmean(took[10:] or took), arrived


def search_with_optuna(axes, table, seed, goal):
    """Returns the same of Optuna's TPE."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed + 1)
    study, took = optuna.create_study(direction="maximize", sampler=sampler), []
    for number in range(1, MOST + 1):
        begin = time.perf_counter()
        trial, at = study.ask(), []
        for name, values in axes.items():
            if isinstance(values[0], str):
                at.append(trial.suggest_categorical(name, values))
            else:  # ordered, as it is for Keras Tuner
                at.append(values[trial.suggest_int(name, 0, len(values) - 1)])
        took.append(time.perf_counter() - begin)
        score = table[tuple(at)]
        study.tell(trial, score)
        if score >= goal:
            return number, statistics.fmean(took[10:] or took), True
    return MOST, statistics.fmean(took[10:]), False


def main(argv=None):
    parser = bench.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="searches of each kind and space")
    parser.add_argument("--share", type=float, default=SHARE, help="of the best score (0.99)")
    parser.add_argument("--record", action="store_true", help="train all points anew")
    args = parser.parse_args(argv)
    if args.record:
        for space in SPACES:
            record(space)
        return 0
    names = [OURS, THEIRS, "RandomSearch", "Hyperband"]
    if importlib.util.find_spec("optuna"):
        names.append(TPE)
    else:
        print(f"skipped: {TPE}: Optuna is not installed")
    tables, trials, seconds = {}, {}, {}
    for space in SPACES:
        axes, table = load(space)
        goal = args.share * max(table.values())
        good = np.mean([score >= goal for score in table.values()])
        found = {name: [] for name in names}
        for seed in range(args.seeds):
            for name in found:  # in turn, because machines drift
                found[name].append(search(name, axes, table, seed, goal))
        base = statistics.median(one[0] for one in found[THEIRS])
        rows = []
        for name, many in found.items():
            count = [one[0] for one in many]
            trials.setdefault(name, []).extend(count)
            seconds.setdefault(name, []).extend(one[1] for one in many)
            rows.append(
                {
                    "candidate": name,
                    "trials, median": statistics.median(count),
                    "mean": round(statistics.fmean(count), 1),
                    "most": max(count),
                    "arrived": sum(one[2] for one in many),
                    "s a suggestion": round(statistics.fmean(one[1] for one in many), 4),
                    "ratio": round(statistics.median(count) / base, 3),
                }
            )
        tables[f"{space}: {len(table)} points, {good:.1%} of them good enough"] = rows
    tables["all spaces"] = [
        {
            "candidate": name,
            "trials, median": statistics.median(trials[name]),
            "mean": round(statistics.fmean(trials[name]), 1),
            "ratio": round(statistics.median(trials[name]) / statistics.median(trials[THEIRS]), 3),
            "ratio of means": round(
                statistics.fmean(trials[name]) / statistics.fmean(trials[THEIRS]), 3
            ),
            "ratio of s a suggestion": round(
                statistics.fmean(seconds[name]) / statistics.fmean(seconds[THEIRS]), 4
            ),
        }
        for name in trials
    ]
    bench.publish("tuning", tables, args, {"seeds": args.seeds, "most": MOST, "share": args.share})
    return 0


if __name__ == "__main__":
    sys.exit(main())
