"""Several processes of one training: when one dies, all start again from the last state."""

import os
import sys
import time

from kerasdnn.errors import InputError
from kerasdnn.launch.address import check_address, choose_port
from kerasdnn.launch.process import Group


def run_together(
    command,
    processes,
    *,
    deadline=None,
    max_restarts=3,
    host="127.0.0.1",
    port=None,
    insecure=False,
    devices=1,
    out=None,
):
    """Runs `command` in several processes that `kerasdnn.distributed.join` connects.

    Args:
        command: list of str.
        processes: int, how many.
        deadline: float, seconds after which all are ended, or None.
        max_restarts: int, how often all may be started again. Defaults to 3.
        host: str, name or address of this machine at which they meet.
        port: int, or None for a free one.
        insecure: bool, whether others may reach it.
        devices: int, on how many devices one process of TensorFlow trains.
        out: stream for their lines; default the standard output.

    Returns:
        int, the exit code: 0, that of a process that refused its input (2), or 1.
    """
    if processes < 1:
        raise InputError(f"-n expects at least 1 process; received {processes}.")
    if devices < 1 or (devices > 1 and processes > 1):
        raise InputError(
            f"--devices expects at least 1, and -n 1; received {devices} and -n {processes}. Use "
            "either several processes of JAX or several devices of one of TensorFlow."
        )
    backend = os.environ.get("KERAS_BACKEND", "jax" if devices == 1 else "tensorflow")
    if processes > 1 and backend != "jax":
        raise InputError(
            f"Training by several processes expects KERAS_BACKEND=jax; received {backend}. Unset "
            "it, or set it to jax."
        )
    host = check_address(host, insecure=insecure)
    until = None if deadline is None else time.monotonic() + deadline
    with Group(out) as group:
        for attempt in range(max_restarts + 1):
            place = f"{host}:{choose_port(host, port)}"
            for rank in range(processes):
                environment = {
                    "KERAS_BACKEND": "jax" if processes > 1 else backend,
                    "KERASDNN_PROCESS": f"{rank}/{processes}",
                    "KERASDNN_ADDRESS": place,
                    "KERASDNN_DEVICES": str(devices),
                    "KERASDNN_ATTEMPT": str(attempt),
                }
                group.start(str(rank), command, environment)
            failed = _first_failure(group, until)
            if failed is None:
                return 0
            group.stop(grace=1)  # JAX catches TERM and waits for the one that is dead
            rank, code = failed
            if code is None:
                print(f"ended at the deadline of {deadline:g} s", file=sys.stderr)
                return 1
            if code == 2:
                return 2
            again = attempt < max_restarts
            print(
                f"process {rank} ended with {code}: "
                + ("all start again" if again else f"given up after {attempt} restarts"),
                file=sys.stderr,
            )
    return 1


def _first_failure(group, until):
    """Returns rank and exit code of the first that failed, code None at the deadline, or None."""
    while group.running:
        for name, code in group.ended().items():
            if code:
                return name, code
        if until is not None and time.monotonic() > until:
            return None, None
        time.sleep(0.02)
    return None
