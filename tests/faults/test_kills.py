"""kill -9 at random moments, then going on: equal to the bit, and no step is lost or repeated."""

from tests.faults import harness
from tests.faults.workloads import EPOCHS, QUICK, STEPS, WORKLOADS

import pytest


def check(trainer, folder, name, kills, seed):
    found = harness.kill_and_resume(trainer, folder, name, kills, seed)
    assert found["wrong"] == [], found
    assert found["events"]
    return found


@pytest.mark.parametrize("name", QUICK)
def test_four_kills_of_one_training(trainer, folder, name):
    found = check(trainer, folder, name, kills=4, seed=0)
    assert len(found["events"]) == 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", WORKLOADS)
def test_kills_of_every_kind_of_training(trainer, folder, name, seed):
    check(trainer, folder, name, kills=4, seed=seed)


class Pretending:
    """A trainer that writes what a broken resume would leave."""

    def __init__(self, again, history=(1.0,)):
        self.again, self.history, self.calls = again, list(history), 0

    def run(self, path, name, every="epoch", **order):
        every_step = [(e, s) for e in range(EPOCHS) for s in range(STEPS)]
        result = {"digest": "a", "history": [1.0], "epoch": [0]}
        if every is None:
            return 0, result
        self.calls += 1
        path.mkdir(parents=True, exist_ok=True)
        done = every_step[:9] if self.calls == 1 else self.again(every_step)
        with open(path / "steps.log", "a") as log:
            log.writelines(f"{e} {s}\n" for e, s in done)
        return (-9, None) if self.calls == 1 else (0, {**result, "history": self.history})


@pytest.mark.parametrize(
    ("trainer", "wrong"),
    [
        (Pretending(lambda steps: steps[9:]), []),
        (Pretending(lambda steps: steps[9:], [2.0]), ["history differs"]),
        (Pretending(lambda steps: steps[10:]), ["steps were left out"]),
        (Pretending(lambda steps: steps), ["9 steps were lost with a save every"]),
    ],
    ids=["right", "history", "left out", "repeated"],
)
def test_the_comparison_sees_what_is_wrong(trainer, wrong, tmp_path):
    found = harness.kill_and_resume(trainer, tmp_path, "LSTM with dropout", 1, seed=3)["wrong"]
    assert len(found) == len(wrong)
    assert all(a.startswith(b) for a, b in zip(found, wrong))


def test_lost_steps_are_counted():
    assert harness._lost([(0, 0), (0, 1), (0, 1), (0, 2), (0, 0)]) == [1, 3]
    assert harness._lost([(0, 0), (0, 1), (1, 0)]) == []
