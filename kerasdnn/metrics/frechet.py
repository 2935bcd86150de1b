"""Distances between two sets of features: how far generated samples are from real ones."""

import keras
import numpy as np
from keras import ops

_PART = 500  # rows of one block of the kernel matrix


class _FeatureDistance(keras.metrics.Metric):
    """Two sets of features, checked, given at once or in parts."""

    def __init__(self, features, *, name, dtype=None):
        super().__init__(name=name, dtype=dtype)
        if features is not None and (not isinstance(features, int) or features < 1):
            raise ValueError(
                f"{type(self).__name__} expects features to be the width D of the feature vectors; "
                f"received {features!r}. It is the last number of their shape (N, D)."
            )
        self.features = features
        self.reset_state()

    def _checked(self, what, values):
        values = np.asarray(ops.convert_to_numpy(values))
        if self.features is None and values.ndim == 2:
            self.features = values.shape[1]
        if values.ndim != 2 or values.shape[1] != self.features or not len(values):
            width = self.features or "D"
            raise ValueError(
                f"{type(self).__name__} expects {what} features (N, {width}); received "
                f"{values.shape}. Average feature maps over their places first."
            )
        values = values.astype("float64")
        if not np.isfinite(values).all():
            raise ValueError(
                f"{type(self).__name__} expects finite {what} features; received NaN or infinity. "
                "Look at the generator's output."
            )
        return values

    def get_config(self):
        return {**super().get_config(), "features": self.features}


@keras.saving.register_keras_serializable(package="kerasdnn")
class FrechetDistance(_FeatureDistance):
    """Squared Frechet distance between two sets of features, each taken for a normal distribution.

    `|m - m'|^2 + trace(S + S' - 2 (S S')^(1/2))`, with means m and covariances S. With features of
    an Inception network this is the FID; with those of another network the numbers have another
    scale, so print a calibration beside them: real against real, against blurred, and the like.
    Both sets should have many more samples than features; few samples bias it upwards.

    It works outside of compiled steps, on NumPy in float64: `update_state(real, generated)` once or
    in parts, then `result()`.

    Args:
        features: int, the width D of the feature vectors. Default None: that of the first update.
        name: str.

    Raises:
        ValueError: features of another shape, or not finite; in `result`: fewer than 2 samples.

    Example:
    >>> random = np.random.default_rng(0)
    >>> metric = FrechetDistance()
    >>> metric.update_state(random.normal(size=(9000, 2)), random.normal(size=(9000, 2)) + [3, 0])
    >>> abs(float(metric.result()) - 9.0) < 0.3        # |m - m'|^2
    True

    References:
        Heusel et al. (2017), GANs Trained by a Two Time-Scale Update Rule, arXiv:1706.08500
    """

    def __init__(self, features=None, *, name="frechet_distance", dtype=None):
        super().__init__(features, name=name, dtype=dtype)

    def update_state(self, real, generated, sample_weight=None):
        for what, values in (("real", real), ("generated", generated)):
            values = self._checked(what, values)
            count, total, products = self._sums.get(what, (0, 0.0, 0.0))
            self._sums[what] = (
                count + len(values),
                total + values.sum(0),
                products + values.T @ values,
            )

    def result(self):
        parts = [self._moments(what) for what in ("real", "generated")]
        (mean, covariance), (other_mean, other_covariance) = parts
        # The eigenvalues of S S' are those of A S' A with A = S^(1/2), which is symmetric.
        values, vectors = np.linalg.eigh(covariance)
        root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
        middle = np.linalg.eigvalsh(root @ other_covariance @ root)
        trace = np.trace(covariance) + np.trace(other_covariance)
        trace -= 2 * np.sqrt(np.maximum(middle, 0)).sum()
        return float(np.sum((mean - other_mean) ** 2) + trace)

    def _moments(self, what):
        count, total, products = self._sums.get(what, (0, 0.0, 0.0))
        if count < 2:
            raise ValueError(
                f"FrechetDistance expects at least 2 {what} samples before result(); received "
                f"{count}. Call update_state(real, generated) first."
            )
        mean = total / count
        return mean, (products - count * np.outer(mean, mean)) / (count - 1)

    def reset_state(self):
        self._sums = {}


@keras.saving.register_keras_serializable(package="kerasdnn")
class KernelDistance(_FeatureDistance):
    """Squared maximum mean discrepancy between two sets of features, unbiased, cubic kernel.

    `mean k(x, x') + mean k(y, y') - 2 mean k(x, y)` with `k(x, y) = (x y / D + 1)^3`, the means of
    the first two without pairs of a sample with itself. Unlike the Frechet distance it needs no
    normal distributions and its expectation does not depend on the number of samples: it is 0 for
    two sets of one distribution, where values below 0 occur. Known as KID with Inception features.

    It works outside of compiled steps, on NumPy in float64, and keeps the features until
    `reset_state()`.

    Args:
        features: int, the width D of the feature vectors. Default None: that of the first update.
        name: str.

    Raises:
        ValueError: features of another shape, or not finite; in `result`: fewer than 2 samples.

    Example:
    >>> random = np.random.default_rng(0)
    >>> metric = KernelDistance()
    >>> metric.update_state(random.normal(size=(500, 4)), random.normal(size=(400, 4)))
    >>> abs(float(metric.result())) < 0.05
    True

    References:
        Binkowski et al. (2018), Demystifying MMD GANs, arXiv:1801.01401
    """

    def __init__(self, features=None, *, name="kernel_distance", dtype=None):
        super().__init__(features, name=name, dtype=dtype)

    def update_state(self, real, generated, sample_weight=None):
        for what, values in (("real", real), ("generated", generated)):
            self._kept[what].append(self._checked(what, values))

    def result(self):
        sets = []
        for what, parts in self._kept.items():
            count = sum(map(len, parts))
            if count < 2:
                raise ValueError(
                    f"KernelDistance expects at least 2 {what} samples before result(); received "
                    f"{count}. Call update_state(real, generated) first."
                )
            sets.append(np.concatenate(parts))
        x, y = sets
        within = sum(self._mean(z, z, itself=False) for z in (x, y))
        return float(within - 2 * self._mean(x, y, itself=True))

    def _mean(self, x, y, itself):
        total = 0.0
        for start in range(0, len(x), _PART):
            total += ((x[start : start + _PART] @ y.T / self.features + 1) ** 3).sum()
        if itself:
            return total / (len(x) * len(y))
        total -= ((np.sum(x * x, axis=1) / self.features + 1) ** 3).sum()
        return total / (len(x) * (len(x) - 1))

    def reset_state(self):
        self._kept = {"real": [], "generated": []}
