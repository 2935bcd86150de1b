"""Contrastive losses: a sample's positives must be nearer to it than all others."""

import keras
from keras import ops

# exp((s - 1) / T) with a cosine s is at least exp(-2 / T), which float32 holds down to here; so
# above it the largest possible similarity serves as the shift of log-sum-exp, and no pass over
# the matrix has to look for the largest one.
LOWEST_UNSHIFTED = 0.025


class _Contrastive(keras.losses.Loss):
    """What the contrastive losses share: temperature, float32, unit length, checks of shapes."""

    def __init__(self, temperature, *, reduction="sum_over_batch_size", name=None):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if not temperature > 0:
            raise ValueError(
                f"{type(self).__name__} expects a temperature above 0; received {temperature}. "
                "0.1 to 0.5 is usual."
            )
        self.temperature = float(temperature)

    def _unit(self, z):
        """Rows of length 1."""
        z = ops.cast(z, "float32")
        # The gradient of rsqrt at 0 is finite because of the constant: a dead encoder gives no NaN.
        return z * ops.rsqrt(ops.sum(ops.square(z), axis=-1, keepdims=True) + 1e-12)

    def _log_sum_exp(self, parts):
        """Log of sum of exp(s / T) over the columns of all `(s, axis)` parts, each `(N, M)`."""
        shift = 1.0 / self.temperature
        if self.temperature >= LOWEST_UNSHIFTED:
            total = sum(ops.sum(ops.exp(s - shift), axis=axis) for s, axis in parts)
            return shift + ops.log(total)
        sums = [ops.logsumexp(s, axis=axis) for s, axis in parts]
        return ops.logsumexp(ops.stack(sums), axis=0)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="kerasdnn")
class NTXent(_Contrastive):
    """Normalized temperature-scaled cross-entropy between two views of a batch, as in SimCLR.

    `l(i, j) = -log( exp(s_ij / T) / sum over k != i of exp(s_ik / T) )`

    s are the cosines between all 2 N embeddings, j is the other view of i. The value of a sample
    is the mean of both directions. Embeddings are brought to length 1 and everything is computed in
    float32. Only three `(N, N)` blocks of the similarities are made, since the matrix is symmetric.

    Args:
        temperature: float above 0. Default 0.5.
        reduction: as in `keras.losses.Loss`. Default `"sum_over_batch_size"`, the mean.
        name: str.

    Input shape: two views `(N, D)`, row i of the one belongs to row i of the other; N at least 2.
    Output shape: a scalar, or `(N,)` without reduction.

    Raises:
        ValueError: temperature not above 0, views of different shapes, or a batch of one.

    Example:
    >>> views = np.ones((4, 8))                        # all alike: log(2 N - 1)
    >>> round(float(NTXent(0.5)(views, views)), 4), round(float(np.log(7)), 4)
    (1.9459, 1.9459)

    References:
        Chen et al. (2020), A Simple Framework for Contrastive Learning, arXiv:2002.05709
    """

    def __init__(self, temperature=0.5, *, reduction="sum_over_batch_size", name="nt_xent"):
        super().__init__(temperature, reduction=reduction, name=name)

    def call(self, view_a, view_b):
        _check_pair("NTXent", "two views", view_a, view_b, least=2)
        # s / T comes out of the matrix product when both sides carry 1 / sqrt(T).
        scale = self.temperature**-0.5
        a, b = self._unit(view_a) * scale, self._unit(view_b) * scale  # (N, D)
        ab = ops.matmul(a, ops.transpose(b))  # (N, N): rows are a against b, columns b against a
        itself = _diagonal(ops.shape(a)[0])
        aa = ops.where(itself, -1e9, ops.matmul(a, ops.transpose(a)))
        bb = ops.where(itself, -1e9, ops.matmul(b, ops.transpose(b)))
        denominators = self._log_sum_exp([(ab, 1), (aa, 1)]) + self._log_sum_exp([(ab, 0), (bb, 1)])
        return 0.5 * denominators - ops.sum(a * b, axis=-1)  # (N,)


@keras.saving.register_keras_serializable(package="kerasdnn")
class InfoNCE(_Contrastive):
    """Cross-entropy of finding each query's key among the negatives, with or without a queue.

    `l(i) = -log( exp(q_i k_i / T) / (exp(q_i k_i / T) + sum over negatives n of exp(q_i n / T)) )`

    The negatives are the queue's entries, or without a queue the other keys of the batch. All are
    brought to length 1; everything is computed in float32. Gradients go to all arguments: stop
    them where they should not, as MoCo does for keys and queue.

    Args:
        temperature: float above 0. Default 0.07.
        reduction: as in `keras.losses.Loss`. Default `"sum_over_batch_size"`, the mean.
        name: str.

    Input shape: queries `(N, D)`, keys `(N, D)`, queue `(K, D)` or None.
    Output shape: a scalar, or `(N,)` without reduction.

    Raises:
        ValueError: temperature not above 0, or shapes that do not fit together.

    Example:
    >>> z = np.ones((4, 8))                            # all alike: log(1 + K)
    >>> round(float(InfoNCE(0.2)(z, z, np.ones((15, 8)))), 4), round(float(np.log(16)), 4)
    (2.7726, 2.7726)

    References:
        van den Oord et al. (2018), Contrastive Predictive Coding, arXiv:1807.03748
        He et al. (2020), Momentum Contrast, arXiv:1911.05722
    """

    def __init__(self, temperature=0.07, *, reduction="sum_over_batch_size", name="info_nce"):
        super().__init__(temperature, reduction=reduction, name=name)

    def __call__(self, queries, keys, queue=None, sample_weight=None):
        if queue is not None:
            if len(queue.shape) != 2 or queue.shape[-1] != queries.shape[-1]:
                raise ValueError(
                    f"InfoNCE expects a queue (K, {queries.shape[-1]}) for queries "
                    f"{tuple(queries.shape)}; received {tuple(queue.shape)}. Pass weights of "
                    "samples as sample_weight=."
                )
            keys = (keys, queue)
        return super().__call__(keys, queries, sample_weight)

    def call(self, keys, queries):
        keys, queue = keys if isinstance(keys, tuple | list) else (keys, None)
        _check_pair(
            "InfoNCE", "queries and keys", queries, keys, least=1 if queue is not None else 2
        )
        q, k = self._unit(queries) / self.temperature, self._unit(keys)  # (N, D)
        positive = ops.sum(q * k, axis=-1)  # (N,)
        if queue is None:
            scores = ops.matmul(q, ops.transpose(k))  # (N, N), the positives on the diagonal
            return self._log_sum_exp([(scores, 1)]) - positive
        scores = ops.matmul(q, ops.transpose(self._unit(queue)))  # (N, K)
        return self._log_sum_exp([(scores, 1), (positive[:, None], 1)]) - positive


