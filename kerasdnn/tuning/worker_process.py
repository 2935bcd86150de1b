"""The chief or a worker of a search: `python -m kerasdnn.tuning.worker_process TARGET`.

Runs the target's function with Keras Tuner's classes made fit for processes that may be killed:
states are written whole or not at all, no worker and no second start overwrites a folder, a chief
holds a lock on it, and a TERM ends the chief with its table written.
"""

import importlib
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from kerasdnn import results
from kerasdnn.errors import InputError
from kerasdnn.launch import hold_lifeline
from kerasdnn.tuning import space
from kerasdnn.tuning.checks import check_state
from kerasdnn.tuning.early_ending import last_line
from kerasdnn.tuning.table import trial_table

import keras_tuner

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there
    fcntl = None

FOLDER = Path(os.environ.get("KERASDNN_SEARCH_FOLDER", "."))
GENERATION = os.environ.get("KERASDNN_SEARCH_GENERATION", "0")
NAME = os.environ.get("KERASTUNER_TUNER_ID", "")
SPACE = "declared.json"
_locks = []  # held until this process ends
_failures = []  # what trials of this worker ended with


class _Ended(BaseException):
    """TERM has come: nobody is left to work for."""


def main(target):
    """Runs the function `target` as chief or worker; returns the exit code."""
    hold_lifeline()
    _prepare(keras_tuner.engine.base_tuner.BaseTuner)
    if NAME == "chief":
        signal.signal(signal.SIGTERM, _end)
    try:
        tuner = _function(target)()
        if not isinstance(tuner, keras_tuner.engine.base_tuner.BaseTuner):
            raise InputError(
                "run_workers expects a function that returns its tuner after tuner.search(...); "
                f"received {type(tuner).__name__}."
            )
        if NAME == "chief":
            results.write_json(FOLDER / "table.json", trial_table(tuner))
        return 0
    except _Ended:
        return 0
    except InputError as error:
        return _said(str(error), 2)
    except Exception as error:
        traceback.print_exc()
        if _failures:  # then this is Keras Tuner's refusal to go on, or it does not matter
            return _said(f"its trials failed, the last one with {_failures[-1]}", 1)
        return _said(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", 1)


def _said(sentence, code):
    results.write_bytes(FOLDER / f"{NAME}.error", sentence.encode())
    return code


def _end(signum, frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Ended


def _function(target):
    place, _, name = target.rpartition(":")
    if place.endswith(".py"):
        sys.path.insert(0, str(Path(place).parent))
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    if not hasattr(module, name):
        raise InputError(f"run_workers expects a function '{name}' in {place}; there is none.")
    return getattr(module, name)


def _prepare(tuner_class):
    """Wraps the base class of all tuners, in this process only."""
    stateful = tuner_class.__bases__[0]
    make, search = tuner_class.__init__, tuner_class.search

    def save(self, fname):
        state = json.dumps(self.get_state())
        results.write_bytes(fname, state.encode())
        return state

    def begin(self, oracle, *args, **kwargs):
        folder = Path(kwargs.get("directory") or ".") / (
            kwargs.get("project_name") or "untitled_project"
        )
        if NAME == "chief":
            _lock(folder)
            _first_declared.update(_declared(oracle))
            if GENERATION != "0" or not kwargs.get("overwrite"):
                kwargs["overwrite"] = False
                _same_search(folder, oracle)
        else:
            kwargs["overwrite"] = False
            _wait_for_chief()
        make(self, oracle, *args, **kwargs)
        if NAME != "chief":
            _adapt(self.oracle)

    def searched(self, *args, **kwargs):
        if not space.tunable(self.oracle.get_space()):
            raise InputError(
                "run_workers expects declared hyper-parameters: while the first trial runs, other "
                "workers would find an empty space. Give hyperparameters= or a hypermodel."
            )
        if NAME == "chief":
            _note_search(Path(self.project_dir), self.oracle)
            (FOLDER / f"ready-{GENERATION}").touch()
        try:
            search(self, *args, **kwargs)
        except _Ended:
            if NAME != "chief":
                raise

    stateful.save, tuner_class.__init__, tuner_class.search = save, begin, searched


def _wait_for_chief():
    while not (FOLDER / f"ready-{GENERATION}").exists():  # the supervisor sees to the time
        time.sleep(0.05)


def _adapt(oracle):
    """Makes a worker ask for trials patiently, and remember why the last one failed."""
    ask, end = oracle.create_trial, oracle.end_trial

    def create_trial(tuner_id):
        trial = ask(tuner_id)
        if trial.status == "IDLE":  # Keras Tuner would ask again at once, as fast as it can
            time.sleep(0.2)
        return trial

    def end_trial(trial):
        if trial.message:
            _failures.append(last_line(trial.message))
        end(trial)

    oracle.create_trial, oracle.end_trial = create_trial, end_trial


def _lock(folder):
    """Makes sure that no other chief uses the folder."""
    if fcntl is None:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder.parent / f".{folder.name}.chief", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"Another chief is at work in {folder}. Wait for it, or give another directory."
        ) from None
    _locks.append(handle)


def _same_search(folder, oracle):
    """Refuses a folder whose state is damaged or belongs to another search."""
    if not folder.is_dir():
        return
    check_state(folder)
    path = folder / SPACE
    saved = json.loads(path.read_text()) if path.is_file() else None
    if saved is not None and saved["declared"] and saved != _declared(oracle):
        raise InputError(
            f"The folder {folder} holds another search, with another space or objective. Give "
            "another directory, or overwrite=True."
        )


def _note_search(folder, oracle):
    if not (folder / SPACE).is_file():
        results.write_json(folder / SPACE, _first_declared)


_first_declared = {}


def _declared(oracle):
    names = [(hp.name, json.dumps(hp.get_config())) for hp in oracle.hyperparameters.space]
    return json.loads(json.dumps({"objective": oracle.objective.name, "declared": sorted(names)}))


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Keras Tuner's server has threads that would be waited for
