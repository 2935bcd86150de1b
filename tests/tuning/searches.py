"""Searches that run in the chief and the workers of the tests; what goes wrong is in SEARCH_*."""

import os
import signal
import time
from pathlib import Path

from kerasdnn.tuning import NoRepeatBayesian

import keras_tuner

FOLDER = Path(os.environ.get("SEARCH_FOLDER", "."))
NAME = os.environ.get("KERASTUNER_TUNER_ID", "")


def once(name):
    """Whether this is the first time that any process asks."""
    try:
        (FOLDER / f"once-{name}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class Bowl(NoRepeatBayesian):
    def run_trial(self, trial, *args, **kwargs):
        number = int(trial.trial_id)
        with (FOLDER / "log").open("a") as log:
            log.write(f"{number} {NAME}\n")
        time.sleep(0.1)
        for kill in os.environ.get("SEARCH_KILLS", "").split():
            who, at = kill.split("@")
            if number == int(at) and once(kill):
                os.kill(os.getpid() if who == "me" else chief(), signal.SIGKILL)
                time.sleep(60)
        if os.environ.get("SEARCH_FAILS"):
            raise ValueError("no such layer")
        if os.environ.get("SEARCH_DIES"):
            os._exit(9)
        if os.environ.get("SEARCH_HANGS") and number > 1:
            time.sleep(600)
        return (trial.hyperparameters.get("x") - 1) ** 2


def chief():
    return int((FOLDER / "chief").read_text())


def bowl(objective=None, low=-2.0):
    if NAME == "chief":
        (FOLDER / "chief").write_text(str(os.getpid()))
    hp = keras_tuner.HyperParameters()
    hp.Float("x", low, 2.0)
    tuner = Bowl(
        objective=objective,
        hyperparameters=hp,
        max_trials=8,
        directory=FOLDER / "search",
        project_name="bowl",
    )
    tuner.search(verbose=0)
    return tuner


def another_bowl():
    return bowl(low=-3.0)


def undeclared():
    tuner = keras_tuner.RandomSearch(
        lambda hp: None, max_trials=2, directory=FOLDER / "search", project_name="none"
    )
    tuner.search()
    return tuner


def nothing():
    return None
