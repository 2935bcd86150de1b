"""A search by several processes that survives the death of any of them."""

import inspect
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from kerasdnn.errors import InputError
from kerasdnn.launch import Group, check_address, choose_port

STOP_CHIEF = 60.0  # seconds for the chief to write the table


def run_workers(
    search,
    *,
    workers=2,
    deadline=None,
    max_restarts=3,
    port=None,
    host="127.0.0.1",
    insecure=False,
    out=None,
):
    """Runs a Keras Tuner search with Keras Tuner's own chief and several worker processes.

    Left alone, Keras Tuner hangs when a worker dies. Here a dead worker is started again under its
    own name, and so gets its trial again; when the chief dies, all are started again and go on
    from the files; nothing is waited for beyond the deadline.

    The channel between the processes has no authentication: it is bound to this machine, and a
    public `host` is refused without `insecure`.

    Args:
        search: module-level function, or `"file.py:function"`, that makes its tuner with declared
            hyper-parameters, calls `tuner.search(...)` and returns the tuner. It runs in the chief
            and in each worker.
        workers: int, how many worker processes. Defaults to 2.
        deadline: float, seconds after which the search ends with the trials it has; None for none.
        max_restarts: int, how often each process may be started again. Defaults to 3.
        port: int; None chooses a free one.
        host: str, name or address of this machine at which workers meet the chief.
        insecure: bool, whether others may reach it.
        out: stream for the lines of the processes; default the standard output.

    Returns:
        list of dict, the trials as `trial_table` gives them, the best first.

    Raises:
        InputError: bad arguments, a port in use, no declared space, the folder of another search,
            a second chief, a damaged state. Nothing is overwritten.
        RuntimeError: a process has died too often, or no trial was completed in time.
    """
    for name, value in (("workers", workers), ("max_restarts", max_restarts + 1)):
        if value < 1:
            raise InputError(f"run_workers expects {name} of at least 1; received {value}.")
    if deadline is not None and deadline <= 0:
        raise InputError(f"run_workers expects a deadline of some seconds; received {deadline}.")
    target = target_of(search)
    host = check_address(host, insecure=insecure)
    with tempfile.TemporaryDirectory() as folder, Group(out) as group:
        supervisor = _Supervisor(group, Path(folder), target, host, choose_port(host, port))
        return supervisor.run(workers, deadline, max_restarts)


class _Supervisor:
    def __init__(self, group, folder, target, host, port):
        self.group, self.folder, self.target = group, folder, target
        self.host, self.port = host, port
        self.restarts = {}

    def run(self, workers, deadline, max_restarts):
        self.names = [f"worker{i}" for i in range(workers)]
        until = None if deadline is None else time.monotonic() + deadline
        for name in ("chief", *self.names):
            self._start(name)
        finished = set()
        while True:
            for name, code in self.group.ended().items():
                if code == 2:
                    raise InputError(self._last_words(name))
                if code == 0:
                    finished.add(name)
                    continue
                count = self.restarts[name] = self.restarts.get(name, 0) + 1
                if count > max_restarts:
                    raise RuntimeError(
                        f"The {name} has died {count} times, the last time with: "
                        f"{self._last_words(name)}"
                    )
                if name == "chief":
                    # It gives trials that were under way to the next one who asks: nobody may
                    # still be working on them.
                    self.group.stop([n for n in self.names if n in self.group.running])
                    finished.clear()
                    for again in ("chief", *self.names):
                        self._start(again)
                    break
                self._start(name)
            if "chief" in finished or finished.issuperset(self.names):
                return self._table("The search has ended without a completed trial.")
            if until is not None and time.monotonic() > until:
                self.group.stop([n for n in self.names if n in self.group.running], grace=1)
                return self._table(f"No trial was completed within {deadline:g} s.")
            time.sleep(0.05)

    def _start(self, name):
        generation = self.restarts.get("chief", 0)
        cores = max(1, (os.cpu_count() or 1) // len(self.names))
        environment = {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": self.host,
            "KERASTUNER_ORACLE_PORT": str(self.port),
            "KERASDNN_SEARCH_FOLDER": str(self.folder),
            "KERASDNN_SEARCH_GENERATION": str(generation),
            "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
            # Workers share the cores instead of each using all of them.
            "TF_NUM_INTRAOP_THREADS": os.environ.get("TF_NUM_INTRAOP_THREADS", str(cores)),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cores)),
        }
        command = [sys.executable, "-m", "kerasdnn.tuning.worker_process", self.target]
        self.group.start(name, command, environment)

    def _table(self, without):
        """Lets the chief write its table and end; returns the table."""
        path = self.folder / "table.json"
        if "chief" in self.group.running:
            # Keras Tuner's chief looks only every 20 s whether all have left.
            self.group.running["chief"].signal(signal.SIGTERM)
            until = time.monotonic() + STOP_CHIEF
            while not path.is_file() and time.monotonic() < until:
                if self.group.running["chief"].poll() is not None:
                    break
                time.sleep(0.02)
        rows = json.loads(path.read_text()) if path.is_file() else []
        if not any(row["status"] == "COMPLETED" for row in rows):
            failed = [row["ended"] for row in rows if row["ended"]]
            raise RuntimeError(without + (f" The last trial: {failed[-1]}" if failed else ""))
        return rows

    def _last_words(self, name):
        path = self.folder / f"{name}.error"
        return path.read_text() if path.is_file() else "no word; it was killed, or crashed"


def target_of(search):
    """Returns `"module:function"` or `"/path/file.py:function"` for a child to import."""
    if isinstance(search, str):
        path, _, function = search.rpartition(":")
        if not path.endswith(".py") or not function.isidentifier():
            raise InputError(
                f"run_workers expects a function or 'file.py:function'; received '{search}'."
            )
        if not Path(path).is_file():
            raise InputError(f"run_workers expects a file that exists; '{path}' does not.")
        return f"{Path(path).resolve()}:{function}"
    name = getattr(search, "__qualname__", type(search).__name__)
    if not callable(search) or not name.isidentifier():
        raise InputError(
            f"run_workers expects a module-level function, which a new process can import; "
            f"received {name}. Move it out of other functions."
        )
    loaded = sys.modules.get(search.__module__)
    spec = getattr(loaded, "__spec__", None)
    # Part of a package, which its own imports may need; all else is found by its file.
    if spec is not None and spec.parent and spec.name == search.__module__:
        return f"{spec.name}:{name}"
    # A function of a notebook has no file; the notebook of a recipe names that of the recipe.
    file = getattr(search, "__globals__", {}).get("__file__") or inspect.getsourcefile(search)
    return f"{Path(file).resolve()}:{name}"
