"""A recipe, as it is, by several processes of JAX or on several devices of TensorFlow."""

import csv
import importlib.util
import io
import json
import sys
from pathlib import Path

from kerasdnn import cli, launch
from kerasdnn.errors import InputError

import numpy as np
import pytest

pytestmark = pytest.mark.timeout(280)
RECIPE = Path(__file__).parent / "small_recipe.py"


def results(folder):
    """Returns the rows and the losses of the only run in a folder."""
    (run,) = (folder / "small_recipe").iterdir()
    rows = json.loads((run / "result.json").read_text())["rows"]
    with (run / "history.csv").open() as lines:
        losses = [float(line["loss"]) for line in csv.DictReader(lines)]
    return rows, losses


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What the recipe finds in this process."""
    folder = tmp_path_factory.mktemp("alone")
    spec = importlib.util.spec_from_file_location("small_recipe", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(["--quick", "--out", str(folder)]) == 0
    return results(folder)


def launched(folder, backend, processes, *, restarts=0, dies="", **options):
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", backend)
        patch.setenv("SMALL_RECIPE_DIES", dies)
        patch.setenv("PYTHONPATH", str(RECIPE.parents[2]), prepend=":")
        command = [sys.executable, str(RECIPE), "--quick", "--out", str(folder)]
        code = launch.run_together(
            command, processes, deadline=250, max_restarts=restarts, out=out, **options
        )
    assert code == 0, out.getvalue()
    return out.getvalue()


def same(one, other):
    rows, losses = one
    expected, losses_expected = other
    np.testing.assert_allclose(losses, losses_expected, rtol=1e-5)
    for row, like in zip(rows[:2], expected[:2], strict=True):
        assert row["value"] == like["value"]
        assert row["first_guess"] == pytest.approx(like["first_guess"], rel=1e-4)


def test_two_processes_find_what_one_does(alone, tmp_path):
    pytest.importorskip("jax")
    said = launched(tmp_path, "jax", 2)
    same(results(tmp_path), alone)
    assert said.count("trained by 2 processes") == 2
    assert "[1] small_recipe" not in said  # the first one alone speaks


def test_two_devices_find_what_one_does(alone, tmp_path):
    pytest.importorskip("tensorflow")
    said = launched(tmp_path, "tensorflow", 1, devices=2)
    same(results(tmp_path), alone)
    assert said.count("trained by 2 devices") == 2


@pytest.mark.slow
def test_when_one_dies_the_rows_that_are_done_stay(alone, tmp_path):
    pytest.importorskip("jax")
    said = launched(tmp_path, "jax", 2, restarts=1, dies="1")
    same(results(tmp_path), alone)
    assert "going on with" in said
    assert said.count("[0] first, seed 0") == 2  # said again, not trained again
    assert said.count("[0] first\n") == 1


def test_names_of_recipes_and_what_cannot_be(monkeypatch, capsys):
    found = {}

    def run_together(command, processes, **options):
        found.update(command=command[1:], processes=processes, **options)
        return 0

    monkeypatch.setattr(launch, "run_together", run_together)
    assert cli.main(["launch", "-n", "3", "--", "basics/mlp", "--quick"]) == 0
    assert found["command"] == ["-m", "kerasdnn.cli", "run", "mlp", "--quick"]
    assert (found["processes"], found["devices"]) == (3, 1)
    assert cli.main(["launch", "--devices", "2", "--", "mlp"]) == 0
    assert (found["processes"], found["devices"]) == (1, 2)
    monkeypatch.undo()
    assert cli.main(["launch", "-n", "2", "--", "mlpp"]) == 2
    assert "Did you mean 'mlp'" in capsys.readouterr().err
    with pytest.raises(InputError, match="--devices expects"):
        launch.run_together(["true"], 2, devices=2)
    monkeypatch.setenv("KERASDNN_DEVICES", "2")
    monkeypatch.setenv("KERASDNN_PROCESS", "0/2")
    from kerasdnn import distributed

    with pytest.raises(InputError, match="either several processes or several devices"):
        distributed.join()
