"""What every data set looks like once it is loaded."""

from dataclasses import dataclass
from typing import Any

# What one sample of a task is called, in sentences about counts.
ITEMS = {
    "image": "images",
    "text": "texts",
    "signal": "signals",
    "numbers": "rows",
    "pairs": "words",
}


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory, divided into a training and a test part.

    The arrays by task:
    - `"image"`: uint8 `(N, H, W, C)` with C of 1 or 3; labels int32 `(N,)`.
    - `"text"`: object array `(N,)` of `str`; labels int32 `(N,)`.
    - `"signal"`: float32 `(N, T, C)`; labels int32 `(N,)`.
    - `"numbers"`: float32 `(N, F)`, NaN where a value is missing; labels int32 `(N,)`.
    - `"pairs"`: object array `(N,)` of `str`, and an object array `(N,)` with one tuple for each of
      them that holds all its right answers.

    Args:
        x_train, y_train: the training part.
        x_test, y_test: the test part, which nothing may be chosen by.
        class_names: tuple of `str`, the name of label 0, 1, ...; empty for `"pairs"`.
        source: where the data came from on this machine.
        license: the licence of the data.
        name: the name they are known by; `fashion_mnist_bundled` where `fashion_mnist` was asked
            for and only the bundled part could be had.
        task: `"image"`, `"text"`, `"signal"`, `"numbers"` or `"pairs"`.
        notes: sentences to print: what is a subset, what was left out, what was resized.

    Example:
    >>> from kerasdnn.data import load
    >>> data = load("digits")
    >>> data.x_train.shape, data.y_train.dtype.name, len(data.class_names)
    ((1438, 8, 8, 1), 'int32', 10)
    """

    x_train: Any
    y_train: Any
    x_test: Any
    y_test: Any
    class_names: tuple[str, ...]
    source: str
    license: str
    name: str
    task: str
    notes: tuple[str, ...] = ()
