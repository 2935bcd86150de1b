"""What a number depends on besides the code: versions, machine, commit."""

import os
import pathlib
import platform
import subprocess

import kerasdnn
from kerasdnn import backend
from kerasdnn.runtime.precision import cpu_count, cpu_model

import keras
import numpy as np


def environment():
    """Returns the versions, the machine and the commit of this run, for a result file.

    What cannot be found out is None; nothing is raised.

    Returns:
        dict with `backend` (str), `versions` (dict from package to version), `machine` (dict with
        `cpu`, `cores`, `memory_gb`, `accelerator`, `system`) and `git` (the commit of kerasdnn's
        own checkout, ending in `-dirty` when files differ from it, or None outside of one).

    Example:
    >>> facts = environment()
    >>> sorted(facts)
    ['backend', 'git', 'machine', 'versions']
    """
    name = keras.backend.backend()
    return {
        "backend": name,
        "versions": {
            "python": platform.python_version(),
            "kerasdnn": kerasdnn.__version__,
            "keras": keras.__version__,
            name: backend.current().VERSION,
            "numpy": np.__version__,
        },
        "machine": {
            "cpu": cpu_model(),
            "cores": cpu_count(),
            "memory_gb": _memory_gb(),
            "accelerator": _accelerator(),
            "system": platform.platform(),
        },
        "git": _commit(pathlib.Path(kerasdnn.__file__).parent),
    }


def _memory_gb():
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3, 1)
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return None


def _accelerator():
    """The name of the first accelerator, or None where the backend sees only the CPU."""
    name = backend.current().device_name()
    return None if name == "CPU" else name


def _commit(folder):
    # An installed package may lie inside somebody else's checkout: then no file is tracked.
    if not _git(folder, "ls-files", "__init__.py"):
        return None
    return _git(folder, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


def _git(folder, *arguments):
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):  # git is not installed, or the disk hangs
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
