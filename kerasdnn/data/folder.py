"""A user's own images: one folder a class, optionally inside `train/` and `test/`."""

import os
from collections import Counter
from pathlib import Path

from kerasdnn.data.base import Dataset
from kerasdnn.data.cache import reason
from kerasdnn.data.images import SUFFIXES, check_memory, image_facts, read_image
from kerasdnn.data.splits import stratified_indices, train_test_indices
from kerasdnn.errors import InputError

import numpy as np

TEST_SHARE = 0.2  # of a folder that has no test part of its own


def load(path, *, limit=None, seed=0, image_size=None):
    """Loads `class/image.png`, or `train/class/image.png` and `test/class/image.png`.

    Without `test/`, a stratified fifth becomes the test part; `seed` decides which. Images of
    several sizes are brought to `image_size`, by default the size most of them have.

    Raises:
        InputError: if the folder is not laid out like this, or an image cannot be read.
    """
    root = Path(path)
    notes = []
    parts, class_names = _parts(root, seed, notes)
    parts = [_limited(part, limit, len(class_names), seed, notes, name) for name, part in parts]
    facts = {file: image_facts(file) for files, _ in parts for file in files}
    size = _common_size(facts, image_size, notes)
    grey = all(is_grey for _, is_grey in facts.values())
    if not grey and any(is_grey for _, is_grey in facts.values()):
        notes.append("grey images among coloured ones are given three equal channels")
    check_memory(len(facts), size, 1 if grey else 3)
    arrays = []
    for files, labels in parts:
        arrays.append(np.stack([read_image(file, size, grey) for file in files]))
        arrays.append(labels)
    return Dataset(
        *arrays,
        class_names=class_names,
        source=str(root),
        license="the user's own",
        name=_real(root).name,
        task="image",
        notes=tuple(notes),
    )


def _parts(root, seed, notes):
    """Returns [("training", (files, labels)), ("test", (files, labels))] and the class names."""
    given = {entry.name for entry in _entries(root, root) if entry.is_dir()} & {"train", "test"}
    if len(given) == 2:
        return _given_parts(root, notes)
    if given:
        missing = ({"train", "test"} - given).pop()
        raise InputError(
            f"train/ and test/ belong together; {root} has no {missing}/. "
            f"Add it, or give one folder of classes, which is then split."
        )
    files = _classes(root, root, notes)
    class_names = tuple(files)
    every, labels = _flat(files, class_names)
    train, test = train_test_indices(
        labels, TEST_SHARE, seed, lambda label: str(root / class_names[label])
    )
    notes.append(
        f"split: {root} has no test/, so {len(test):,} of {len(every):,} images are held out "
        f"for testing (stratified, seed {seed})"
    )
    parts = [
        (name, ([every[index] for index in indices], labels[indices]))
        for name, indices in (("training", train), ("test", test))
    ]
    return parts, class_names


def _given_parts(root, notes):
    ignored = [entry.name for entry in _entries(root, root) if entry.name not in ("train", "test")]
    if ignored:
        notes.append(f"ignored beside train/ and test/: {', '.join(ignored[:5])}")
    train = _classes(root, root / "train", notes)
    test = _classes(root, root / "test", notes)
    class_names = tuple(train)
    unknown = [name for name in test if name not in train]
    if unknown:
        raise InputError(
            f"Every class of test/ should stand in train/ as well; {root / 'train'} has no "
            f"{unknown[0]}. Add it there, or take it out of test/."
        )
    absent = [name for name in train if name not in test]
    if absent:
        notes.append(f"no test images of: {', '.join(absent)}")
    return [("training", _flat(train, class_names)), ("test", _flat(test, class_names))], (
        class_names
    )


def _flat(files, class_names):
    """Returns all files, class by class, and their int32 labels."""
    counts = [len(files.get(name, ())) for name in class_names]
    labels = np.repeat(np.arange(len(class_names), dtype=np.int32), counts)
    return [file for name in class_names for file in files.get(name, ())], labels


def _classes(root, folder, notes):
    """Returns a dictionary from class name to image files of a folder of class folders."""
    entries = _entries(root, folder)
    files, ignored = {}, [entry for entry in entries if not entry.is_dir()]
    for entry in entries:
        if entry.is_dir():
            inside = _entries(root, entry)
            files[entry.name] = [one for one in inside if _is_image(one)]
            ignored += [one for one in inside if not _is_image(one)]
    empty = [name for name, images in files.items() if not images]
    if empty:
        raise InputError(
            f"Every class folder should hold images ({', '.join(SUFFIXES)}); "
            f"{folder / empty[0]} holds none. Fill it or delete it."
        )
    if len(files) < 2:
        raise InputError(
            f"An image folder needs at least two class folders; {folder} has {len(files)}. "
            f"Lay it out as class/image.png, with a folder for each class."
        )
    if ignored:
        notes.append(
            f"ignored in {folder}: {len(ignored):,} entries that are no images in a class folder, "
            f"such as {ignored[0].relative_to(folder)}"
        )
    return files


def _entries(root, folder):
    """Returns what a folder holds, sorted, without hidden files; refuses links that lead out."""
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"{folder} should be a folder that can be read; it cannot ({reason(error)}). "
            f"Check its permissions."
        ) from error
    for entry in entries:
        # A link could name any file of the machine, and a data set is often somebody else's.
        if entry.is_symlink() and not _real(entry).is_relative_to(_real(root)):
            raise InputError(
                f"The files of an image folder should lie inside it; {entry} is a link to "
                f"{_real(entry)}. Copy the file into the folder, or remove the link."
            )
    return [entry for entry in entries if not entry.name.startswith(".")]


def _real(path):
    return Path(os.path.realpath(path))


def _is_image(entry):
    # A broken link counts, to be reported as unreadable; a pipe or a device does not.
    return entry.suffix.lower() in SUFFIXES and (entry.is_file() or not entry.exists())


def _limited(part, limit, classes, seed, notes, name):
    """Takes the subset before anything is decoded."""
    files, labels = part
    if limit is None or len(files) <= limit:
        return part
    if limit < classes:
        raise InputError(
            f"limit keeps at least one image of each of the {classes} classes; "
            f"received limit={limit}. Give {classes} or more."
        )
    indices = stratified_indices(labels, limit, seed)
    notes.append(
        f"subset: {limit:,} of {len(files):,} {name} images (limit={limit:,}, seed {seed})"
    )
    return [files[index] for index in indices], labels[indices]


def _common_size(facts, image_size, notes):
    sizes = Counter(size for size, _ in facts.values())
    size = image_size or sizes.most_common(1)[0][0]
    others = sum(count for other, count in sizes.items() if other != size)
    if others:
        notes.append(
            f"resized: {others:,} of {len(facts):,} images to {size[0]} x {size[1]} pixels"
        )
    return size
