"""Searches that never repeat a point, end when the space is used up, and resume."""

import time

from kerasdnn.tuning import NoRepeatBayesian, NoRepeatBayesianOracle, ResumableGrid, space

import numpy as np
import pytest

keras_tuner = pytest.importorskip("keras_tuner")


def six_points(hp):
    return hp.Choice("a", [1, 2, 3]) * hp.Choice("b", [1.0, 0.5])


def conditional(hp):
    kind = hp.Choice("kind", ["linear", "deep"])
    if kind == "deep":
        with hp.conditional_scope("kind", ["deep"]):
            return 10 - hp.Int("depth", 1, 3)
    return 20


def tuner_of(base, score, seen=None):
    class Tuner(base):
        def run_trial(self, trial, *args, **kwargs):
            if seen is not None:
                seen.append(dict(trial.hyperparameters.values))
            return score(trial.hyperparameters)

    return Tuner


def keys(tuner):
    return [space.key(t.hyperparameters.values) for t in tuner.oracle.trials.values()]


@pytest.mark.parametrize("base", [NoRepeatBayesian, ResumableGrid])
@pytest.mark.parametrize(("score", "points"), [(six_points, 6), (conditional, 4)])
def test_every_point_once_and_then_it_says_so(base, score, points, tmp_path, capsys):
    tuner = tuner_of(base, score)(max_trials=16, directory=tmp_path)
    tuner.search(verbose=1)
    found = keys(tuner)
    assert len(found) == len(set(found)) == points
    assert f"All {points} points of the search space were tried" in capsys.readouterr().out


def test_the_first_trial_is_the_default(tmp_path):
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-3)
    hp.Choice("kind", ["a", "b"], default="b")
    seen = []
    tuner = tuner_of(NoRepeatBayesian, lambda hp: hp.get("rate"), seen)
    tuner(hyperparameters=hp, max_trials=2, directory=tmp_path).search(verbose=0)
    assert seen[0] == {"rate": 1e-3, "kind": "b"}


@pytest.mark.parametrize("base", [NoRepeatBayesian, ResumableGrid])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(base, tmp_path):
    def score(hp):
        return (hp.Float("x", -1, 1, step=0.25) - 0.25) ** 2 + abs(hp.Int("n", 0, 4) - 3)

    def space_of():
        hp = keras_tuner.HyperParameters()
        score(hp)
        return hp

    whole = tuner_of(base, score)(
        hyperparameters=space_of(), max_trials=12, directory=tmp_path / "whole"
    )
    whole.search(verbose=0)
    calls = []

    def stopped(hp):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return score(hp)

    with pytest.raises(KeyboardInterrupt):
        tuner_of(base, stopped)(
            hyperparameters=space_of(), max_trials=12, directory=tmp_path / "parts"
        ).search(verbose=0)
    again = tuner_of(base, score)(
        hyperparameters=space_of(), max_trials=12, directory=tmp_path / "parts"
    )
    again.search(verbose=0)
    assert sorted(keys(again)) == sorted(keys(whole))
    assert len(set(keys(again))) == 12


def test_it_finds_a_valley_in_fewer_trials_than_random(tmp_path):
    def score(hp):
        values = [hp.Float(f"x{i}", 0, 1) for i in range(4)]
        return sum((v - 0.3) ** 2 for v in values)

    def best(base, seed, folder, **options):
        hp = keras_tuner.HyperParameters()
        score(hp)
        tuner = tuner_of(base, score)(
            hyperparameters=hp, max_trials=20, seed=seed, directory=folder, **options
        )
        tuner.search(verbose=0)
        return min(t.score for t in tuner.oracle.trials.values())

    ours = [best(NoRepeatBayesian, s, tmp_path / f"b{s}") for s in (1, 2, 3)]
    random = [best(keras_tuner.RandomSearch, s, tmp_path / f"r{s}") for s in (1, 2, 3)]
    assert np.median(ours) < 0.5 * np.median(random)


def test_failed_points_are_not_tried_again(tmp_path):
    def score(hp):
        if hp.Choice("a", [1, 2, 3, 4]) == 2:
            raise keras_tuner.errors.FailedTrialError("cannot be built")
        return hp.get("a")

    tuner = tuner_of(NoRepeatBayesian, score)(max_trials=10, directory=tmp_path)
    tuner.search(verbose=0)
    found = keys(tuner)
    assert len(found) == len(set(found)) == 4
    assert tuner.get_best_hyperparameters()[0].get("a") == 1


def test_workers_at_once_get_different_points():
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0, 1)
    oracle = NoRepeatBayesianOracle(
        keras_tuner.Objective("score", "min"), max_trials=30, hyperparameters=hp, seed=1
    )
    oracle.verbose = 0
    values = []
    for number in range(12):
        response = oracle.populate_space(str(number))
        values.append(response["values"]["x"])
        trial = keras_tuner.engine.trial.Trial(hp.copy(), str(number), "RUNNING")
        trial.hyperparameters.values = response["values"]
        oracle.trials[trial.trial_id] = trial
        oracle.ongoing_trials[f"worker{number}"] = trial
        if number < 6:  # half of them end
            oracle.ongoing_trials.pop(f"worker{number}")
            trial.status, trial.score = "COMPLETED", abs(trial.hyperparameters.values["x"] - 0.4)
    gaps = np.diff(np.sort(values))
    assert gaps.min() > 1e-4


def test_enumeration_counts_conditional_points_once():
    hp = keras_tuner.HyperParameters()
    conditional(hp)
    hp.values["kind"] = "deep"
    conditional(hp)
    found = [space.key(p) for p in space.points(hp)]
    assert len(found) == len(set(found)) == 4
    assert space.count(hp) == 6  # an upper bound: 2 x 3


def test_coordinates_of_unordered_choices_are_equally_far_apart():
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b", "c"])
    rows = [np.array(space.coordinates(hp, {"kind": k})) for k in "abc"]
    apart = [np.linalg.norm(rows[i] - rows[j]) for i in range(3) for j in range(i)]
    np.testing.assert_allclose(apart, 1.0)


@pytest.mark.slow
def test_a_suggestion_after_100_trials_in_10_dimensions_takes_milliseconds(tmp_path):
    """Prints the time; asserts only that it is not the seconds of 50 numerical descents."""

    def score(hp):
        return sum((hp.Float(f"x{i}", 0, 1) - 0.3) ** 2 for i in range(10))

    hp = keras_tuner.HyperParameters()
    score(hp)
    tuner = tuner_of(NoRepeatBayesian, score)(
        hyperparameters=hp, max_trials=100, directory=tmp_path
    )
    tuner.search(verbose=0)
    begin = time.perf_counter()
    tuner.oracle.populate_space("next")
    print(f"one suggestion: {time.perf_counter() - begin:.3f} s")
