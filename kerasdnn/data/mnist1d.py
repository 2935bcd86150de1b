"""MNIST-1D: ten digits as noisy signals of 40 points, made by the package of that name."""

import random

from kerasdnn.data.base import Dataset
from kerasdnn.data.cache import digest_of_arrays
from kerasdnn.errors import InputError

import numpy as np

SHA256 = "7b16edf9250ad1179c51b32a02e6ba49d4f06b7f19f78197d7d602c331ef1338"


def load():
    """Makes the 4,000 training and 1,000 test signals of the paper (Greydanus 2020, seed 42).

    Raises:
        InputError: if the package made other signals than these.
    """
    from mnist1d.data import get_dataset_args, make_dataset

    # The package seeds the global generators; a caller's own random numbers must not change.
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        made = make_dataset(get_dataset_args())
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
    parts = made["x"], made["y"], made["x_test"], made["y_test"]
    if digest_of_arrays(*map(_coarse, parts)) != SHA256:
        raise InputError(
            "mnist1d should make the signals of seed 42 with its default arguments; their "
            "checksum differs. Install mnist1d 0.0.2.post1."
        )
    x_train, y_train, x_test, y_test = parts
    return Dataset(
        x_train.astype(np.float32)[..., None],  # (N, 40, 1)
        y_train.astype(np.int32),
        x_test.astype(np.float32)[..., None],
        y_test.astype(np.int32),
        class_names=tuple("0123456789"),
        source="made by the package mnist1d, seed 42",
        license="Apache-2.0",
        name="mnist1d",
        task="signal",
    )


def _coarse(values):
    # Thousandths: the last bits may differ from one processor to the next.
    return np.round(np.asarray(values) * 1000).astype(np.int32)
