"""A recipe that was killed goes on with --resume and ends with the files it would have had."""

import json
import signal

from tests.faults import harness

import numpy as np
import pytest

RECIPES = harness.ROOT / "recipes"
RECIPE = str(RECIPES / "basics" / "mlp.py")


def files(folder, name="mlp"):
    (run,) = (folder / name).iterdir()
    result = json.loads((run / "result.json").read_text())
    weights = np.load(run / "weights-seed0.npz")
    return {
        "values": [row["value"] for row in result["rows"]],
        "history": (run / "history.csv").read_text(),
        "weights": [weights[name].tobytes() for name in weights.files],
        "left": sorted(path.name for path in run.glob("resume")),
    }


def test_recipe_killed_and_stopped_and_gone_on_with(trainer, folder):
    def run(place, *flags, **order):
        return trainer.send(folder / place, recipe=RECIPE, flags=flags, **order)[0]

    assert run("whole") == 0, harness.errors(folder / "whole")
    assert run("stopped", kill=7) == -signal.SIGKILL
    assert run("stopped", "--resume", kill=9, signal=signal.SIGTERM) == 143
    assert "the same command with --resume goes on" in harness.errors(folder / "stopped")
    assert run("stopped", "--resume") == 0, harness.errors(folder / "stopped")
    assert files(folder / "stopped") == files(folder / "whole")
    assert files(folder / "whole")["left"] == []
    assert len(harness.steps(folder / "stopped")) < 1.5 * len(harness.steps(folder / "whole"))


def test_other_settings_are_refused(trainer, folder):
    order = {"recipe": RECIPE, "flags": ("--data", "digits"), "kill": 0}
    assert trainer.send(folder, **order)[0] == -signal.SIGKILL
    order = {"recipe": RECIPE, "flags": ("--data", "digits", "--seeds", "2", "--resume")}
    assert trainer.send(folder, **order)[0] == 2
    assert "seeds differ" in harness.errors(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["basics/mlp.py", "vision/cnn_augmentation.py", "sequence/gru_signal.py"]
)
def test_the_same_seed_gives_the_same_weights(trainer, folder, path):
    order = {"recipe": str(RECIPES / path), "flags": (), "deterministic": True}
    for place in ("a", "b"):
        status, _, _ = trainer.send(folder / place, **order)
        assert status == 0, harness.errors(folder / place)
    name = path.rpartition("/")[2].removesuffix(".py")
    assert files(folder / "a", name) == files(folder / "b", name)
