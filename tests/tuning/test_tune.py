"""`tune`: hopeless trials end early, and the final model sees all but the test data."""

import json

from kerasdnn.tuning import ContinuingHyperband, EarlyEnding, trial_table, tune

import keras
import numpy as np
import pytest

keras_tuner = pytest.importorskip("keras_tuner")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5], [0.0]]) > 0).astype("float32")


def classifier(hp, rates=(0.1, 0.3)):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
    rate = hp.Choice("rate", list(rates))
    model.compile(keras.optimizers.SGD(rate), "binary_crossentropy", metrics=["accuracy"])
    model.run_eagerly = True  # nothing to compile for a few steps
    return model


def quiet(*args, **kwargs):
    pass


def tuned(build=classifier, **options):
    given = {"epochs": 3, "batch_size": 80, "say": quiet, "test": (X[:50], Y[:50]), **options}
    return tune(build, X, Y, **given)


def test_a_whole_search(tmp_path):
    said = []
    found = tuned(directory=tmp_path, tensorboard=tmp_path / "logs", say=said.append)
    assert [row["status"] for row in found.table] == ["COMPLETED"] * 2
    assert found.values == {"rate": found.table[0]["rate"]}
    assert found.table[0]["score"] >= found.table[1]["score"]
    assert said == ["2 trials, 2 of them completed, 0 ended early: all points of the space"]
    assert 0.5 < found.test["accuracy"] <= 1
    assert json.loads((found.folder / "trials.json").read_text()) == found.table
    assert (found.folder / "figure.png").stat().st_size > 5000
    assert len(list((tmp_path / "logs").glob("trial_*/*tfevents*"))) == 2


def test_the_final_model_learns_from_validation_data_too_and_the_test_set_is_used_once(
    tmp_path, monkeypatch
):
    seen, judged = [], []

    class Model(keras.Sequential):
        def fit(self, x, *args, **kwargs):
            seen.append(len(x))
            return super().fit(x, *args, **kwargs)

        def evaluate(self, x, *args, **kwargs):
            if "_use_cached_eval_dataset" not in kwargs:
                judged.append(len(x))
            return super().evaluate(x, *args, **kwargs)

    def build(hp):
        model = Model([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(hp.Choice("rate", [0.1, 0.2])), "mse", run_eagerly=True)
        return model

    tuned(build, directory=tmp_path, epochs=1, test=(X[:70], Y[:70]))
    assert seen == [160, 160, 200]
    assert judged.count(70) == 1


def test_a_loss_that_is_no_number_fails_and_the_search_goes_on(tmp_path, capsys):
    def build(hp):
        return classifier(hp, rates=(float("inf"), 0.1, 0.2))

    found = tuned(build, directory=tmp_path, final=False)
    by_rate = {row["rate"]: row for row in found.table}
    assert by_rate[float("inf")]["status"] == "FAILED"
    assert by_rate[float("inf")]["epochs"] == 1
    assert "not a number after epoch 1" in by_rate[float("inf")]["ended"]
    assert "Traceback" not in capsys.readouterr().err
    assert by_rate[0.1]["status"] == by_rate[0.2]["status"] == "COMPLETED"


def test_the_doctor_ends_what_diverges_and_what_is_dead(tmp_path):
    def build(hp):
        fault = hp.Choice("fault", ["none", "diverges", "dead"])
        first = keras.layers.Dense(16, "relu", bias_initializer="ones")
        model = keras.Sequential([keras.Input((4,)), first, keras.layers.Dense(1)])
        if fault == "dead":
            first.bias.assign(-50.0 * np.ones(16))
        rate = {"none": 0.02, "dead": 0.02, "diverges": 0.28}[fault]
        model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
        return model

    found = tuned(build, directory=tmp_path, epochs=12, final=False)
    by_fault = {row["fault"]: row for row in found.table}
    assert by_fault["none"]["ended"] is None
    assert by_fault["none"]["epochs"] == 12
    assert by_fault["dead"]["epochs"] < 12
    assert "act.dead" in by_fault["dead"]["ended"]
    assert by_fault["diverges"]["epochs"] < 12, by_fault["diverges"]


def test_the_median_rule_saves_epochs_and_keeps_the_best(tmp_path):
    def build(hp):
        keras.utils.set_random_seed(0)  # few steps: else where they begin decides
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
        rate = hp.Choice("rate", [3e-1, 1e-1, 3e-2, 1e-4, 3e-5, 1e-5], default=3e-1)
        model.compile(keras.optimizers.SGD(rate), "binary_crossentropy", run_eagerly=True)
        return model

    found = tuned(build, directory=tmp_path, epochs=6, strategy="grid", final=False)
    assert found.values == {"rate": 3e-1}
    ended = [row for row in found.table if row["ended"]]
    assert {row["rate"] for row in ended} <= {1e-4, 3e-5, 1e-5}
    assert any("below the median" in row["ended"] for row in ended)
    assert sum(row["epochs"] for row in found.table) <= 0.8 * 36


def test_minutes_end_the_search(tmp_path):
    tuner = type("Tuner", (EarlyEnding, keras_tuner.RandomSearch), {})(
        classifier, "val_loss", max_trials=5, minutes=1e-4, doctor=False, directory=tmp_path
    )
    tuner.search(X, Y, validation_data=(X, Y), epochs=50, verbose=0)
    (row,) = trial_table(tuner)
    assert row["ended"] == "the time is up"
    assert row["epochs"] == 1


def test_a_search_that_was_stopped_goes_on(tmp_path):
    calls = []

    def build(hp):
        calls.append(hp.values.get("rate"))
        if len(calls) == 5:  # objective, space, the tuner's own look, one trial, then this one
            raise KeyboardInterrupt
        return classifier(hp)

    with pytest.raises(KeyboardInterrupt):
        tuned(build, directory=tmp_path, final=False)
    found = tuned(build, directory=tmp_path, final=False)
    assert sorted(row["rate"] for row in found.table) == [0.1, 0.3]
    assert all(row["status"] == "COMPLETED" for row in found.table)


def test_hyperband_goes_on_where_the_earlier_rung_ended(tmp_path):
    """A rung of 1 and then 2 more epochs is one training of 3, momentum included."""

    def build(hp):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        rate = hp.Choice("rate", [0.05, 0.02, 0.01, 0.005])
        model.compile(keras.optimizers.SGD(rate, momentum=0.9), "mse", run_eagerly=True)
        return model

    tuner = ContinuingHyperband(
        build, "val_loss", max_epochs=3, factor=3, seed=1, directory=tmp_path
    )
    options = {"validation_data": (X, Y), "batch_size": 64, "shuffle": False, "verbose": 0}
    tuner.search(X, Y, **options)
    promoted = [
        trial
        for trial in tuner.oracle.trials.values()
        if "tuner/trial_id" in trial.hyperparameters.values
    ]
    assert promoted
    for trial in promoted:
        model = build(trial.hyperparameters)
        whole = model.fit(X, Y, epochs=3, **options).history["val_loss"]
        last = np.load(tmp_path / f"untitled_project/trial_{trial.trial_id}/last_epoch.npz")
        for got, variable in zip(last.values(), model.weights):
            np.testing.assert_allclose(got, variable, rtol=1e-6)
        assert trial.score == pytest.approx(min(whole[1:]), rel=1e-5)
