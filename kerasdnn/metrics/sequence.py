"""Error rates of predicted sequences of symbols, such as pronunciations."""

import keras
import numpy as np
from keras import ops


def edit_distance(reference, prediction, pad_id=0):
    """Counts the symbols to insert, delete or exchange to turn one sequence into the other.

    Args:
        reference: integers `(B, T)`; a sequence ends at its first `pad_id`.
        prediction: integers `(B, S)`, likewise.
        pad_id: int, what fills a sequence up.

    Returns:
        Two int32 tensors `(B,)`: the Levenshtein distance, and the length of the reference.
    """
    reference = ops.cast(reference, "int32")
    prediction = ops.cast(prediction, "int32")
    rows, columns = reference.shape[1], prediction.shape[1]
    lengths = _lengths(reference, pad_id)  # (B,)
    last = _lengths(prediction, pad_id)[:, None]  # (B, 1)
    offsets = ops.arange(columns + 1, dtype="int32")[None]  # (1, S + 1)
    row = ops.zeros_like(lengths)[:, None] + offsets  # distance of no symbol to the first j
    # One row a reference symbol; rows past the end of the reference change nothing.
    for i in range(rows):
        differs = ops.cast(ops.not_equal(reference[:, i : i + 1], prediction), "int32")
        diagonal = row[:, :-1] + differs
        change = ops.minimum(diagonal, row[:, 1:] + 1)
        change = ops.concatenate([row[:, :1] + 1, change], axis=1)
        # Insertions: d[j] = min over k <= j of change[k] + (j - k). The S x S table of it is
        # small, and unlike a running minimum it exists on every backend.
        steps = offsets[:, :, None] - offsets[:, None, :]  # (1, j, k)
        steps = ops.where(steps >= 0, steps, rows + columns + 1)
        new = ops.min(change[:, None, :] + steps, axis=2)
        row = ops.where((lengths > i)[:, None], new, row)
    distance = ops.take_along_axis(row, last, axis=1)[:, 0]
    return distance, lengths


def nearest(reference, prediction, group):
    """Picks of several right answers the one that is nearest to what was predicted.

    Args:
        reference: integers `(N, T)`, all the right answers.
        prediction: integers `(N, S)`, the prediction repeated for each of its right answers.
        group: integers `(N,)`, which rows belong to one prediction.

    Returns:
        NumPy integers, one row number for each group, in the order of the groups.

    Example:
    >>> nearest(np.array([[7, 8], [7, 9]]), np.array([[7, 9], [7, 9]]), [0, 0]).tolist()
    [1]
    """
    distance = ops.convert_to_numpy(edit_distance(reference, prediction)[0])
    order = np.lexsort((distance, group))
    first = np.unique(np.asarray(group)[order], return_index=True)[1]
    return order[first]


def _lengths(sequences, pad_id):
    real = ops.cast(ops.not_equal(sequences, pad_id), "int32")
    return ops.sum(ops.cumprod(real, axis=1), axis=1)


class _SequenceMetric(keras.metrics.Metric):
    """Errors over a count, both summed over all batches."""

    def __init__(self, pad_id=0, *, name, dtype=None, **kwargs):
        super().__init__(name=name, dtype=dtype, **kwargs)
        if not isinstance(pad_id, int):
            raise ValueError(
                f"{type(self).__name__} expects pad_id to be an integer; received {pad_id!r}. "
                "Give the number that fills sequences up."
            )
        self.pad_id = pad_id
        # Whole numbers in float32 are exact up to 2 ** 24, which half precision is not.
        self.errors = self.add_variable((), "zeros", dtype="float32", name="errors")
        self.count = self.add_variable((), "zeros", dtype="float32", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        shapes = tuple(y_true.shape), tuple(y_pred.shape)
        if len(shapes[0]) != 2 or len(shapes[1]) != 2 or not all(s[1] for s in shapes):
            raise ValueError(
                f"{type(self).__name__} expects integer ids (B, T) of a known length; received "
                f"{shapes[0]} and {shapes[1]}. Take the argmax of logits first."
            )
        errors, count = self._score(*edit_distance(y_true, y_pred, self.pad_id))
        if sample_weight is not None:
            weight = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
            errors, count = errors * weight, count * weight
        self.errors.assign_add(ops.sum(errors))
        self.count.assign_add(ops.sum(count))

    def result(self):
        return ops.divide_no_nan(self.errors, self.count)

    def get_config(self):
        return {**super().get_config(), "pad_id": self.pad_id}


@keras.saving.register_keras_serializable(package="kerasdnn")
class PhonemeErrorRate(_SequenceMetric):
    """Edit distance of predicted to right sequences, over the length of the right ones.

    `sum(insertions + deletions + substitutions) / sum(reference symbols)`, over all samples seen:
    long words count more than short ones, as in the published rates. It may exceed 1.

    Args:
        pad_id: int, what fills sequences up; a sequence ends at its first `pad_id`. Default 0.
        name: str.
        dtype: as in every metric.

    Input shape: `y_true (B, T)` and `y_pred (B, S)`, integers.

    Raises:
        ValueError: inputs of another rank, or of unknown length.

    Example:
    >>> rate = PhonemeErrorRate()
    >>> rate.update_state([[7, 8, 9, 0]], [[7, 9, 0, 0]])    # 8 is missing
    >>> round(float(rate.result()), 4)
    0.3333

    References:
        Levenshtein (1966), Binary Codes Capable of Correcting Deletions, Insertions, and Reversals
    """

    def __init__(self, pad_id=0, *, name="phoneme_error_rate", dtype=None, **kwargs):
        super().__init__(pad_id, name=name, dtype=dtype, **kwargs)

    def _score(self, distance, length):
        return ops.cast(distance, "float32"), ops.cast(length, "float32")


@keras.saving.register_keras_serializable(package="kerasdnn")
class WordErrorRate(_SequenceMetric):
    """The share of sequences with any error in them.

    As it is meant in grapheme-to-phoneme conversion, where a sequence is one word: its
    pronunciation is right as a whole or wrong.

    Args:
        pad_id: int, what fills sequences up; a sequence ends at its first `pad_id`. Default 0.
        name: str.
        dtype: as in every metric.

    Input shape: `y_true (B, T)` and `y_pred (B, S)`, integers.

    Raises:
        ValueError: inputs of another rank, or of unknown length.

    Example:
    >>> rate = WordErrorRate()
    >>> rate.update_state([[7, 8, 0], [7, 9, 0]], [[7, 8, 0], [7, 8, 0]])
    >>> float(rate.result())
    0.5

    References:
        Yolchuyeva et al. (2019), Transformer Based Grapheme-to-Phoneme Conversion, arXiv:2004.06338
    """

    def __init__(self, pad_id=0, *, name="word_error_rate", dtype=None, **kwargs):
        super().__init__(pad_id, name=name, dtype=dtype, **kwargs)

    def _score(self, distance, length):
        wrong = ops.cast(distance > 0, "float32")
        return wrong, ops.ones_like(wrong)
