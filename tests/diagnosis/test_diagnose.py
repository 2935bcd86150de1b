"""The three passes on small programs; the larger set is `benchmarks/diagnosis.py`."""

import random

from benchmarks import programs
from benchmarks.programs.parts import adam, dense, program, sequential, sgd
from kerasdnn.diagnosis import Program, diagnose
from kerasdnn.errors import InputError

import keras
import numpy as np
import pytest

CASES = programs.load()
# Decided by output, loss and labels alone; one of each kind.
BY_STRUCTURE = [
    "42800203",
    "41596619",
    "46642627",
    "48251943",
    "52566823",
    "56103207",
    "57943425",
    "59078187",
    "59325381",
    "64387251",
    "38648195",
    "44755431",
    "TDC-11B",
    "TDC-18R",
    "UM-B",
]


@pytest.mark.parametrize("name", BY_STRUCTURE)
def test_structure_names_the_cause(name):
    report = diagnose(CASES[name].make(0), passes=("structure",))
    assert report.top.id in CASES[name].expect, str(report)
    assert report.top.at_least("warning")
    assert report.top.remedy
    assert report.top.evidence


@pytest.mark.parametrize("name", ["H3-rescaling", "H4", "H5", "H6", "H18-residual", "H23"])
def test_structure_is_silent_on_healthy_programs(name):
    report = diagnose(CASES[name].make(0), passes=("structure", "data"))
    assert not report.warnings, str(report)


def two_classes(rows=300):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4)).astype("float32")
    return x, (x[:, 0] * x[:, 1] > 0).astype("float32")


def network(optimizer, hidden=32, loss="binary_crossentropy"):
    return sequential((4,), lambda: [dense(hidden, "relu"), dense(1, "sigmoid")], optimizer, loss)


def test_rate_too_low_is_told_from_a_plateau():
    report = diagnose(program(network(sgd(1e-5)), *two_classes(), epochs=15))
    assert report.top.id in ("lr.low", "fit.epochs"), str(report)
    assert report.top.at_least("warning")
    assert report.curves["loss"]
    assert len(report.layers["gradient_norm"][0]) == len(report.layers["names"]) == 2


def test_healthy_training_has_no_warning():
    report = diagnose(program(network(adam(0.02)), *two_classes(), epochs=25))
    assert not report.warnings, str(report)
    assert report.evidence.run.skill > 0.8


def test_the_callers_model_and_random_states_stay_as_they_were():
    x, y = two_classes(64)
    model = network(adam(0.01))()
    before = [w.copy() for w in model.get_weights()]
    slots = [np.array(v) for v in model.optimizer.variables]
    keras.utils.set_random_seed(5)
    states = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    policy = keras.config.dtype_policy().name
    diagnose(program(lambda: model, x, y, epochs=3))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(slots, model.optimizer.variables, strict=False):
        np.testing.assert_array_equal(old, np.array(new))
    assert random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert keras.config.dtype_policy().name == policy


# --- Bad input: a finding or one sentence ---
def faulty(**changes):
    x, y = two_classes(40)
    return Program(
        **{"build": network(adam(0.01)), "x": x, "y": y, "fit": {"epochs": 2}, **changes}
    )


def not_compiled():
    return keras.Sequential([keras.Input((4,)), dense(1)])


def raises():
    raise RuntimeError("no such file: weights.h5")


def with_nan():
    x, _ = two_classes(40)
    x[3, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("changes", "found", "words"),
    [
        ({"build": not_compiled}, "program.compile", "not compiled"),
        ({"build": raises}, "program.build", "no such file"),
        ({"build": lambda: None}, "program.build", "NoneType"),
        ({"x": with_nan()}, "data.nan", "1 of 40 rows"),
        ({"x": np.zeros((0, 4)), "y": np.zeros((0,))}, "data.tiny", "no row"),
        ({"x": np.zeros((40, 7))}, "data.shape", "do not fit"),
        ({"y": np.zeros((39,))}, "data.shape", "equally many rows"),
        ({"y": np.zeros((40, 3))}, "output.units", "3 columns"),
    ],
)
def test_bad_input_is_a_finding(changes, found, words):
    report = diagnose(faulty(**changes))
    assert report.top.id == found, str(report)
    assert report.top.severity == "error"
    assert words in report.top.message


def test_build_must_be_a_function():
    with pytest.raises(InputError, match="Wrap the code"):
        Program(not_compiled(), np.zeros((4, 4)))


def test_interrupted_diagnosis_keeps_what_it_found(monkeypatch):
    from kerasdnn.diagnosis import examination

    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(examination._Doctor, "_dynamics", stop)
    report = diagnose(CASES["42800203"].make(0))
    assert report.top.id == "output.softmax_one_unit"
    assert any("interrupted" in note for note in report.notes)
