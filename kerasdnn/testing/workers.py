"""One process for each backend, started when first needed and kept for the whole test session."""

import atexit
import contextlib
import importlib.util
import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
import time

from kerasdnn.testing.report import CheckError

import keras
import numpy as np

BACKENDS = ("tensorflow", "jax", "torch")
TIMEOUT = 240  # seconds for one answer; the first one includes importing the backend
_workers = {}


def chosen_backends(backends):
    """The other backends to compare with, and the reason for each one that is left out.

    Args:
        backends: `"installed"` or a sequence of names. The running one is never among them.

    Returns:
        list of str, and dict from name to reason.
    """
    names = BACKENDS if backends == "installed" else tuple(backends)
    unknown = sorted(set(names) - set(BACKENDS))
    if unknown:
        raise ValueError(
            f"backends expects 'installed' or names among {', '.join(BACKENDS)}; received "
            f"{', '.join(unknown)}. Leave the argument out for all that are installed."
        )
    use, skipped = [], {}
    for name in names:
        if name == keras.backend.backend():
            continue
        if os.environ.get("KERASDNN_TEST_BACKENDS") == "none":
            skipped[name] = "KERASDNN_TEST_BACKENDS is none"
        elif importlib.util.find_spec(name) is None:
            skipped[name] = "not installed"
        else:
            use.append(name)
    return use, skipped


def compare(report, task, path, inputs, expected, *, classes, backends, rtol, atol):
    """Reloads in a new process of the running backend and of the others, and compares outputs.

    What held and what was left out goes into the report; the other arguments are those of
    `run_in` and `chosen_backends`.
    """
    here = keras.backend.backend()
    others, skipped = chosen_backends(backends)
    report.skipped.update(skipped)
    for backend in (here, *others):
        _worker(backend)  # they start side by side
    for backend in (here, *others):
        try:
            got = run_in(backend, task, path, inputs, classes)
        except CheckError as error:
            raise CheckError(f"{report.subject}: {error}") from None
        what = f"in a new {backend} process after reloading"
        report.close(got, expected, what, rtol=rtol, atol=atol)
        report.done.append("reload" if backend == here else backend)


def run_in(backend, task, path, inputs, classes):
    """Runs one saved object in the process of a backend.

    Args:
        backend: str, a name of `BACKENDS`.
        task: `"predict"`, `"compiled_loss"` (a `.keras` file each) or `"loss"` (a JSON file).
        path: path of that file.
        inputs: arrays in lists, tuples and dictionaries, the arguments of the call.
        classes: sequence of the classes and functions under test; modules outside of `kerasdnn`
            are imported there.

    Returns:
        list of arrays, the outputs flattened.

    Raises:
        CheckError: the process reports an error, dies, or does not answer in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        leaves = []
        structure = _flatten(inputs, leaves)
        request = {
            "task": task,
            "path": str(path),
            "structure": structure,
            "inputs": str(pathlib.Path(folder, "inputs.npz")),
            "outputs": str(pathlib.Path(folder, "outputs.npz")),
            "modules": _modules(classes),
            "paths": [os.path.abspath(entry) for entry in sys.path],
        }
        np.savez(request["inputs"], *leaves)
        answer = _worker(backend).ask(request)
        if "error" in answer:
            raise CheckError(
                f"expected a new {backend} process to reload it without custom objects; received "
                f"{answer['error']}"
            )
        with np.load(request["outputs"]) as outputs:
            return [outputs[f"arr_{index}"] for index in range(answer["outputs"])]


class _Worker:
    """A child process and its pipes."""

    def __init__(self, backend):
        self.backend = backend
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            # The folders this process imports from, so that it finds the same kerasdnn.
            "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
            # Several processes may share one accelerator.
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kerasdnn.testing.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
        )
        self.rest = b""
        self.ready = False

    def ask(self, request):
        if not self.ready:
            self._read_line()  # says that the imports are done
            self.ready = True
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self._fail("died before the request")
        return json.loads(self._read_line())

    def _read_line(self):
        deadline = time.monotonic() + TIMEOUT
        pipe = self.process.stdout.fileno()
        while b"\n" not in self.rest:
            ready, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                self._fail(f"did not answer within {TIMEOUT} s")
            chunk = os.read(pipe, 65536)
            if not chunk:
                self._fail("died without an answer")
            self.rest += chunk
        line, self.rest = self.rest.split(b"\n", 1)
        return line

    def _fail(self, what):
        _workers.pop(self.backend, None)
        self.log.seek(0)
        last = self.log.read().decode(errors="replace").strip()[-1000:]
        self.close(wait=0)
        raise CheckError(f"The {self.backend} process {what}. Its last words: {last or 'none'}")

    def close(self, wait=5):
        """Lets the process end with its input, and kills it when it does not."""
        with contextlib.suppress(BrokenPipeError):  # it is gone already
            self.process.stdin.close()
        try:
            self.process.wait(wait)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


def _worker(backend):
    if backend not in _workers:
        _workers[backend] = _Worker(backend)
    return _workers[backend]


@atexit.register
def close_workers():
    """Ends all processes; the next check starts new ones."""
    while _workers:
        _workers.popitem()[1].close()


def _modules(classes):
    """Name and file of each module that registers a class which is not kerasdnn's own."""
    found = {}
    for item in classes:
        name = getattr(item, "__module__", None) or ""
        if name.partition(".")[0] in ("kerasdnn", "keras"):
            continue
        file = getattr(sys.modules.get(name), "__file__", None)
        if name == "__main__" and file:
            name = pathlib.Path(file).stem  # a script is imported under its own name
        if file:
            found[name] = str(pathlib.Path(file).resolve())
    return list(found.items())


def _flatten(inputs, leaves):
    """The structure with the number of its array in the place of each leaf."""
    if inputs is None:
        return None
    if isinstance(inputs, dict):
        return {key: _flatten(value, leaves) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        return [_flatten(value, leaves) for value in inputs]
    leaves.append(np.asarray(inputs))
    return len(leaves) - 1
