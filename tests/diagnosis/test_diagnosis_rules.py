"""The rules on evidence written down by hand: no training, any backend."""

from kerasdnn.diagnosis import Dynamics, Evidence, Finding, judgement, ranking, rules
from kerasdnn.diagnosis.facts import (
    BatchFacts,
    InputFacts,
    LabelFacts,
    LayerFacts,
    LossFacts,
    ModelFacts,
    OptimizerFacts,
    OutputFacts,
)

import numpy as np
import pytest


def layer(name, index, activation="relu", **more):
    facts = {"kernel": f"{name}/kernel", "units": 32, "inputs": 32, "kernel_std": 0.2}
    facts = {**facts, "kernel_expected_std": 0.2, "kernel_mean": 0.0, **more}
    return LayerFacts(name, "Dense", index, activation=activation, **facts)


def model(**changes):
    """A healthy classifier of two hidden layers with Adam."""
    facts = {
        "kind": "sequential",
        "layers": [layer("a", 0), layer("b", 1), layer("head", 2, "softmax")],
        "outputs": [OutputFacts("out", (10,), "softmax", "head", head="head", units=10)],
        "losses": [LossFacts("sparse_categorical_crossentropy", known=True)],
        "optimizer": OptimizerFacts("Adam", 1e-3, [1e-3]),
        "metrics": ["accuracy"],
        "parameters": 5000,
        "trainable_parameters": 5000,
        "batch_size": 32,
        "epochs": 10,
        "rows": 1000,
    }
    return ModelFacts(**{**facts, **changes})


def labels(**changes):
    facts = {"kind": "classes", "shape": (), "dtype": "int64", "rows": 1000, "high": 9.0}
    counts = dict.fromkeys(range(10), 100)
    return LabelFacts(**{**facts, "integer": True, "distinct": 10, "counts": counts, **changes})


def run(skill=0.1, loss=(2.3, 2.3, 2.3, 2.3, 2.3, 2.3, 2.3, 2.3), **changes):
    facts = {
        "epochs_planned": len(loss),
        "steps_per_epoch": 32,
        "loss": list(loss),
        "layers": ["a", "b", "head"],
        "time": [0.0, 10.0],
        "gradient_norm_by_layer": [[0.1, 0.1, 0.1], [0.1, 0.1, 0.1]],
        "weight_norm_by_layer": [[5.0, 5.0, 2.0], [5.0, 5.0, 2.0]],
        "dead_share_by_layer": [[0.0, 0.0, None], [0.0, 0.0, None]],
        "saturated_share_by_layer": [[None, None, None], [None, None, None]],
        "moved": [0.5, 0.5, 0.5],
        "skill": skill,
    }
    return Dynamics(**{**facts, **changes})


def trial(skill, val_skill=None, nan=False):
    return {"skill": skill, "val_skill": val_skill, "nan": nan, "loss": 1.0, "steps": 320}


def evidence(**changes):
    facts = {
        "model": model(),
        "labels": [labels()],
        "inputs": [InputFacts("x", (32,), "float32", 1000, received_rms=1.0, received_std=1.0)],
        "batch": BatchFacts(loss=2.4, expected_loss=2.3, overfit_skill=1.0),
        "run": run(),
    }
    facts["inputs"][0].received_mean = 0.0
    return Evidence(**{**facts, **changes})


def ranked(seen):
    found = rules.structure(seen) + rules.data(seen) + rules.dynamics(seen)
    return ranking.rank(found, seen)


def test_a_training_that_has_learned_gives_no_warning():
    seen = evidence(run=run(0.95, np.geomspace(2.3, 0.1, 8)))
    assert not [f for f in ranked(seen) if f.at_least("warning")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("rate /10", "lr.high"), ("rate x10", "lr.low"), ("epochs x4", "fit.epochs")],
)
def test_what_mends_the_training_is_its_cause(name, expected):
    seen = evidence(trials={"base": trial(0.1), name: trial(0.9), "scaled x": trial(0.12)})
    top = ranked(seen)[0]
    assert top.id == expected
    assert top.severity == "warning"
    assert top.proved == pytest.approx(0.8)


def test_learning_by_heart_is_no_remedy():
    trials = {"base": trial(0.1, 0.1), "rate x10": trial(0.9, 0.1)}
    assert judgement.gain(evidence(trials=trials), "rate x10") == pytest.approx(0.0)
    assert not [f for f in ranked(evidence(trials=trials)) if f.at_least("warning")]


