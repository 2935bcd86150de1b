"""Tables of numbers: two of scikit-learn's, and a user's own CSV file with a column `label`."""

import csv
from pathlib import Path

from kerasdnn.data.base import Dataset
from kerasdnn.data.splits import train_test_indices
from kerasdnn.errors import InputError

import numpy as np

TEST_SHARE = 0.2


def load_breast_cancer():
    """Loads 30 measurements of 569 tumours, malignant or benign."""
    from sklearn import datasets

    return _of_bunch(datasets.load_breast_cancer(), "breast_cancer", "Breast Cancer Wisconsin")


def load_wine():
    """Loads 13 chemical measurements of 178 wines of three growers."""
    from sklearn import datasets

    return _of_bunch(datasets.load_wine(), "wine", "Wine")


def _of_bunch(bunch, name, title):
    names = tuple(str(value).replace("_", " ") for value in bunch.target_names)
    licence = f"CC BY 4.0 (UCI {title})"
    return _dataset(bunch.data, bunch.target, names, "scikit-learn", licence, name, 0)


def is_table(path):
    """Returns whether there are a column `label`, none called `text`, and numbers below."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = [name.strip().lower() for name in next(reader, [])]
            first = next(filter(None, reader), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False  # whoever reads the file says what is wrong with it
    return names.count("label") == 1 and "text" not in names and any(map(_is_number, first))


def load(path, *, seed=0):
    """Loads a UTF-8 CSV file of numbers with a column `label`; an empty cell is a missing value.

    Raises:
        InputError: if a row is broken, a cell is no number, or there are not two classes.
    """
    path = Path(path)
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader)]
        place = [name.lower() for name in header].index("label")
        rows, labels = [], []
        for row in filter(None, reader):
            if len(row) != len(header):
                raise InputError(
                    f"Every row of {path} should have {len(header)} columns, as its header has; "
                    f"line {reader.line_num} has {len(row)}."
                )
            labels.append(row.pop(place).strip())
            rows.append([_number(cell, reader.line_num, path) for cell in row])
    names = tuple(sorted(set(labels)))
    if len(names) < 2 or "" in names:
        raise InputError(
            f"The column label of {path} should name at least two classes and be filled in every "
            f"row; there are {len(set(names) - {''})}{' and empty ones' if '' in names else ''}."
        )
    numbers = np.array([names.index(label) for label in labels])
    return _dataset(rows, numbers, names, str(path), "the user's own", path.stem, seed)


def _is_number(cell):
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def _number(cell, line, path):
    try:
        return float(cell) if cell.strip() else np.nan
    except ValueError:
        raise InputError(
            f"Every column of {path} but label should hold numbers; line {line} has "
            f"'{cell[:40]}'. Write numbers, or leave the column out."
        ) from None


def _dataset(values, labels, names, source, licence, name, seed):
    values = np.asarray(values, np.float32)
    labels = np.asarray(labels, np.int32)
    train, test = train_test_indices(
        labels, TEST_SHARE, seed, lambda label: f"class '{names[label]}' in {source}"
    )
    return Dataset(
        values[train],
        labels[train],
        values[test],
        labels[test],
        class_names=names,
        source=source,
        license=licence,
        name=name,
        task="numbers",
    )
