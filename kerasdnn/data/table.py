"""A user's own texts: a CSV file with the columns `text` and `label`."""

import csv
from pathlib import Path

from kerasdnn.data.base import Dataset
from kerasdnn.data.cache import reason
from kerasdnn.data.splits import objects, train_test_indices
from kerasdnn.errors import InputError

import numpy as np

TEST_SHARE = 0.2
LONGEST = 1_000_000  # characters of one field
MOST_BYTES = 2 * 2**30  # of the file, since the texts are kept in memory


def load(path, *, seed=0):
    """Loads a UTF-8 CSV file whose first line names the columns `text` and `label`.

    A stratified fifth becomes the test part; `seed` decides which. Rows with an empty text and
    rows that repeat an earlier text and label are left out, and the notes say how many. Labels
    are numbered in sorted order, as numbers if all of them are numbers.

    Raises:
        InputError: if a column is missing, a row is broken, or there are not two classes.
    """
    path = Path(path)
    rows, notes = _clean(_rows(path), path)
    names = _class_names({label for _, label in rows}, path)
    numbers = {name: number for number, name in enumerate(names)}
    texts = objects([text for text, _ in rows])
    labels = np.array([numbers[label] for _, label in rows], np.int32)
    train, test = train_test_indices(
        labels, TEST_SHARE, seed, lambda label: f"class '{names[label]}' in {path}"
    )
    notes.append(
        f"split: {len(test):,} of {len(texts):,} rows are held out for testing "
        f"(stratified, seed {seed})"
    )
    return Dataset(
        texts[train],
        labels[train],
        texts[test],
        labels[test],
        class_names=names,
        source=str(path),
        license="the user's own",
        name=path.stem,
        task="text",
        notes=tuple(notes),
    )


def _rows(path):
    """Returns all (text, label) rows of the file."""
    if path.stat().st_size > MOST_BYTES:
        raise InputError(
            f"A CSV file is kept in memory, {MOST_BYTES / 2**30:.0f} GiB at most; {path} is larger."
            f" Give a part of it."
        )
    before = csv.field_size_limit(LONGEST)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                columns = _columns(next(reader, []), path)
                return [_cells(row, columns, reader, path) for row in reader if row]
            except csv.Error as error:
                what = f"a field of more than {LONGEST:,} characters"
                what = what if "field limit" in str(error) else reason(error)
                raise InputError(
                    f"{path} should be a CSV file; line {reader.line_num} cannot be read ({what}). "
                    f'Correct it: a text with a comma, a quote or a line break stands in "...".'
                ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} should be encoded in UTF-8; byte {error.start:,} is not. Save it as UTF-8."
        ) from error
    except OSError as error:
        raise InputError(
            f"{path} should be a CSV file that can be read; it cannot ({reason(error)}). "
            f"Check its permissions."
        ) from error
    finally:
        csv.field_size_limit(before)


def _columns(header, path):
    """Returns where `text` and `label` stand, and the number of columns."""
    names = [name.strip().lower() for name in header]
    for wanted in ("text", "label"):
        if names.count(wanted) != 1:
            came = ", ".join(name.strip()[:40] for name in header[:10]) or "nothing"
            raise InputError(
                f"The first line of a CSV file should name the columns text and label, once each; "
                f"that of {path} has: {came}. Add the header, or rename the column."
            )
    return names.index("text"), names.index("label"), len(names)


def _cells(row, columns, reader, path):
    text, label, count = columns
    if len(row) != count:
        raise InputError(
            f"Every row of {path} should have {count} columns, as its header has; line "
            f'{reader.line_num} has {len(row)}. Put texts with a comma in it in "...".'
        )
    label = row[label].strip()
    if not label:
        raise InputError(
            f"Every row of {path} should have a label; line {reader.line_num} has none. "
            f"Fill it in, or delete the row."
        )
    return row[text].strip(), label


def _clean(rows, path):
    """Leaves out empty and repeated rows; returns what is left, and notes."""
    if not rows:
        raise InputError(
            f"{path} should have rows below its header; it has none. Add rows of text,label."
        )
    filled = [row for row in rows if row[0]]
    if not filled:
        raise InputError(
            f"The column text of {path} should hold texts; every row is empty. Fill it in."
        )
    unique = list(dict.fromkeys(filled))
    notes = []
    if len(filled) < len(rows):
        notes.append(f"left out: {len(rows) - len(filled):,} of {len(rows):,} rows without a text")
    if len(unique) < len(filled):
        notes.append(f"left out: {len(filled) - len(unique):,} rows that repeat an earlier one")
    return unique, notes


def _class_names(labels, path):
    if len(labels) < 2:
        raise InputError(
            f"The column label of {path} should name at least two classes; it has only "
            f"'{min(labels)}'. Add rows of another class."
        )
    if all(label.isascii() and label.isdigit() for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))
