"""Two processes train as one does, and go on when one of them is killed."""

import io
import json
import sys
from pathlib import Path

from kerasdnn import cli
from kerasdnn.errors import InputError
from kerasdnn.launch import run_together

import numpy as np
import pytest

pytest.importorskip("jax")
pytestmark = pytest.mark.timeout(280)
TRAIN = Path(__file__).parent / "train.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns the function that trains once for each kind of run and keeps its folder."""
    found = {}

    def train(processes, *dies):
        key = (processes, *dies)
        if key not in found:
            folder = tmp_path_factory.mktemp("run")
            out = io.StringIO()
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("KERAS_BACKEND", "jax")
                patch.setenv("JAX_PLATFORMS", "cpu")
                patch.setenv("PYTHONPATH", str(TRAIN.parents[2]), prepend=":")
                command = [sys.executable, str(TRAIN), str(folder), *dies]
                code = run_together(command, processes, deadline=250, max_restarts=1, out=out)
            assert code == 0, out.getvalue()
            found[key] = folder
        return found[key]

    return train


def read(folder):
    with np.load(folder / "weights.npz") as arrays:
        weights = list(arrays.values())
    return json.loads((folder / "result.json").read_text()), weights


def test_two_processes_train_as_one(trained):
    one, weights_of_one = read(trained(1))
    two, weights_of_two = read(trained(2))
    assert len(two["loss"]) == 4
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-5)
    np.testing.assert_allclose(two["val_loss"], one["val_loss"], rtol=1e-5)
    for a, b in zip(weights_of_two, weights_of_one, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_one_is_killed_and_all_go_on_from_the_last_state(trained):
    whole, weights = read(trained(2))
    folder = trained(2, "1", "2")
    killed, weights_of_killed = read(folder)
    assert killed == whole
    for a, b in zip(weights_of_killed, weights, strict=True):
        np.testing.assert_array_equal(a, b)
    # Both went on with the epoch that the state of rank 0 stood at.
    for rank in (0, 1):
        epochs = (folder / f"epochs-{rank}").read_text().split()
        assert epochs == ["0", "1", "2", "2", "3"]


def test_the_model_of_one_process_loads(trained):
    from kerasdnn.saving import load_model

    result, _ = read(trained(2))
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 6)).astype("float32")
    guess = load_model(trained(2) / "model.keras", compile=False).predict(x, verbose=0)
    np.testing.assert_allclose(guess.ravel(), result["guess"], atol=1e-5)


def test_what_cannot_be_launched_is_refused(monkeypatch, capsys):
    assert cli.main(["launch", "-n", "2", "--", "nowhere.py"]) == 2
    assert "no file 'nowhere.py'" in capsys.readouterr().err
    assert cli.main(["launch", "-n", "2", "--"]) == 2
    with pytest.raises(InputError, match="at least 1 process"):
        run_together(["true"], 0)
    with pytest.raises(InputError, match="no password"):
        run_together(["true"], 1, host="192.0.2.1")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(InputError, match="KERAS_BACKEND=jax"):
        run_together(["true"], 2)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert run_together([sys.executable, "-c", "raise SystemExit(2)"], 2, deadline=60) == 2
    assert run_together([sys.executable, "-c", "1 / 0"], 1, max_restarts=1, deadline=60) == 1
    assert "given up after 1 restarts" in capsys.readouterr().err
    assert run_together([sys.executable, "-c", "input()"], 1, deadline=1) == 1
    assert "deadline of 1 s" in capsys.readouterr().err
