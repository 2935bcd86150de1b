"""From a recipe, or a user's own function, to a tuned and finally trained model."""

import dataclasses
from pathlib import Path
from typing import Any

from kerasdnn import results
from kerasdnn.errors import InputError
from kerasdnn.tuning import figures
from kerasdnn.tuning.checks import claim, declared_space, objective_of
from kerasdnn.tuning.early_ending import EarlyEnding
from kerasdnn.tuning.hparams import write_hparams
from kerasdnn.tuning.hyperband import ContinuingHyperband
from kerasdnn.tuning.subject import of_function, of_recipe
from kerasdnn.tuning.table import trial_table
from kerasdnn.tuning.tuners import NoRepeatBayesian, ResumableGrid

import keras
import keras_tuner

STRATEGIES = {
    "bayesian": NoRepeatBayesian,
    "grid": ResumableGrid,
    "random": keras_tuner.RandomSearch,
    "hyperband": ContinuingHyperband,
}


@dataclasses.dataclass
class Tuned:
    """What `tune` found.

    Attributes:
        tuner: the Keras Tuner tuner after its search.
        table: list of dict, one a trial, the best first; see `trial_table`.
        values: dict, the best hyper-parameters.
        model: trained with them on training and validation data; None with `final=False`.
        test: dict of the loss and the metrics on the test data, which were used for nothing else;
            None without them.
        folder: path of the files: `trials.json`, `figure.png`, Keras Tuner's own.
    """

    tuner: Any
    table: list
    values: dict
    model: Any = None
    test: dict | None = None
    folder: Path | None = None


def tune(
    recipe,
    x=None,
    y=None,
    *,
    trials=20,
    minutes=None,
    strategy="bayesian",
    objective=None,
    epochs=10,
    batch_size=128,
    data=None,
    limit=None,
    test=None,
    validation=0.2,
    early_ending=True,
    final=True,
    seed=0,
    directory="runs/tuning",
    tensorboard=None,
    verbose=0,
    say=print,
):
    """Searches for hyper-parameters, then trains the best model on all but the test data.

    Called again with the same arguments, a search that was stopped goes on. Its trials end early
    as `EarlyEnding` says.

    Args:
        recipe: name of a recipe whose model is a classifier, or a function of `HyperParameters`
            that returns a compiled model.
        x: array or nested arrays, the inputs for such a function; None for a recipe.
        y: the same for the targets.
        trials: int, at most so many. With `strategy="hyperband"` its own number, if it is less.
        minutes: float, at most so long, the final training not counted. Defaults to None.
        strategy: "bayesian", "random", "grid" or "hyperband".
        objective: str or `keras_tuner.Objective`; default "val_accuracy" if there is accuracy,
            else "val_loss".
        epochs: int, of a whole trial.
        batch_size: int.
        data: name or path of the data for a recipe; default its own.
        limit: int, at most so many of them. Defaults to None.
        test: `(x, y)` for a function of one's own. A recipe has its own.
        validation: share of the training data that trials are judged by, or `(x, y)`.
        early_ending: bool, whether hopeless trials end early.
        final: bool, whether to train the final model.
        seed: int, of the split, the search and the trainings.
        directory: parent of the folder of results.
        tensorboard: log folder for TensorBoard's HParams page, or None.
        verbose: int, as in `fit`, of the trials.
        say: function that is given sentences to print.

    Returns:
        Tuned.

    Raises:
        InputError: the space is empty, there is no such objective, all trials failed, or the
            folder holds another search. Nothing is overwritten.

    Example:
    >>> def build(hp):
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    ...     rate = hp.Choice("rate", [1e-3, 0.1])
    ...     model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
    ...     return model
    >>> import tempfile
    >>> x, y = np.ones((64, 2), "float32"), np.ones((64, 1), "float32")
    >>> tuned = tune(build, x, y, epochs=2, batch_size=8, directory=tempfile.mkdtemp())
    2 trials, 2 of them completed, 0 ended early: all points of the space
    >>> tuned.values
    {'rate': 0.1}
    """
    if strategy not in STRATEGIES:
        raise InputError(
            f"tune expects a strategy of {', '.join(STRATEGIES)}; received {strategy!r}."
        )
    if isinstance(recipe, str):
        subject = of_recipe(recipe, data=data, validation=validation, limit=limit, seed=seed)
    elif callable(recipe) and x is not None:
        subject = of_function(recipe, x, y, test=test, validation=validation, seed=seed)
    else:
        raise InputError(
            "tune expects the name of a recipe, or a function that returns a compiled model and "
            "its data; received neither. Write tune(build, x, y)."
        )
    objective = objective_of(subject, objective, batch_size)
    hyperparameters = declared_space(subject)
    folder = Path(directory) / subject.name
    settings = [strategy, vars(objective), epochs, batch_size, seed]
    claim(folder, subject, hyperparameters, settings)
    options = {"max_epochs": epochs} if strategy == "hyperband" else {"max_trials": trials}
    if early_ending or minutes is not None:
        # Hyperband itself ends the worse trials.
        median = early_ending and strategy != "hyperband"
        options.update(minutes=minutes, doctor=early_ending, median=median)
        kind = type("Search", (EarlyEnding, STRATEGIES[strategy]), {})
    else:
        kind = STRATEGIES[strategy]
    tuner = kind(
        subject.build,
        objective,
        seed=seed + 1,  # Keras Tuner replaces a seed of 0 by a random one
        directory=str(folder.parent),
        project_name=folder.name,
        **options,
    )
    tuner.oracle.max_trials = trials
    keras.utils.set_random_seed(seed)
    tuner.search(
        *subject.fit,
        validation_data=subject.validation,
        epochs=epochs,
        batch_size=batch_size,
        verbose=verbose,
    )
    return _finished(tuner, subject, folder, batch_size, tensorboard, final, seed, say)


