"""Kills trainings, resumes them, compares with the undisturbed one to the bit."""

import itertools
import json
import os
import pathlib
import random
import select
import subprocess
import sys

from tests.faults.workloads import EPOCHS, STEPS

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT = 900  # seconds for one training on a busy machine


class Trainer:
    """A process that has imported Keras and trains in forks of itself."""

    def __init__(self):
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        self._answer()

    def run(self, folder, name, every="epoch", **order):
        """Trains in a child; returns its exit code and what it left, None if it was killed."""
        status, result, _ = self.send(folder, name=name, every=every, **order)
        return status, result

    def send(self, folder, **order):
        """Gives an order to a child; returns exit code, result and peak memory in kB."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name_of_file in ("result.json", "errors.log"):
            (folder / name_of_file).unlink(missing_ok=True)
        self.process.stdin.write(json.dumps({**order, "folder": str(folder)}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self._answer())
        path = folder / "result.json"
        result = json.loads(path.read_text()) if path.exists() else None
        return answer["status"], result, answer["maxrss"]

    def _answer(self):
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.close()
            raise RuntimeError("The training process ended, or did not answer in time.")
        return line

    def close(self):
        self.process.kill()
        self.process.communicate()


def errors(folder):
    """Returns what the last training in a folder wrote to its error stream."""
    return (pathlib.Path(folder) / "errors.log").read_text(errors="replace")


def steps(folder):
    """Returns the (epoch, step) of every step that any process of this training did."""
    path = pathlib.Path(folder) / "steps.log"
    lines = path.read_text().splitlines() if path.exists() else ()
    return [tuple(map(int, line.split())) for line in lines if line.count(" ") == 1]


def kill_and_resume(trainer, folder, name, kills, seed):
    """Kills one training `kills` times at random steps and moments, and lets it end.

    Returns:
        dict: the undisturbed result, the resumed one, for each kill its step, its moment and how
        many steps had to be done again, and what is said to be wrong (an empty list if nothing).
    """
    rng = random.Random(f"{name} {seed}")
    every = rng.choice([1, 2, 3, 4, "epoch"])
    interval = STEPS if every == "epoch" else every
    status, expected = trainer.run(pathlib.Path(folder, "whole"), name, every=None)
    if status:
        raise RuntimeError(f"The undisturbed training of {name} ended with {status}.")
    total, wrong, events = EPOCHS * STEPS, [], []
    folder = pathlib.Path(folder, "killed")
    for number in range(kills):
        before = steps(folder)
        left = total - max((epoch * STEPS + step + 1 for epoch, step in before), default=0)
        at = rng.randrange(max(1, left // (kills - number)))
        moment = rng.choice(["step", "step", "step", "write", "rename"])
        status, result = trainer.run(folder, name, every, kill=at, moment=moment)
        if result is not None and left == 0:
            break  # killed before in the very last save: there was nothing left to kill
        events.append({"step": at, "moment": moment, "done": len(steps(folder)) - len(before)})
        if status != -9:
            wrong.append(f"kill {number} at {moment} {at} ended with {status}")
    status, result = trainer.run(folder, name, every)
    if status or result is None:
        return {"wrong": [*wrong, f"the resumed training ended with {status}"], "events": events}
    for key in ("digest", "history", "epoch"):
        if result[key] != expected[key]:
            wrong.append(f"{key} differs")
    repeated = len(steps(folder)) - total
    lost = _lost(steps(folder))
    if set(steps(folder)) != {(e, s) for e in range(EPOCHS) for s in range(STEPS)}:
        wrong.append("steps were left out")
    if max(lost, default=0) > interval:
        wrong.append(f"{max(lost)} steps were lost with a save every {interval}")
    return {"wrong": wrong, "events": events, "repeated": repeated, "lost": lost, "every": every}


def _lost(done):
    """Returns for each return to an earlier step how many steps were done again."""
    positions = [epoch * STEPS + step for epoch, step in done]
    return [a - b + 1 for a, b in itertools.pairwise(positions) if b <= a]
