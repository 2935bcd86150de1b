"""The tuners around the oracles of this package, drop-ins for Keras Tuner's own."""

from kerasdnn.tuning.oracles import NoRepeatBayesianOracle, ResumableGridOracle

import keras_tuner


class NoRepeatBayesian(keras_tuner.Tuner):
    """Bayesian optimization that proposes no point twice while untried ones remain.

    A drop-in for `keras_tuner.BayesianOptimization`, which in a space of six points and with 16
    trials tries five. Differences: tried points are left out of the proposals, and when a finite
    space is used up the search ends and says so; the first trial is the default configuration, the
    next ones lie far apart; unordered choices have a coordinate each; expected improvement is taken
    over a pool of points, as the mean over many length scales (Matern 5/2) that each count as much
    as they explain the order of the scores, which needs milliseconds where a fit and 50 numerical
    descents need half a second; a search that is resumed proposes what the undisturbed one would
    have.

    Args:
        hypermodel: function of `HyperParameters` that returns a compiled model, or a `HyperModel`.
        objective: str or `keras_tuner.Objective`.
        max_trials: int, at most so many trials. Defaults to 10.
        num_initial_points: int, completed trials before expectations decide. Defaults to 3.
        seed: int. Defaults to 0.
        hyperparameters: `HyperParameters` declared beforehand; several workers need it.
        tune_new_entries: bool, whether parameters that `hypermodel` adds are tuned.
        allow_new_entries: bool, whether it may add any.
        max_retries_per_trial: int. Defaults to 0.
        max_consecutive_failed_trials: int. Defaults to 3.
        **kwargs: further arguments of `keras_tuner.Tuner`: `directory`, `project_name`,
            `overwrite`, `executions_per_trial`...

    Example:
    >>> class Parabola(NoRepeatBayesian):
    ...     def run_trial(self, trial, *args, **kwargs):
    ...         return (trial.hyperparameters.Int("x", -2, 3) - 1) ** 2
    >>> import tempfile
    >>> tuner = Parabola(max_trials=16, directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> len(tuner.oracle.trials), tuner.get_best_hyperparameters()[0].get("x")
    (6, 1)

    References:
        Snoek et al. (2012), Practical Bayesian Optimization of Machine Learning Algorithms,
        arXiv:1206.2944
    """

    def __init__(
        self,
        hypermodel=None,
        objective=None,
        *,
        max_trials=10,
        num_initial_points=None,
        seed=0,
        hyperparameters=None,
        tune_new_entries=True,
        allow_new_entries=True,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=3,
        **kwargs,
    ):
        oracle = NoRepeatBayesianOracle(
            objective=objective,
            max_trials=max_trials,
            num_initial_points=num_initial_points,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        super().__init__(oracle, hypermodel, **kwargs)


class ResumableGrid(keras_tuner.Tuner):
    """Grid search that goes on where it was stopped.

    A drop-in for `keras_tuner.GridSearch`, which fails with a KeyError when it is resumed. The next
    point is the first one of the grid that was not tried, so nothing can be lost.

    Args:
        hypermodel: function of `HyperParameters` that returns a compiled model, or a `HyperModel`.
        objective: str or `keras_tuner.Objective`.
        max_trials: int or None (the whole grid). Defaults to None.
        **kwargs: `hyperparameters`, `tune_new_entries`, `allow_new_entries`, `seed`,
            `max_retries_per_trial`, `max_consecutive_failed_trials` as for `NoRepeatBayesian`, and
            further arguments of `keras_tuner.Tuner`.

    Example:
    >>> class Table(ResumableGrid):
    ...     def run_trial(self, trial, *args, **kwargs):
    ...         hp = trial.hyperparameters
    ...         return hp.Choice("a", [1, 2, 3]) * hp.Choice("b", [1.0, 0.5])
    >>> import tempfile
    >>> tuner = Table(directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> len(tuner.oracle.trials), tuner.get_best_hyperparameters()[0].values
    (6, {'a': 1, 'b': 0.5})
    """

    def __init__(self, hypermodel=None, objective=None, *, max_trials=None, **kwargs):
        names = (
            "hyperparameters",
            "tune_new_entries",
            "allow_new_entries",
            "seed",
            "max_retries_per_trial",
            "max_consecutive_failed_trials",
        )
        own = {name: kwargs.pop(name) for name in names if name in kwargs}
        oracle = ResumableGridOracle(objective=objective, max_trials=max_trials, **own)
        super().__init__(oracle, hypermodel, **kwargs)