def _finished(tuner, subject, folder, batch_size, tensorboard, final, seed, say):
    """Writes the table and figures, and trains the final model."""
    table, objective = trial_table(tuner), tuner.oracle.objective
    done = [row for row in table if row["status"] == "COMPLETED"]
    if not done:
        reason = table[0]["ended"] if table else "the time was up before the first one"
        raise InputError(
            f"No trial of the search has ended with a number for {objective.name}: {reason}. "
            "Mend build(hp) or choose another objective."
        )
    early = sum(row["ended"] is not None for row in done)
    said = f"{len(table)} trials, {len(done)} of them completed, {early} ended early"
    if getattr(tuner.oracle, "used_up", False):
        said += ": all points of the space"
    say(said)
    results.write_json(folder / "trials.json", table)
    figures.draw(folder / "figure.png", table, tuner.oracle.get_space(), objective)
    if tensorboard is not None and not write_hparams(tensorboard, table, objective.name):
        say("TensorBoard is not installed: its HParams page was not written")
    best = tuner.oracle.get_best_trials()[0]
    values = {k: v for k, v in best.hyperparameters.values.items() if not k.startswith("tuner/")}
    tuned = Tuned(tuner, table, values, folder=folder)
    if final:
        tuned.model = train_final(subject, best, batch_size=batch_size, seed=seed)
    if final and subject.test is not None:
        x, y = subject.test
        tuned.test = tuned.model.evaluate(x, y, batch_size=500, verbose=0, return_dict=True)
    return tuned


def train_final(subject, trial, *, batch_size, seed=0):
    """Trains the model of a trial on training and validation data, for its best number of epochs.

    Args:
        subject: `Subject`.
        trial: a trial of Keras Tuner.
        batch_size: int.
        seed: int.
    """
    keras.utils.set_random_seed(seed)
    model = subject.build(trial.hyperparameters.copy())
    first = trial.hyperparameters.values.get("tuner/initial_epoch", 0)
    epochs = first + (trial.best_step or 0) + 1
    model.fit(*subject.whole(), epochs=epochs, batch_size=batch_size, verbose=0)
    return model
