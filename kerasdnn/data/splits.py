"""Subsets and splits that are the same on every machine and for every version of NumPy."""

import random
from dataclasses import replace

from kerasdnn.data.base import ITEMS
from kerasdnn.errors import InputError

import numpy as np


def fixed_order(count, seed):
    """Returns a permutation of `range(count)`; Python guarantees the stream of `random()`."""
    draw = random.Random(seed).random
    return np.argsort([draw() for _ in range(count)], kind="stable")


def stratified_indices(labels, size, seed):
    """Picks `size` indices with the classes in proportion, at least one of each, shuffled.

    Args:
        labels: integer array `(N,)`.
        size: int, between the number of classes and N.
        seed: int.
    """
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    share = counts * (size / len(labels))
    quota = np.maximum(np.floor(share).astype(int), 1)
    quota = np.minimum(quota, counts)
    # The largest remainders get what is left over; where the minimum of one overdrew, the
    # largest classes pay.
    while quota.sum() < size:
        gap = np.where(quota < counts, share - quota, -np.inf)
        quota[np.argmax(gap)] += 1
    while quota.sum() > size:
        quota[np.argmax(quota - share + (quota > 1) * len(labels))] -= 1
    order = fixed_order(len(labels), seed)
    picked = np.zeros(len(labels), bool)
    for label, wanted in zip(classes, quota):
        picked[order[labels[order] == label][:wanted]] = True
    return order[picked[order]]


def train_test_indices(labels, test_share, seed, what):
    """Splits row numbers into a training and a stratified test part.

    Args:
        labels: integer array `(N,)`.
        test_share: float in (0, 1).
        seed: int.
        what: `str`, names a class and its samples in an error: `what(label)`.

    Raises:
        InputError: if a class has a single sample, which cannot stand in both parts.
    """
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        lone = classes[np.argmin(counts)]
        raise InputError(
            f"A data set without a test part needs at least 2 samples of each class to be split; "
            f"{what(lone)} has 1. Add samples of it, or leave the class out."
        )
    size = min(max(round(len(labels) * test_share), len(classes)), len(labels) - len(classes))
    test = stratified_indices(labels, size, seed)
    rest = np.ones(len(labels), bool)
    rest[test] = False
    order = fixed_order(len(labels), seed)
    return order[rest[order]], test


def pick(values, indices):
    """Returns the rows `indices` of an array or a sequence."""
    if isinstance(values, np.ndarray):
        return values[indices]
    return objects([values[index] for index in indices])


def objects(values):
    """Returns an object array `(N,)`; NumPy itself would make tuples of one length into a table."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def limited(dataset, limit, seed):
    """Keeps at most `limit` training samples and at most `limit` test samples, stratified.

    Raises:
        InputError: if a class would be left without a sample.
    """
    if limit is None:
        return dataset
    classes = len(dataset.class_names)
    if limit < max(classes, 1):
        raise InputError(
            f"limit keeps at least one sample of each of the {classes} classes of {dataset.name}; "
            f"received limit={limit}. Give {classes} or more."
        )
    train = _subset(dataset.x_train, dataset.y_train, limit, seed, classes)
    test = _subset(dataset.x_test, dataset.y_test, limit, seed, classes)
    kept = [
        f"{len(new[0]):,} of {len(old):,} {part}"
        for part, new, old in (
            ("training", train, dataset.x_train),
            ("test", test, dataset.x_test),
        )
        if len(new[0]) < len(old)
    ]
    if not kept:
        return dataset
    note = f"subset: {' and '.join(kept)} {ITEMS[dataset.task]} (limit={limit:,}, seed {seed})"
    return replace(
        dataset,
        x_train=train[0],
        y_train=train[1],
        x_test=test[0],
        y_test=test[1],
        notes=(*dataset.notes, note),
    )


def _subset(x, y, limit, seed, classes):
    if len(x) <= limit:
        return x, y
    if classes:
        indices = stratified_indices(y, limit, seed)
    else:
        indices = fixed_order(len(x), seed)[:limit]
    return pick(x, indices), pick(y, indices)


def validation_split(dataset, size, seed=0):
    """Cuts validation data out of the training part; the test part is not touched.

    Stratified by class; for `"pairs"`, whole words. The same seed gives the same split everywhere.

    Args:
        dataset: `Dataset`.
        size: int, the number of validation samples, or float in (0, 1), their share.
        seed: int.

    Returns:
        `(x_fit, y_fit), (x_val, y_val)`.

    Raises:
        InputError: if either part would lack a sample of some class.

    Example:
    >>> from kerasdnn.data import load, validation_split
    >>> (x, y), (x_val, y_val) = validation_split(load("digits"), 200)
    >>> len(x), len(x_val), sorted(set(y_val.tolist())) == list(range(10))
    (1238, 200, True)
    """
    total = len(dataset.x_train)
    count = round(total * size) if isinstance(size, float) else size
    labels = None if dataset.task == "pairs" else np.asarray(dataset.y_train)
    least = 1 if labels is None else len(np.unique(labels))
    if not least <= count <= total - least:
        raise InputError(
            f"validation_split expects between {least} and {total - least} samples out of the "
            f"{total:,} for training; received size={size!r}. Give another size or more data."
        )
    if labels is None:
        chosen = fixed_order(total, seed)[:count]
    else:
        chosen = stratified_indices(labels, count, seed)
    rest = np.ones(total, bool)
    rest[chosen] = False
    kept = np.flatnonzero(rest)
    return tuple((pick(dataset.x_train, i), pick(dataset.y_train, i)) for i in (kept, chosen))
