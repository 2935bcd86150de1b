"""One process of several: its output under its name, its end by TERM and then by KILL."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

from kerasdnn.startup import is_chatter

GRACE = 5.0  # seconds from TERM to KILL
LIFELINE = "KERASDNN_LIFELINE"


class Process:
    """A child process whose lines appear under its name.

    Its standard input is a lifeline: when this process ends, however it ends, the child's input
    ends too, and `hold_lifeline` there ends the child.

    Args:
        name: str, the prefix of its lines.
        command: list of str.
        environment: dict of further variables.
        out: where lines go; default the standard output stream.
    """

    def __init__(self, name, command, environment=None, out=None):
        self.name, self.out = name, out or sys.stdout
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {}), LIFELINE: "1", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the parent, which ends its children itself
        )
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            if not is_chatter(line):
                self.out.write(f"[{self.name}] {line}")
                self.out.flush()

    def poll(self):
        """Returns the exit code, or None while it runs."""
        return self.process.poll()

    def signal(self, number):
        """Sends a signal to the process and to those that it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone
            os.killpg(self.pid, number)

    def close(self):
        """Waits for the last lines of a process that has ended."""
        self.process.wait()
        self.signal(signal.SIGKILL)  # what it has started and left behind
        self.reader.join(timeout=5)
        self.process.stdin.close()
        self.process.stdout.close()


class Group:
    """Processes by name, none of which outlives a `with` statement.

    Example:
    >>> import io, sys
    >>> out = io.StringIO()
    >>> with Group(out) as group:
    ...     group.start("one", [sys.executable, "-c", "print('hello')"])
    ...     group.wait(60)
    {'one': 0}
    >>> print(out.getvalue().strip())
    [one] hello
    """

    def __init__(self, out=None):
        self.out, self.running = out, {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def start(self, name, command, environment=None):
        """Starts a process; an earlier one of this name must have ended."""
        self.running[name] = Process(name, command, environment, self.out)

    def ended(self):
        """Returns name and exit code of those that have ended since the last call."""
        found = {n: p.poll() for n, p in self.running.items() if p.poll() is not None}
        for name in found:
            self.running.pop(name).close()
        return found

    def wait(self, seconds):
        """Returns the exit codes when all have ended, or None when that takes longer."""
        until, codes = time.monotonic() + seconds, {}
        while self.running:
            codes.update(self.ended())
            if time.monotonic() > until:
                return None
            time.sleep(0.02)
        return codes

    def stop(self, names=None, grace=GRACE):
        """Ends processes: TERM, and KILL for those that are still there after `grace` seconds.

        JAX catches TERM in distributed work and does not end by it.
        """
        chosen = [self.running[n] for n in names or list(self.running) if n in self.running]
        for process in chosen:
            process.signal(signal.SIGTERM)
        until = time.monotonic() + grace
        while any(p.poll() is None for p in chosen) and time.monotonic() < until:
            time.sleep(0.02)
        for process in chosen:
            process.signal(signal.SIGKILL)
            process.close()
            self.running.pop(process.name, None)


def hold_lifeline():
    """In a child of `Process`: ends this process when its parent is gone. Elsewhere: nothing."""
    if os.environ.pop(LIFELINE, None) is None:
        return

    def watch():
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
