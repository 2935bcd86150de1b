"""Reads a prepared data set of tensorflow-datasets into memory."""

from kerasdnn.data.base import Dataset
from kerasdnn.data.images import check_memory, resize_array
from kerasdnn.data.splits import objects, pick, train_test_indices
from kerasdnn.errors import InputError

import numpy as np

TEST_SHARE = 0.2


def read(builder, name, *, seed, image_size):
    """Reads the training and the test part.

    Args:
        builder: `tfds.core.DatasetBuilder` whose data are prepared.
        name: `str`, for messages.
        seed: int, decides the test part where the set has none.
        image_size: `(height, width)`, or None for the size of the first image.

    Raises:
        InputError: if the set is neither images nor texts with one label.
    """
    task, x_key, y_key = _columns(builder.info, name)
    splits = builder.info.splits
    if "train" not in splits:
        raise InputError(
            f"A data set should have a split named train; tfds:{name} has "
            f"{', '.join(sorted(splits)) or 'none'}. Choose another one."
        )
    reader = _Reader(builder, task, x_key, y_key, image_size)
    x_train, y_train = reader.part("train")
    class_names = tuple(builder.info.features[y_key].names)
    notes = []
    for split in ("test", "validation"):
        if split in splits:
            x_test, y_test = reader.part(split)
            if len(y_test) and y_test.min() >= 0:
                break
            notes.append(f"the split {split} has no labels and is not used")
    else:
        train, test = train_test_indices(
            y_train, TEST_SHARE, seed, lambda label: f"class {class_names[label]} of tfds:{name}"
        )
        notes.append(
            f"split: tfds:{name} has no labelled test part, so {len(test):,} of {len(y_train):,} "
            f"samples are held out for testing (stratified, seed {seed})"
        )
        x_test, y_test = pick(x_train, test), y_train[test]
        x_train, y_train = pick(x_train, train), y_train[train]
    info = builder.info
    return Dataset(
        x_train,
        y_train,
        x_test,
        y_test,
        class_names=class_names,
        source=f"tensorflow-datasets, {info.full_name}",
        license=info.redistribution_info.license or f"see {info.homepage or info.full_name}",
        name=f"tfds:{name}",
        task=task,
        notes=(*notes, *reader.notes()),
    )


def _columns(info, name):
    """Returns the task and the names of the features that hold the samples and the labels."""
    import tensorflow_datasets as tfds

    features = dict(info.features.items()) if hasattr(info.features, "items") else {}
    keys = info.supervised_keys
    if not (isinstance(keys, tuple) and len(keys) == 2 and all(key in features for key in keys)):
        keys = list(features)
    by_kind = {
        kind: [key for key in keys if type(features[key]) is feature]
        for kind, feature in (
            ("image", tfds.features.Image),
            ("text", tfds.features.Text),
            ("label", tfds.features.ClassLabel),
        )
    }
    samples = [(kind, key) for kind in ("image", "text") for key in by_kind[kind]]
    if len(samples) != 1 or len(by_kind["label"]) != 1:
        held = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in features.items())
        raise InputError(
            f"kerasdnn reads sets of tensorflow-datasets with one image or one text and one class "
            f"label; tfds:{name} has {held or 'no named features'}. Choose another one."
        )
    return *samples[0], by_kind["label"][0]


class _Reader:
    """Reads splits one sample at a time, so that images are resized as they come."""

    def __init__(self, builder, task, x_key, y_key, image_size):
        self.builder = builder
        self.task, self.x_key, self.y_key = task, x_key, y_key
        self.size, self.count, self.resized, self.without_alpha = image_size, 0, 0, 0

    def part(self, split):
        """Returns the samples and the int32 labels of a split."""
        import tensorflow_datasets as tfds

        examples = self.builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding({self.x_key: True, self.y_key: True}),
            read_config=tfds.ReadConfig(try_autocache=False),
        )
        convert = self._image if self.task == "image" else self._text
        x, y = [], []
        for example in tfds.as_numpy(examples):
            x.append(convert(example[self.x_key]))
            y.append(int(example[self.y_key]))
        if not x:
            raise InputError(
                f"The split {split} of {self.builder.info.full_name} should hold samples; it is "
                f"empty. Delete {self.builder.data_dir} to have it made again."
            )
        return (np.stack(x) if self.task == "image" else objects(x)), np.array(y, np.int32)

    def notes(self):
        """Returns what was done to the images, as sentences."""
        notes = []
        if self.resized:
            height, width = self.size
            notes.append(
                f"resized: {self.resized:,} of {self.count:,} images to {height} x {width} pixels"
            )
        if self.without_alpha:
            notes.append(f"{self.without_alpha:,} images lost their transparency channel")
        return notes

    def _image(self, image):
        if image.dtype != np.uint8:
            raise InputError(
                f"Images should have 8 bits a channel; those of {self.builder.info.full_name} are "
                f"{image.dtype}. Choose another data set."
            )
        if image.shape[-1] == 4:
            image = image[..., :3]
            self.without_alpha += 1
        self.size = self.size or image.shape[:2]
        self.count += 1
        check_memory(self.count, self.size, image.shape[-1])
        self.resized += image.shape[:2] != tuple(self.size)
        return resize_array(image, self.size)

    def _text(self, text):
        return text.decode("utf-8", errors="replace")
