"""The files that a recipe leaves, written atomically, and its RESULT line."""

import csv
import io
import json
import math
import os
import re
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasdnn.errors import InputError

import numpy as np


@dataclass(frozen=True)
class Gate:
    """The value below which a recipe fails, and by how much it must beat its control."""

    value: float
    gain: float = 0.0


@dataclass
class Trial:
    """What one training gives back: its number and, if wanted, model, history, more cells."""

    value: float
    model: Any = None
    history: dict = field(default_factory=dict)
    columns: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """What a recipe declares of itself in the decorator."""

    metric: str
    data: str
    gates: dict
    target: tuple | None
    higher_is_better: bool
    flags: Any = None


_STAMP = re.compile(r"(\d{8}-\d{6})(?:-(\d+))?")


@dataclass
class Row:
    """One line of a recipe's table: the same training repeated over seeds.

    `role` is "control", "technique" or "row"; `values` holds one number a seed, in the order of
    the seeds; `minutes` the time of each; `columns` further cells, the mean over seeds where they
    are numbers.
    """

    name: str
    role: str = "row"
    seeds: list = field(default_factory=list)
    values: list = field(default_factory=list)
    minutes: list = field(default_factory=list)
    columns: list = field(default_factory=list)

    def summary(self):
        """Returns the row of the table: name, value, std, n, minutes and further columns."""
        cells = {
            "name": self.name,
            "value": mean(self.values),
            "std": deviation(self.values),
            "n": len(self.values),
            "minutes": round(mean(self.minutes), 2),
        }
        for key in dict.fromkeys(key for columns in self.columns for key in columns):
            found = [columns[key] for columns in self.columns if key in columns]
            numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in found)
            cells[key] = mean(found) if numeric else found[-1]
        return cells


def mean(values):
    """Returns the mean as a float, rounded to six digits after the point."""
    return round(float(statistics.fmean(values)), 6)


def deviation(values):
    """Returns the sample standard deviation, or None for fewer than two values."""
    return round(float(statistics.stdev(values)), 6) if len(values) > 1 else None


def write_bytes(path, data):
    """Writes a file so that a reader sees the old content or the new, never half of it."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path, content):
    """Writes readable JSON; NaN and infinity become null."""
    write_bytes(path, (json.dumps(_finite(content), indent=2) + "\n").encode())


def _finite(value):
    """Replaces numbers that JSON does not have, and NumPy scalars by Python's."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_history(path, histories):
    """Writes history.csv, one line an epoch of each training; `histories[(row, seed)]` of lists."""
    names = list(dict.fromkeys(name for history in histories.values() for name in history))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "seed", "epoch", *names])
    for (row, seed), history in histories.items():
        epochs = max((len(values) for values in history.values()), default=0)
        for epoch in range(epochs):
            cells = [history[n][epoch] if epoch < len(history.get(n, ())) else "" for n in names]
            writer.writerow([row, seed, epoch + 1, *cells])
    write_bytes(path, text.getvalue().encode())


def write_weights(path, model):
    """Writes the weights of a model as an npz of plain arrays, in the order of `model.weights`."""
    data = io.BytesIO()
    np.savez(data, *model.get_weights())
    write_bytes(path, data.getvalue())


def new_folder(parent, name, stamp):
    """Makes `parent/name/stamp`, a folder that did not exist before.

    It comes after all earlier ones also where the clock has gone backwards: then it is named after
    the newest of them.

    Raises:
        InputError: the folder cannot be made or written to.
    """
    base = Path(parent) / name
    stamp = max([stamp, *(folder.name[: len(stamp)] for folder in run_folders(base))])
    for attempt in range(1000):
        folder = base / (stamp if attempt == 0 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            if not folder.is_dir():
                raise _unwritable(parent, error) from None
            continue
        except OSError as error:
            raise _unwritable(parent, error) from None
        if not os.access(folder, os.W_OK):
            raise _unwritable(parent, "no permission to write")
        return folder
    raise _unwritable(parent, f"{base / stamp} and 999 more exist already")


def run_folders(base):
    """Returns the folders of the runs in `base`, oldest first."""
    found = [(_STAMP.fullmatch(folder.name), folder) for folder in Path(base).glob("*/")]
    order = [(match[1], int(match[2] or 0), folder) for match, folder in found if match]
    return [folder for _, _, folder in sorted(order)]


def _unwritable(parent, error):
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(
        f"--out expects a folder that can be written to; '{parent}' cannot ({reason.lower()}). "
        "Name another one."
    )


def result_line(result):
    """Returns the last line of a run: greppable `key=value` pairs and PASS, FAIL or DONE."""
    verdict = {True: "PASS", False: "FAIL", None: "DONE"}[result["passed"]]
    target = (result["target"] or {}).get("value")
    pairs = {
        "recipe": result["recipe"],
        "metric": result["metric"],
        "value": _short(result["value"]),
        "std": _short(result["std"]),
        "n": len(result["values"]),
        "control": _short(result["control"]),
        "target": _short(target),
        "gate": _short(result["gate"]),
        "data": result["data"]["name"],
        "minutes": f"{result['minutes']:.1f}",
    }
    return " ".join(["RESULT", *(f"{key}={value}" for key, value in pairs.items()), verdict])


def _short(value):
    return "-" if value is None else f"{value:.4f}"
