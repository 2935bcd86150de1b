"""Batches of sequences of similar length: far less padding to compute."""

import keras
import numpy as np


class LengthBatches(keras.utils.PyDataset):
    """Batches in which all sequences have about the same length, cut to that length.

    A sample goes to the first bucket that holds it. What is left of a bucket after its full
    batches goes to the next longer one, and the last batch is filled up with samples that were
    there already: every sample is seen, and there are no more shapes than buckets. The order of
    samples and of batches is a function of `(seed, epoch)` alone. Give `shuffle=False` to `fit`.

    Args:
        x: array `(N, T)` or a tuple of such arrays, filled up with 0.
        y: array `(N, T)`, likewise, or one number a sample, `(N,)`.
        lengths: integers `(N,)`, the longest sequence of each sample.
        buckets: increasing integers; the last one holds the longest sample.
        batch_size: int.
        seed: int.

    Example:
    >>> x = np.tri(6, 6, dtype="int32")    # lengths 1 to 6
    >>> batches = LengthBatches(x, x, np.arange(1, 7), buckets=(3, 6), batch_size=3)
    >>> sorted(batches[i][0].shape for i in range(len(batches)))
    [(3, 3), (3, 6)]
    """

    def __init__(self, x, y, lengths, *, buckets, batch_size, seed=0, **kwargs):
        super().__init__(**kwargs)
        if len(lengths) == 0 or max(lengths) > buckets[-1] or list(buckets) != sorted(buckets):
            raise ValueError(
                "LengthBatches expects increasing buckets, the last at least as long as the "
                f"longest sample; received {tuple(buckets)} for lengths up to "
                f"{max(lengths, default=0)}. Leave out the longer ones, or add a bucket."
            )
        self.x, self.y, self.buckets = x, y, tuple(buckets)
        self.bucket_of = np.searchsorted(buckets, np.asarray(lengths))
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self._arrange()

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        length, rows = self.batches[index]
        return keras.tree.map_structure(
            lambda array: array[rows, :length] if array.ndim > 1 else array[rows], (self.x, self.y)
        )

    def begin(self, epoch):
        """Arranges the batches of `epoch`, as a training that goes on in the middle needs it."""
        self.epoch = epoch
        self._arrange()

    def on_epoch_end(self):
        self.begin(self.epoch + 1)

    def _arrange(self):
        """Divides the samples of this epoch into batches."""
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(len(self.bucket_of))
        batches, left = [], order[:0]
        for number, length in enumerate(self.buckets):
            rows = np.concatenate([left, order[self.bucket_of[order] == number]])
            full = len(rows) // self.batch_size * self.batch_size
            batches += [(length, part) for part in rows[:full].reshape(-1, self.batch_size)]
            left = rows[full:]
        if len(left):
            batches.append(
                (self.buckets[-1], np.resize(np.concatenate([left, order]), self.batch_size))
            )
        self.batches = [batches[i] for i in random.permutation(len(batches))]
        # TensorFlow takes the shapes to come from the first two batches: these must differ.
        for i, (length, _) in enumerate(self.batches):
            if length != self.batches[0][0]:
                self.batches[1], self.batches[i] = self.batches[i], self.batches[1]
                break
