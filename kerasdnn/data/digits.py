"""Handwritten digits of 8 by 8 pixels, from scikit-learn."""

from kerasdnn.data.base import Dataset
from kerasdnn.data.cache import digest_of_arrays
from kerasdnn.data.splits import train_test_indices
from kerasdnn.errors import InputError

import numpy as np

SHA256 = "2044c98425131f33c395d5dd1021045af31a7d5b131e30bee8a277cbb4c5c3e3"


def load():
    """Loads 1,438 training and 359 test images; grey values 0 to 16 are scaled to 0 to 255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]  # (N, 8, 8, 1)
    labels = bunch.target.astype(np.int32)
    train, test = train_test_indices(labels, 0.2, seed=0, what=str)
    parts = images[train], labels[train], images[test], labels[test]
    if digest_of_arrays(*parts) != SHA256:
        raise InputError(
            "digits should be the 1,797 images that scikit-learn carries; their checksum differs. "
            "Install scikit-learn again."
        )
    return Dataset(
        *parts,
        class_names=tuple("0123456789"),
        source="scikit-learn",
        license="CC BY 4.0 (UCI Optical Recognition of Handwritten Digits)",
        name="digits",
        task="image",
    )
