"""Downloads through tensorflow-datasets, in a process of their own with a time limit.

tensorflow-datasets retries a server that does not answer for minutes and leaves half-written
files; a process can be ended at any moment, and its folder removed.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from kerasdnn.data.cache import reason, write_arrays
from kerasdnn.errors import InputError


def prepare(name, data_dir, *, seconds, arrays=None, quiet=False):
    """Downloads and prepares a data set of tensorflow-datasets, whole or not at all.

    Args:
        name: its name in tensorflow-datasets.
        data_dir: path of the folder that holds the prepared data sets.
        seconds: float, after which the attempt is ended.
        arrays: None, or a path: the arrays are written there as npz and nothing to `data_dir`.
        quiet: bool, without the progress bars.

    Raises:
        InputError: if it did not succeed.
    """
    place = arrays.parent if arrays else data_dir
    existed = place.exists()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".kerasdnn-", dir=place) as folder:
            _run(name, data_dir, Path(folder), seconds, arrays, quiet)
    except OSError as error:
        raise InputError(
            f"{place} should be a folder for data that can be written to; it is not "
            f"({reason(error)}). Set KERASDNN_HOME and TFDS_DATA_DIR to folders of yours."
        ) from error
    finally:
        if not existed:
            with suppress(OSError):  # not empty means that all went well
                place.rmdir()


def time_limit(seconds):
    """Returns how long a download may take: `$KERASDNN_DOWNLOAD_SECONDS`, or what is given."""
    chosen = os.environ.get("KERASDNN_DOWNLOAD_SECONDS")
    try:
        limit = float(chosen or seconds)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise InputError(
            f"KERASDNN_DOWNLOAD_SECONDS should be a positive number of seconds; "
            f"it is '{chosen}'. Correct it or unset it."
        )
    return limit


def _run(name, data_dir, folder, seconds, arrays, quiet):
    command = [sys.executable, "-m", "kerasdnn.data.prepare", name, str(data_dir), str(folder)]
    output = subprocess.DEVNULL if quiet else sys.stderr
    try:
        subprocess.run(
            command + ([str(arrays)] if arrays else []),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(),
            timeout=seconds,
            check=False,
        )
        report = json.loads((folder / "report.json").read_text("utf-8"))
    except subprocess.TimeoutExpired:
        report = {"error": f"it took longer than {seconds:.0f} s"}
    except (FileNotFoundError, ValueError):
        report = {"error": "its process ended without a report"}
    if "error" in report:
        raise InputError(
            f"tensorflow-datasets should download and prepare {name}; it did not "
            f"({report['error']}). Try again later, raise KERASDNN_DOWNLOAD_SECONDS, "
            f"or choose other data: kerasdnn data list"
        )
    if not arrays:
        _move(folder, data_dir, report["path"])


def _environment():
    """The child must find this very package, wherever it is imported from."""
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}


def _move(folder, data_dir, path):
    target = data_dir / path
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / path, target)


def main(name, data_dir, folder, arrays=None):
    """Runs in the child process; what went wrong is left in `report.json`."""
    folder = Path(folder)
    try:
        report = {"path": _prepared(name, Path(data_dir), folder, arrays)}
    except Exception as error:
        report = {"error": f"{type(error).__name__}: {reason(error)[:300]}"}
    (folder / "report.json").write_text(json.dumps(report), "utf-8")


def _prepared(name, data_dir, folder, arrays):
    from kerasdnn.data.tfds import builder_of
    from kerasdnn.data.tfds_read import read

    # Now, since tensorflow-datasets would import it from several threads at once, which fails.
    import tensorflow  # noqa: F401

    builder = builder_of(name, data_dir)
    if not builder.is_prepared():
        builder = builder_of(name, folder)
        builder.download_and_prepare(download_dir=folder / "downloads")
    if arrays:
        data = read(builder, name, seed=0, image_size=None)
        write_arrays(
            arrays,
            x_train=data.x_train,
            y_train=data.y_train,
            x_test=data.x_test,
            y_test=data.y_test,
        )
        return ""
    return str(Path(builder.data_dir).relative_to(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
