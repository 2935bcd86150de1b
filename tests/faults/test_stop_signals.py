"""Ctrl-C and SIGTERM: the step is finished, the state saved, and the program ends as it should."""

import signal

from tests.faults import harness

import pytest

NAME = "LSTM with dropout"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_a_signal_saves_and_leaves(trainer, folder, number, code):
    status, result = trainer.run(folder, NAME, "epoch", kill=8, signal=number)
    assert (status, result) == (code, None)
    assert "stopped before epoch 2, step 3, which is saved in" in harness.errors(folder)
    status, result = trainer.run(folder, NAME, "epoch")
    assert status == 0
    assert result["said"] == [f"going on with epoch 2, step 3 of {folder}"]
    done = harness.steps(folder)
    assert done == [(e, s) for e in range(harness.EPOCHS) for s in range(harness.STEPS)]