def test_a_change_that_only_eases_is_behind_the_one_that_mends():
    uneven = InputFacts("x", (8,), "float32", 100, received_rms=40.0, received_std=1.0)
    uneven.received_mean = 40.0
    trials = {"base": trial(0.0), "scaled x": trial(0.2), "rate x10": trial(0.95)}
    found = ranked(evidence(inputs=[uneven], trials=trials))
    assert found[0].id == "lr.low"
    assert [f.severity for f in found if f.id == "data.scale_x"] == ["info"]


def test_a_training_that_works_half_way_is_not_faulty_because_another_is_a_little_better():
    trials = {"base": trial(0.7), "rate x10": trial(0.85)}
    found = ranked(evidence(run=run(0.7, np.geomspace(2.3, 0.9, 8)), trials=trials))
    assert [f.severity for f in found if f.id == "lr.low"] == ["info"]


def test_weights_that_do_not_move():
    seen = evidence(run=run(moved=[1e-4, 1e-4, 1e-3]))
    assert "lr.low" in [f.id for f in ranked(seen) if f.at_least("warning")]
    no_gradient = run(moved=[0.0] * 3, gradient_norm_by_layer=[[0.0] * 3, [0.0] * 3])
    assert "lr.low" not in [f.id for f in ranked(evidence(run=no_gradient))]


def test_vanishing_gradient_is_told_by_the_ratio_of_first_to_last():
    faded = [[1e-7, 1e-4, 0.1], [1e-7, 1e-4, 0.1]]
    found = ranked(evidence(run=run(gradient_norm_by_layer=faded)))
    assert "grad.vanish" in [f.id for f in found if f.at_least("warning")]
    learned = run(0.95, np.geomspace(2.3, 0.1, 8), gradient_norm_by_layer=faded)
    assert "grad.vanish" not in [f.id for f in ranked(evidence(run=learned))]


def test_dead_units_are_units_that_no_row_switches_on():
    dead = run(dead_share_by_layer=[[0.0, 1.0, None], [0.0, 1.0, None]])
    found = [f for f in ranked(evidence(run=dead)) if f.id == "act.dead"]
    assert found[0].location == "b"
    assert found[0].evidence["share"] == 1.0


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"kernel_mean": -0.5, "kernel_std": 0.3, "kernel_expected_std": 0.3}, "one sign"),
        ({"kernel_std": 4.0, "kernel_expected_std": 0.2}, "too large"),
    ],
)
def test_weights_of_one_sign_or_of_a_wrong_size(odd, words):
    layers = [layer("a", 0, **odd), layer("b", 1), layer("head", 2, "softmax")]
    trials = {"base": trial(0.1), "fresh kernels": trial(0.9)}
    top = ranked(evidence(model=model(layers=layers), trials=trials))[0]
    assert top.id == "init.scale"
    assert words in top.message
    usual = evidence(trials=trials)
    assert "init.scale" not in [f.id for f in ranked(usual)]


def test_a_structural_fault_explains_the_symptoms():
    wrong = model(outputs=[OutputFacts("out", (10,), "linear", "head", head="head", units=10)])
    found = ranked(evidence(model=wrong))
    assert found[0].id == "loss.logits"
    assert [f.id for f in found if f.at_least("warning")] == ["loss.logits"]
    assert "loss.at_lnC" in found[0].explains


def test_nan_is_reported_with_step_and_place():
    seen = evidence(run=run(None, nan={"step": 7, "what": "weight", "where": "a/kernel"}))
    nan = next(f for f in ranked(seen) if f.id == "loss.nan")
    assert "step 7" in nan.message
    assert "a/kernel" in nan.message


def test_still_falling_is_told_from_noise():
    assert judgement.still_falling(np.geomspace(2.0, 0.5, 12)) > 0.2
    noise = 1 + 0.05 * np.random.default_rng(0).normal(size=40)
    assert judgement.still_falling(noise) < 0.05


@pytest.mark.parametrize("weighted", [False, True])
def test_imbalance_matters_without_weights_only(weighted):
    counts = {0: 950, 1: 20}
    seen = evidence(labels=[labels(counts=counts)], model=model(weighted=weighted))
    found = [f.id for f in ranked(seen) if f.at_least("warning")]
    assert ("data.imbalance" in found) is not weighted


def test_of_two_findings_with_one_name_the_surer_stays():
    pair = [Finding("lr.low", "info", "", confidence=0.9), Finding("lr.low", "warning", "")]
    assert [f.severity for f in ranking.rank(pair, Evidence())] == ["warning"]


