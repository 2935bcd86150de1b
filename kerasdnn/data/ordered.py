"""Batches whose order is a function of the seed and the epoch, and of nothing else."""

import math
import zlib

from kerasdnn.errors import InputError

import keras
import numpy as np

_CHECKED = 2**30  # bytes of an array that its checksum looks at; of more, every n-th row


def order(samples, seed, epoch):
    """Returns the order of `samples` samples in an epoch, an int64 array.

    Example:
    >>> bool((order(5, seed=1, epoch=2) == order(5, seed=1, epoch=2)).all())
    True
    """
    return np.random.default_rng([seed, epoch]).permutation(samples)


class Ordered(keras.utils.PyDataset):
    """Arrays as batches in an order that is a function of (seed, epoch).

    Keras' own shuffles draw from generators that the whole program shares, so that no later run
    can begin in the middle of an epoch. Here `begin(epoch)` fixes the order of an epoch and
    `rest(start)` gives what is left of it. `kerasdnn.saving.exact_fit` uses it by itself; in
    `fit(Ordered(...))` give `shuffle=False`, else Keras shuffles the batches once more.

    Args:
        x: array `(N, ...)` or nested arrays, the inputs.
        y: array `(N, ...)`, nested arrays or None, the targets.
        sample_weight: array `(N,)`, nested arrays or None.
        batch_size: int. Defaults to 32.
        seed: int. Defaults to 0.
        shuffle: bool, False for the order of the arrays in every epoch. Defaults to True.

    Raises:
        InputError: the arrays are empty or differ in length.

    Example:
    >>> data = Ordered(np.arange(6), np.arange(6), batch_size=4, seed=1)
    >>> data.begin(epoch=3)
    >>> len(data), data[0][0].shape, data.rest(1)[0][0].shape
    (2, (4,), (2,))
    """

    def __init__(self, x, y=None, sample_weight=None, *, batch_size=32, seed=0, shuffle=True):
        super().__init__()
        parts = (x,) if y is None else (x, y) if sample_weight is None else (x, y, sample_weight)
        self.parts = keras.tree.map_structure(_array, parts)
        self.batch_size, self.seed, self.shuffle = int(batch_size), int(seed), shuffle
        lengths = {len(a) if a.ndim else 0 for a in keras.tree.flatten(self.parts)}
        if len(lengths) != 1 or 0 in lengths or self.batch_size < 1:
            raise InputError(
                "Expected arrays of one length above 0 and a batch_size above 0; received lengths "
                f"{sorted(lengths)} and batch_size {batch_size}. Give every sample its target."
            )
        self.samples = lengths.pop()
        self.steps = math.ceil(self.samples / self.batch_size)
        self.begin(0)

    def begin(self, epoch):
        """Puts the samples in the order of `epoch`."""
        if self.shuffle:
            self.order = order(self.samples, self.seed, epoch)
        else:
            self.order = np.arange(self.samples)

    def rest(self, start):
        """Returns the data without the first `start` batches of every epoch."""
        return _Rest(self, start) if start else self

    def facts(self):
        """Returns what must be the same for a resumed training: sizes, batches and content."""
        arrays = keras.tree.flatten(self.parts)
        return {
            "arrays": [[list(a.shape), str(a.dtype)] for a in arrays],
            "content": checksum(arrays),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "shuffle": bool(self.shuffle),
        }

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        indices = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return keras.tree.map_structure(lambda a: a[indices], self.parts)


def _array(value):
    """Returns an array as Keras would train on it: float64 becomes Keras' own float type."""
    array = keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else np.asarray(value)
    is_float = array.dtype.kind == "f" and array.dtype.name != keras.config.floatx()
    return array.astype(keras.config.floatx()) if is_float else array


class OrderedBatches(keras.utils.PyDataset):
    """The batches of a `PyDataset` in an order that is a function of (seed, epoch).

    Batch `i` must be the same whenever it is asked for. A data set that shuffles or augments by
    itself takes the epoch through a method `begin(epoch)` of its own, and draws its random numbers
    from a generator that is seeded with the epoch (and the batch).

    Args:
        data: `keras.utils.PyDataset` of known length; its workers are used.
        seed: int. Defaults to 0.
        shuffle: bool, False for the order of the data set in every epoch. Defaults to True.
    """

    def __init__(self, data, *, seed=0, shuffle=True):
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        if data.num_batches is None:
            raise InputError(
                "An exact resume needs a data set with an end; this PyDataset has no num_batches. "
                "Give it a length."
            )
        self.data, self.seed, self.shuffle = data, int(seed), shuffle
        self.steps = data.num_batches
        self.error = None
        self.begin(0)

    def begin(self, epoch):
        """Puts the batches in the order of `epoch`."""
        if hasattr(self.data, "begin"):
            self.data.begin(epoch)
        self.order = order(self.steps, self.seed, epoch) if self.shuffle else np.arange(self.steps)

    def rest(self, start):
        """Returns the data without the first `start` batches of every epoch."""
        return _Rest(self, start) if start else self

    def facts(self):
        """Returns what must be the same for a resumed training; of the content the first batch."""
        self.begin(0)
        arrays = [np.asarray(a) for a in keras.tree.flatten(self.data[0]) if a is not None]
        return {
            "batches": self.steps,
            "content": checksum(arrays),
            "seed": self.seed,
            "shuffle": bool(self.shuffle),
        }

    def on_epoch_begin(self):
        self.data.on_epoch_begin()

    def on_epoch_end(self):
        if not hasattr(self.data, "begin"):  # which knows the epoch, whatever came before
            self.data.on_epoch_end()

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        try:
            return self.data[int(self.order[index])]
        except Exception as error:
            self.error = error  # TensorFlow tells only that some Python function failed
            raise


class _Rest(keras.utils.PyDataset):
    """What is left of an epoch from a batch on."""

    def __init__(self, data, start):
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self.data, self.start = data, start

    def __len__(self):
        return len(self.data) - self.start

    def __getitem__(self, index):
        return self.data[index + self.start]


def checksum(arrays):
    """Returns a checksum of arrays, to see by accident changed data; of huge ones, of some rows."""
    total = 0
    for array in arrays:
        total = zlib.crc32(f"{array.shape}{array.dtype}".encode(), total)
        array = array[:: max(1, math.ceil(array.nbytes / _CHECKED))]
        if array.dtype.hasobject:
            total = zlib.crc32("\0".join(map(str, array.ravel())).encode(), total)
        else:
            total = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8), total)
    return f"{total:08x}"
