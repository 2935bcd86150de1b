"""Every recipe runs with --quick on the bundled data, on the backend of this process."""

import importlib
import json
import sys

from kerasdnn import catalog

import keras
import numpy as np
import pytest

ENTRIES = catalog.entries()
# Compiling takes most of their time, so they are not in `make test`; `make test-backends` runs them
# on TensorFlow, and `make test-slow` everywhere.
LONG = {
    "attention_distillation",
    "distributed_tuning",
    "fast_cnn",
    "gru_signal",
    "loss_not_converging",
    "lstm_reviews",
    "magnitude_pruning",
    "super_resolution",
    "transformer_g2p",
    "transformer_reviews",
    "tune_cnn",
}
QUICK = [
    pytest.param(
        entry,
        id=entry.name,
        marks=[pytest.mark.slow] if entry.name in LONG else [],
    )
    for entry in ENTRIES
]


def _module(entry):
    return importlib.import_module(f"recipes.{entry.topic}.{entry.name}")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("entry", QUICK)
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


def test_a_folder_of_photographs_of_several_sizes(tmp_path, capsys):
    from PIL import Image

    random = np.random.default_rng(0)
    for label, name in enumerate(("bright", "dark")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 128, (24 + i % 3, 30, 3)) + 127 * (1 - label)
            image = Image.fromarray(pixels.astype("uint8"))
            image.save(tmp_path / "photos" / name / f"{i}.png")
    flags = ["--quick", "--data", str(tmp_path / "photos"), "--out", str(tmp_path / "runs")]
    assert importlib.import_module("recipes.basics.mlp").main(flags) == 0
    out = capsys.readouterr().out
    assert out.count("resized") == 1
    assert out.strip().endswith("DONE")


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