NOISY = [layer("noise", 0, None, kernel=None), layer("a", 1), layer("head", 2, "softmax")]
NOISY[0].kind = "RandomErasing"


@pytest.mark.parametrize(
    ("name", "expected", "changes"),
    [
        ("no augmentation", "data.augment", {"layers": NOISY}),
        (
            "usual clipping",
            "grad.clipped",
            {"optimizer": OptimizerFacts("SGD", 0.1, [0.1], clip={"clipvalue": 1e-5})},
        ),
    ],
)
def test_what_hinders_the_training_is_its_cause(name, expected, changes):
    mended = evidence(model=model(**changes), trials={"base": trial(0.1), name: trial(0.9)})
    assert ranked(mended)[0].id == expected
    useless = evidence(model=model(**changes), trials={"base": trial(0.1), name: trial(0.12)})
    assert expected not in [f.id for f in ranked(useless)]


def test_stopped_by_a_callback_before_it_has_learned():
    stopped = run(0.2, (2.3, 2.2, 2.1), epochs_planned=100, stopped_early=True, reason="callback")
    trials = {"base": trial(0.2), "no stopping": trial(0.95), "rate x10": trial(0.9)}
    found = ranked(evidence(run=stopped, trials=trials))
    assert [f.id for f in found if f.at_least("warning")] == ["callbacks.early_stopping"]
    patient = run(0.2, (2.3, 2.2, 2.1))
    found = ranked(evidence(run=patient, trials=trials))
    assert "callbacks.early_stopping" not in [f.id for f in found]


@pytest.mark.parametrize(("width", "severity"), [(8, "warning"), (2000, "info")])
def test_labels_say_nothing_where_many_rows_carry_nothing_over(width, severity):
    wide = InputFacts("x", (width,), "float32", 1000, received_rms=1.0, received_std=1.0)
    wide.received_mean = 0.0
    seen = evidence(inputs=[wide], run=run(0.9, np.geomspace(2.3, 0.3, 8), val_skill=0.0))
    assert [f.severity for f in ranked(seen) if f.id == "data.labels"] == [severity]


@pytest.mark.parametrize(("skill", "wrong"), [(0.0, True), (0.7, False)])
def test_a_loss_of_the_wrong_sign(skill, wrong):
    own = model(losses=[LossFacts("gain", known=False)], own_loss=True)
    batch = BatchFacts(loss=-2.3, overfit_skill=0.0)
    seen = evidence(model=own, batch=batch, run=run(skill, -np.geomspace(3.0, 500.0, 8)))
    assert ("loss.sign" in [f.id for f in ranked(seen)]) is wrong


def test_where_one_change_mends_all_the_others_are_other_ways():
    uneven = InputFacts("x", (8,), "float32", 100, received_rms=40.0, received_std=1.0)
    uneven.received_mean = 40.0
    trials = {"base": trial(0.0), "rate x10": trial(0.95), "scaled x": trial(0.85)}
    found = ranked(evidence(inputs=[uneven], trials=trials))
    assert [f.id for f in found if f.at_least("warning")] == ["lr.low"]
    trials = {"base": trial(0.0), "rate x10": trial(0.7), "scaled x": trial(0.5)}
    found = ranked(evidence(inputs=[uneven], trials=trials))
    assert len([f for f in found if f.at_least("warning")]) == 2


@pytest.mark.parametrize("kind", ["BatchNormalization", "Dense"])
def test_means_that_lag_behind_are_no_fault_of_the_training(kind):
    layers = [layer("a", 0), layer("norm", 1, None), layer("head", 2, "softmax")]
    layers[1].kind = kind
    lags = run(0.45, np.geomspace(2.3, 0.2, 8))
    trials = {"base": trial(0.45), "epochs x4": trial(1.0)}
    found = ranked(evidence(model=model(layers=layers), run=lags, trials=trials))
    severity = "info" if kind == "BatchNormalization" else "warning"
    assert [f.severity for f in found if f.id == "fit.epochs"] == [severity]


@pytest.mark.parametrize(("reached", "severity"), [(0.5, "info"), (1.0, "warning")])
def test_of_a_few_rows_one_more_is_no_proof(reached, severity):
    trials = {"base": trial(0.0), "rate x10": trial(reached)}
    found = ranked(evidence(labels=[labels(rows=4)], trials=trials))
    assert [f.severity for f in found if f.id == "lr.low"] == [severity]
