"""Colour patches of the three photographs that scikit-learn and Matplotlib carry."""

from pathlib import Path

from kerasdnn.data.base import Dataset
from kerasdnn.errors import InputError

import numpy as np

PATCH, STEP = 32, 8  # pixels: the side of a patch, and from one patch to the next
BLOCK = 64  # pixels; a block goes to one part only, so no test pixel is ever trained on
SHAPES = {"china": (427, 640), "flower": (427, 640), "portrait": (600, 512)}
QUARTERS = ("top left", "top right", "bottom left", "bottom right")


def load():
    """Loads patches of 32 by 32 pixels; the class is the photograph and the quarter they are from.

    Raises:
        InputError: if a photograph is not where its package should have it.
    """
    parts = {"train": ([], []), "test": ([], [])}
    for number, (name, shape) in enumerate(SHAPES.items()):
        pixels = _photograph(name, shape)
        rows, columns = (side // BLOCK for side in shape)
        for i in range(rows):
            for j in range(columns):
                block = pixels[i * BLOCK : (i + 1) * BLOCK, j * BLOCK : (j + 1) * BLOCK]
                label = 4 * number + 2 * (i >= rows / 2) + (j >= columns / 2)
                images, labels = parts["test" if (i + 2 * j) % 4 == 0 else "train"]
                starts = range(0, BLOCK - PATCH + 1, STEP)
                images += [block[a : a + PATCH, b : b + PATCH] for a in starts for b in starts]
                labels += [label] * len(starts) ** 2
    arrays = []
    for images, labels in parts.values():
        order = np.random.default_rng(0).permutation(len(labels))
        arrays += [np.stack(images)[order], np.array(labels, np.int32)[order]]
    return Dataset(
        *arrays,
        class_names=tuple(f"{name} {quarter}" for name in SHAPES for quarter in QUARTERS),
        source="three photographs of scikit-learn and Matplotlib",
        license="CC BY 2.0 (china, flower), public domain (portrait)",
        name="photographs",
        task="image",
        notes=("patches of 32 x 32 pixels that overlap; no pixel is in both parts",),
    )


def _photograph(name, shape):
    """Returns the pixels of a photograph, uint8 (H, W, 3)."""
    from PIL import Image

    if name == "portrait":
        import matplotlib

        path = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")
    else:
        import sklearn.datasets

        path = Path(sklearn.datasets.__file__).parent / "images" / f"{name}.jpg"
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise InputError(
            f"A photograph should stand at {path}; it cannot be read ({error}). Install "
            "scikit-learn and matplotlib again."
        ) from error
    if pixels.shape[:2] != shape:
        raise InputError(
            f"{path} should have {shape[0]} by {shape[1]} pixels; it has {pixels.shape[:2]}. "
            "Install scikit-learn and matplotlib again."
        )
    return pixels
