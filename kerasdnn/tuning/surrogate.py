"""What a search expects of the points it has not tried: a Gaussian process without a fit.

A fit of the length scales to a handful of scores believes too much in what it finds. Here many are
drawn, and each counts as much as it explains the scores. Of the scores only their order counts, so
a configuration that fails badly is no worse than bad, and no unit has to be chosen.
"""

import math

import numpy as np
from scipy import special, stats

DRAWS = 32  # sets of length scales and noise, half of them around the best of the last proposal
# Logarithms of the length scales, whose coordinates lie in [0, 1]: they have a part in common, and
# a part of each parameter's own, by which some matter more.
LENGTH, COMMON, OWN = math.log(0.7), 0.5, 0.8
NOISE = np.log([1e-2, 3e-1])  # variance of the noise, that of the scores being 1
NEAR = 0.3  # how far around the best
LEVEL = 1.0  # variance of the mean of all points
SHAPE = 2.0  # of the inverse gamma distribution of the variance, and its scale


def normal_scores(values):
    """Returns the order of the values as numbers of a normal distribution: mean 0, variance 1."""
    ranks = stats.rankdata(values)
    scores = special.ndtri((ranks - 0.5) / len(ranks))
    scores = scores - scores.mean()
    return scores / max(scores.std(), 1e-9)


def expected_improvement(tried, values, pool, groups, random, *, waiting=(), best=None):
    """Returns how much less than the least value each point of the pool is expected to have.

    Args:
        tried: array `(N, K)`, the coordinates of the points that were tried.
        values: array `(N,)`, what they have; the less the better.
        pool: array `(M, K)`.
        groups: list of K ints, the parameter that each coordinate belongs to.
        random: `numpy.random.Generator`.
        waiting: array of the points whose values are not known yet; they count as if they had what
            is expected of them, so that others look elsewhere.
        best: what the last proposal found best of its draws, or None.

    Returns:
        `(M,)` array, and the best of the draws, a list of floats.
    """
    scores = normal_scores(np.asarray(values, float))
    draws, correction = _draws(max(groups) + 1, random, best)
    if len(waiting):
        expected = _Posterior(tried, scores, groups, draws, correction).predict(waiting)
        tried = np.concatenate([tried, waiting])
        scores = np.concatenate([scores, expected])
    posterior = _Posterior(tried, scores, groups, draws, correction)
    mean, deviation = posterior.of_each(pool)
    gain = scores.min() - mean
    z = gain / deviation
    # EI = (best - mean) cdf(z) + deviation pdf(z)
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    improvement = gain * special.ndtr(z) + deviation * density
    return posterior.weights @ improvement, draws[int(np.argmax(posterior.weights))].tolist()


def _draws(parameters, random, best):
    """Returns `(DRAWS, parameters + 1)` logarithms, and what makes up for how they were drawn."""
    lengths = COMMON * random.standard_normal((DRAWS, 1))
    lengths = LENGTH + lengths + OWN * random.standard_normal((DRAWS, parameters))
    noise = random.uniform(*NOISE, (DRAWS, 1))
    draws = np.concatenate([lengths, noise], axis=1)
    if best is None or len(best) != parameters + 1:
        return draws, np.zeros(DRAWS)
    half = DRAWS // 2
    draws[:half] = best + NEAR * random.standard_normal((half, parameters + 1))
    draws[:, -1] = np.clip(draws[:, -1], *NOISE)
    # Importance sampling from a mixture: log of prior over (prior + near the best) / 2.
    covariance = OWN**2 * np.eye(parameters) + COMMON**2
    prior = stats.multivariate_normal.logpdf(
        draws[:, :-1], np.full(parameters, LENGTH), covariance
    ) - math.log(NOISE[1] - NOISE[0])
    near = stats.norm.logpdf(draws, best, NEAR).sum(1)
    return draws, prior + math.log(2) - np.logaddexp(prior, near)


class _Posterior:
    """Gaussian processes with the same data, one a draw, and how much each of them counts."""

    def __init__(self, tried, scores, groups, draws, correction):
        self.tried, self.groups = tried, groups
        self.inverse_squares = np.exp(-2 * draws[:, :-1])
        covariance = self._kernel(tried)
        covariance = covariance + np.exp(draws[:, -1])[:, None, None] * np.eye(len(tried))
        self.inverse = np.linalg.inv(covariance)  # (DRAWS, N, N)
        ones = self.inverse.sum(-1)
        self.level = ones @ scores / (ones.sum(-1) + 1 / LEVEL)
        rest = scores - self.level[:, None]
        self.solved = np.einsum("dij,dj->di", self.inverse, rest)
        scale, shape = SHAPE + np.sum(rest * self.solved, -1) / 2, SHAPE + len(scores) / 2
        self.variance = scale / shape
        # The variance is integrated out: a Student's t distribution of the scores.
        likelihood = -0.5 * np.linalg.slogdet(covariance)[1] - shape * np.log(scale)
        self.weights = special.softmax(likelihood + correction)

    def _kernel(self, points):
        """Returns Matern 5/2 between points and what was tried, `(DRAWS, points, N)`."""
        squares = np.zeros((max(self.groups) + 1, len(points), len(self.tried)))
        for column, group in enumerate(self.groups):
            squares[group] += np.subtract.outer(points[:, column], self.tried[:, column]) ** 2
        apart = np.sqrt(5 * np.tensordot(self.inverse_squares, squares, 1))
        return (1 + apart + apart * apart / 3) * np.exp(-apart)

    def of_each(self, points):
        """Returns means and standard deviations, `(DRAWS, points)`."""
        kernel = self._kernel(np.asarray(points))
        mean = self.level[:, None] + np.einsum("dpn,dn->dp", kernel, self.solved)
        known = np.sum((kernel @ self.inverse) * kernel, -1)
        return mean, np.sqrt(np.maximum(1 - known, 1e-9) * self.variance[:, None])

    def predict(self, points):
        """Returns the mean of each point over all draws."""
        return self.weights @ self.of_each(points)[0]
