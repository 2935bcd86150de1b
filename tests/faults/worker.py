"""Trains in child processes that may be killed; imports Keras once and forks.

Reads one JSON object a line, `{"name", "folder", "every", "kill", "moment", "signal"}`, trains in
a fork, and answers with `{"status", "maxrss"}`. `kill` is the step, counted in this process, at
which the child gets SIGKILL: at the `moment` "step" before it; at "write" while the next state is
written; at "rename" between writing and renaming it.
"""

import hashlib
import json
import os
import pathlib
import runpy
import signal
import sys
import traceback

from kerasdnn import console, run
from kerasdnn.errors import InputError
from kerasdnn.runtime import seed_everything
from tests.faults import workloads

import keras


class Watch(keras.callbacks.Callback):
    """Logs every step that was done, and kills this process when it is time."""

    def __init__(self, order):
        super().__init__()
        self.order, self.seen = order, 0
        self.log = os.path.join(order["folder"], "steps.log")

    def get_state(self):
        return None

    def set_state(self, state):
        pass

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.seen == self.order.get("kill"):
            self._end()
        self.seen += 1

    def on_train_batch_end(self, batch, logs=None):
        with open(self.log, "a") as file:
            file.write(f"{self.epoch} {batch}\n")

    def _end(self):
        moment = self.order.get("moment", "step")
        if moment == "step":
            os.kill(os.getpid(), self.order.get("signal", signal.SIGKILL))
        elif moment == "write":
            os.fsync = _die  # what was written so far stays, half of a state
        else:
            os.replace = _die


def _die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def digest(model):
    """Returns the SHA-256 of every variable of the training."""
    found = hashlib.sha256()
    for array in workloads.arrays(model):
        found.update(array.tobytes())
    return found.hexdigest()


def meet(order):
    """Loads a hostile file; tells how it was refused, and whether it ran code or wrote outside."""
    from tests.faults.hostile import HOSTILE

    folder = pathlib.Path(order["folder"])
    place, canary = folder / "input", folder / "canary"
    place.mkdir()
    attempt = HOSTILE[order["hostile"]](place, canary)
    try:
        attempt()
        sentence = None
    except InputError as error:
        sentence = str(error)
    return {"sentence": sentence, "executed": canary.exists()}


def run_recipe(order):
    """Runs a recipe as the command line does, with a watch in every training."""
    console.epoch_lines = lambda label: Watch(order)
    run.SECONDS_TO_LOSE = 0.0
    if order.get("deterministic"):
        seed_everything(0, deterministic=True)
    story = runpy.run_path(order["recipe"])["main"]
    code = story(["--quick", "--out", order["folder"], *order["flags"]])
    if code:
        os._exit(code)


def child(order):
    if "recipe" in order:
        return run_recipe(order)
    if "hostile" in order:
        result = meet(order)
        with open(os.path.join(order["folder"], "result.json"), "w") as file:
            json.dump(result, file)
        return None
    said = []
    model, history = workloads.train(
        order["name"],
        order["folder"] if order["every"] else None,
        order["every"] or "epoch",
        watch=[Watch(order)],
        say=lambda text: (said.append(text), print(text, file=sys.stderr)),
    )
    result = {"digest": digest(model), "history": history.history, "epoch": history.epoch}
    with open(os.path.join(order["folder"], "result.json"), "w") as file:
        json.dump({**result, "said": said}, file)
    return None


def main():
    workloads.images()  # once, before the forks
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a job runs behind
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 0
            handle = os.open(os.path.join(order["folder"], "errors.log"), os.O_WRONLY | os.O_CREAT)
            os.dup2(handle, 1)  # the parent's answers go there
            os.dup2(handle, 2)
            try:
                child(order)
            except BaseException as error:
                code = 130 if isinstance(error, KeyboardInterrupt) else 1
                traceback.print_exc(limit=-3)
            sys.stderr.flush()
            os._exit(code)
        _, status, usage = os.wait4(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "maxrss": usage.ru_maxrss}))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
