"""Which channels to remove: families of channels, their rank, and how many stay."""

import math

from kerasdnn import backend

import numpy as np
from keras import ops


class Choice:
    """The units that are removed.

    Attributes:
        removed: set of roots of units.
    """

    def __init__(self, trace):
        self.trace, self.removed = trace, set()

    def keep(self, ids):
        """Returns the positions of `ids` that stay."""
        roots = self.trace.units.roots(ids)
        return np.array([i for i, r in enumerate(roots) if r not in self.removed], "int64")

    def kept(self, ids):
        """Returns how many of `ids` stay."""
        return len(self.keep(ids))


def families(trace):
    """Returns lists of `(root, producers)` lists: units made by the same producers, in order."""
    makers = {}
    for number, producer in enumerate(trace.producers):
        for root in dict.fromkeys(trace.units.roots(producer.ids).tolist()):
            makers.setdefault(root, []).append(number)
    groups = {}
    for root, numbers in makers.items():
        if root not in trace.units.reason:
            groups.setdefault(tuple(numbers), []).append(root)
    return [([trace.producers[n] for n in numbers], roots) for numbers, roots in groups.items()]


def choose(trace, ratio, round_to, scores):
    """Returns the `Choice` that removes about `ratio` of each family, the lowest scores first.

    Args:
        trace: `Trace` of the model.
        ratio: float in (0, 1), share of the channels to remove.
        round_to: int, of which the number of channels that stay is a multiple.
        scores: dict from producer to array, a number for each of its channels.
    """
    choice = Choice(trace)
    found = families(trace)
    # The widths that follow others are known once those are decided.
    for members, roots in sorted(found, key=lambda f: any(p.follows for p in f[0])):
        follower = next((p for p in members if p.follows), None)
        if follower is not None:
            stay = min(follower.follows(choice.kept), len(roots))
        else:
            each = max(len(p.ids) for p in members) // len(roots)  # channels of one unit
            steps = [p.step for p in members if p.step]
            stay = _width(len(roots), ratio, max(1, each), min(steps, default=round_to))
        order = np.argsort(_family_scores(trace, members, roots, scores), kind="stable")
        choice.removed.update(roots[i] for i in order[: len(roots) - stay])
    return choice


def _width(count, ratio, each, round_to):
    """How many of `count` units stay, a multiple of `round_to` channels, at least that many."""
    step = round_to // math.gcd(round_to, each)
    stay = round(count * (1 - ratio) / step) * step
    return count if count <= step else min(max(stay, step), count)


def _family_scores(trace, members, roots, scores):
    """The mean over producers, each in parts of its own mean, so that scales do not matter."""
    place = {root: i for i, root in enumerate(roots)}
    total = np.zeros(len(roots))
    for producer in members:
        own = np.zeros(len(roots))
        for root, score in zip(trace.units.roots(producer.ids), scores[producer], strict=True):
            if int(root) in place:
                own[place[int(root)]] += score
        total += own / (own.mean() or 1.0)
    return total


def magnitude_scores(trace):
    """Returns the L1 norm of the kernel entries of each channel of each producer."""
    return _scores(trace, lambda kernel: np.abs(ops.convert_to_numpy(kernel)), sum_then_abs=False)


def taylor_scores(trace, model, x, y):
    """Returns |sum of gradient times weight| of each channel: the change of the loss, to first
    order, if it were removed.

    References:
        Molchanov et al. (2019), Importance Estimation for Neural Network Pruning, arXiv:1906.10771
    """
    _, gradients = backend.current().loss_gradients(model, x, y)
    by_id = {id(v): g for v, g in zip(model.trainable_variables, gradients, strict=True)}

    def product(kernel):
        value = ops.convert_to_numpy(kernel)
        return value * by_id.get(id(kernel), np.zeros_like(value))

    return _scores(trace, product, sum_then_abs=True)


def _scores(trace, value, *, sum_then_abs):
    scores = {}
    for producer in trace.producers:
        total = np.zeros(len(producer.ids))
        for kernel, axis in producer.kernels:
            array = np.moveaxis(np.asarray(value(kernel), "float64"), axis, 0)
            total += array.reshape(len(array), -1).sum(axis=1)
        scores[producer] = np.abs(total) if sum_then_abs else total
    return scores
