"""Every recipe runs with --quick on the bundled data, on the backend of this process."""

import importlib
import json
import sys

from kerasdnn import catalog

import keras
import pytest

ENTRIES = catalog.entries()


def _module(entry):
    return importlib.import_module(f"recipes.{entry.topic}.{entry.name}")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_quick(entry, tmp_path, capsys):
    flags = ["--quick", "--out", str(tmp_path)]
    module = _module(entry)
    if module.main.spec.data == "fashion_mnist":
        flags += ["--data", "fashion_mnist_bundled"]
    assert module.main(flags) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith(f"RESULT recipe={entry.name} ")
    assert last.endswith("DONE")
    (path,) = tmp_path.glob("*/*/result.json")
    result = json.loads(path.read_text())
    assert result["backend"] == keras.backend.backend()
    assert result["data"]["n_train"] <= 5000
    assert (path.parent / "figure.png").stat().st_size > 5000
    assert (path.parent / "weights-seed0.npz").exists()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_build_takes_hyper_parameters(entry):
    keras_tuner = pytest.importorskip("keras_tuner")
    module = _module(entry)
    if not hasattr(module, "build"):
        pytest.skip("this recipe builds no single model")
    hp = keras_tuner.HyperParameters()
    assert module.build(hp).count_params() > 0
    assert hp.space


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_import_does_nothing(entry, capsys):
    sys.modules.pop(f"recipes.{entry.topic}.{entry.name}", None)
    _module(entry)
    assert capsys.readouterr().out == ""
