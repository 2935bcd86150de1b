"""Disks that are full, read-only or forbidden: the training or its last good state survives."""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def python(code, *arguments, **options):
    """Runs a program without Keras in a process of its own; returns its output."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def small_disk():
    """A file system of 100 kB."""
    folder = tempfile.mkdtemp()
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", folder]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        os.rmdir(folder)
        pytest.skip("mounting a small file system needs root; test_file_too_large does not")
    yield pathlib.Path(folder)
    subprocess.run(["umount", folder], check=True)
    os.rmdir(folder)


SAVE = """
    import os, sys
    import numpy as np
    from kerasdnn.checkpoint import Checkpoints
    with Checkpoints(sys.argv[1]) as states:
        before = states.save({"w": np.zeros(1000)}, {"epoch": 1})
        LIMIT
        try:
            states.save({"w": np.zeros(50_000)}, {"epoch": 2})
        except OSError as error:
            print(error.strerror)
        print(sorted(os.listdir(sys.argv[1])))
        print(states.newest().meta)
"""
SURVIVED = "['lock', 'state-00000000.json', 'state-00000000.npz']\n{'epoch': 1}\n"


def test_full_disk_keeps_the_state_before(small_disk):
    out = python(SAVE.replace("LIMIT", ""), small_disk / "a")
    assert out == f"No space left on device\n{SURVIVED}"


def test_file_too_large(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    assert python(SAVE.replace("LIMIT", limit), tmp_path) == f"File too large\n{SURVIVED}"


OPEN = """
    import os, sys
    from kerasdnn.checkpoint import Checkpoints
    from kerasdnn.errors import InputError
    USER
    try:
        Checkpoints(sys.argv[1])
    except InputError as error:
        print(error)
"""


def test_disk_that_is_full_at_the_start(small_disk):
    with open(small_disk / "filler", "wb") as file:
        with contextlib.suppress(OSError):
            file.write(bytes(200_000))
    out = python(OPEN.replace("USER", ""), small_disk / "b")
    (small_disk / "filler").unlink()
    assert "cannot (no space left on device). Name another one." in out


def test_read_only_disk(small_disk):
    (small_disk / "c").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    out = python(OPEN.replace("USER", ""), small_disk / "c")
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert "cannot (" in out
    assert "Name another one." in out


def test_folder_of_somebody_else(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o055)
    user = "os.setuid(65534)" if os.getuid() == 0 else ""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    out = python(OPEN.replace("USER", user), folder, env=env)
    assert "cannot (permission denied). Name another one." in out


def test_training_goes_on_when_the_disk_fills_up(small_disk):
    from kerasdnn.resume import exact_fit

    import keras
    import numpy as np

    class Fill(keras.callbacks.Callback):
        """Fills the disk during the second epoch, and empties it in the fourth."""

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                with open(small_disk / "filler", "wb", buffering=0) as file:
                    try:
                        while file.write(bytes(512)):
                            pass
                    except OSError:
                        pass
            if epoch == 3:
                (small_disk / "filler").unlink()

    x = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    said = []
    history = exact_fit(
        model,
        x,
        x[:, :1],
        epochs=4,
        batch_size=4,
        resume_dir=small_disk / "d",
        callbacks=[Fill()],
        say=said.append,
    )
    assert history.epoch == [0, 1, 2, 3]
    assert said == [
        f"the state at epoch {epoch} could not be saved (no space left on device); the one before "
        "is still there"
        for epoch in (3, 4)
    ]