@keras.saving.register_keras_serializable(package="kerasdnn")
class SupCon(_Contrastive):
    """Supervised contrastive loss: all embeddings of a sample's class are its positives.

    `l(i) = -1/|P(i)| sum over p in P(i) of log( exp(s_ip / T) / sum over a != i of exp(s_ia / T) )`

    s are cosines, P(i) the other embeddings with the label of i; the sum stands outside of the
    logarithm. Embeddings without any positive have no loss and do not count in the mean. With one
    sample a class and two views it equals `NTXent`. Computed in float32.

    Args:
        temperature: float above 0. Default 0.1.
        reduction: as in `keras.losses.Loss`. Default `"sum_over_batch_size"`: the mean over the
            embeddings that have positives.
        name: str.

    Input shape: labels `(N,)` of whole numbers, embeddings `(N, D)` or `(N, V, D)` of V views.
    Output shape: a scalar, or `(N,)` without reduction.

    Raises:
        ValueError: temperature not above 0, or shapes that do not fit together.

    Example:
    >>> z = np.ones((4, 8))                            # all alike: log(N - 1)
    >>> round(float(SupCon(0.1)(np.array([0, 0, 1, 1]), z)), 4), round(float(np.log(3)), 4)
    (1.0986, 1.0986)

    References:
        Khosla et al. (2020), Supervised Contrastive Learning, arXiv:2004.11362
    """

    def __init__(self, temperature=0.1, *, reduction="sum_over_batch_size", name="sup_con"):
        super().__init__(temperature, reduction=reduction, name=name)

    def call(self, labels, z):
        labels = ops.squeeze(labels, -1) if labels.shape[1:] == (1,) else labels
        views = z.shape[1] if len(z.shape) == 3 else 1
        if len(z.shape) not in (2, 3) or len(labels.shape) != 1 or _differ(labels, z, axes=1):
            raise ValueError(
                "SupCon expects labels (N,) and embeddings (N, D) or (N, V, D); received "
                f"{tuple(labels.shape)} and {tuple(z.shape)}. Put the views on the second axis."
            )
        n = ops.shape(z)[0]
        # View by view, so that row v N + i is view v of sample i.
        z = ops.concatenate([z[:, v] for v in range(views)]) if len(z.shape) == 3 else z
        labels = ops.tile(ops.cast(labels, "int32"), [views])  # (V N,)
        z = self._unit(z) * self.temperature**-0.5
        scores = ops.matmul(z, ops.transpose(z))  # (V N, V N), s / T
        itself = _diagonal(n * views)
        positive = ops.logical_and(labels[:, None] == labels[None, :], ops.logical_not(itself))
        positive = ops.cast(positive, "float32")
        count = ops.sum(positive, axis=1)
        denominator = self._log_sum_exp([(ops.where(itself, -1e9, scores), 1)])
        mean_score = ops.sum(positive * scores, axis=1) / ops.maximum(count, 1.0)
        has_positive = ops.cast(count > 0, "float32")
        each = (denominator - mean_score) * has_positive
        # Scaled so that the mean over all N is the mean over the embeddings with positives.
        share = ops.mean(has_positive)
        each = ops.where(share > 0, each / ops.maximum(share, 1e-9), each)
        return ops.mean(ops.reshape(each, (views, n)), axis=0)


def _diagonal(n):
    """A boolean matrix, a quarter of the memory of a float one."""
    index = ops.arange(n)
    return index[:, None] == index[None, :]


def _differ(a, b, axes):
    return any(
        x is not None and y is not None and x != y for x, y in zip(a.shape[:axes], b.shape[:axes])
    )


def _check_pair(name, what, a, b, least):
    shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
    if len(a.shape) != 2 or len(b.shape) != 2 or _differ(a, b, axes=2):
        raise ValueError(
            f"{name} expects {what} of the same shape (N, D); received {shapes}. Drop the last "
            "partial batch, and flatten what has more axes."
        )
    if a.shape[0] is not None and a.shape[0] < least:
        raise ValueError(
            f"{name} expects at least {least} samples, each a negative of the others; received "
            f"{shapes}. Use a larger batch."
        )
