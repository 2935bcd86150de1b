"""The points of a Keras Tuner search space: their keys, their enumeration, their coordinates."""

import itertools
import math

import keras_tuner
import numpy as np

SAMPLES = 10  # of a range without steps, as in Keras Tuner's own grid


def tunable(hyperparameters):
    """Returns the parameters of the space that are not fixed, in order."""
    fixed = keras_tuner.engine.hyperparameters.Fixed
    return [hp for hp in hyperparameters.space if not isinstance(hp, fixed)]


def key(values):
    """Returns what makes two sets of values the same trial.

    `tuner/...` entries are Keras Tuner's own notes, such as Hyperband's epochs.
    """
    return tuple(sorted((n, repr(v)) for n, v in values.items() if not n.startswith("tuner/")))


def active(hyperparameters, values):
    """Returns those of `values` whose conditions hold, in the order of the space."""
    scratch = keras_tuner.HyperParameters()
    for hp in hyperparameters.space:
        scratch.merge([hp])
        if scratch.is_active(hp):
            scratch.values[hp.name] = values.get(hp.name, hp.default)
    return {hp.name: scratch.values[hp.name] for hp in hyperparameters.space if hp.name in scratch}


def choices(hp):
    """Returns the values of one parameter in order, its default first, or None for a continuum."""
    if getattr(hp, "step", True) is None and not _is_int(hp):
        return None
    values = _whole_numbers(hp) if _is_int(hp) and hp.step is None else list(hp.values)
    return [hp.default, *(v for v in values if v != hp.default)]


def _is_int(hp):
    return type(hp).__name__ == "Int"


def _whole_numbers(hp):
    return list(range(hp.min_value, hp.max_value + 1))


def grid(hp):
    """Returns the values that a grid search tries for one parameter, its default first."""
    return [hp.default, *(v for v in hp.values if v != hp.default)]


def count(hyperparameters):
    """Returns an upper bound of the number of points, infinite when a parameter is a continuum."""
    lists = [choices(hp) for hp in tunable(hyperparameters)]
    return math.inf if any(c is None for c in lists) else math.prod(map(len, lists))


def points(hyperparameters, values_of=choices):
    """Yields every point of a finite space once, the default first; the last parameter moves first.

    Parameters whose condition does not hold are left out, so no two points are the same trial.
    """
    space = hyperparameters.space
    fixed = {hp.name: hp.default for hp in space}
    lists = [values_of(hp) for hp in tunable(hyperparameters)]
    names = [hp.name for hp in tunable(hyperparameters)]
    conditional = any(hp.conditions for hp in space)
    seen = set()
    for combination in itertools.product(*lists):
        values = active(hyperparameters, {**fixed, **dict(zip(names, combination))})
        if conditional:  # points that differ in an inactive parameter only are one
            if key(values) in seen:
                continue
            seen.add(key(values))
        yield values


def random_point(hyperparameters, unit):
    """Returns the point at the coordinates `unit`, one number in [0, 1) a tunable parameter."""
    values = {hp.name: hp.default for hp in hyperparameters.space}
    for hp, u in zip(tunable(hyperparameters), unit, strict=True):
        values[hp.name] = hp.prob_to_value(float(u))
    return active(hyperparameters, values)


def coordinates(hyperparameters, values):
    """Returns the point as a vector for a model of the score.

    Ordered parameters have one coordinate in [0, 1]; unordered choices have one a value, so that
    all are equally far apart; an inactive parameter lies at its default.
    """
    vector = []
    for hp in tunable(hyperparameters):
        value = values.get(hp.name, hp.default)
        if type(hp).__name__ == "Boolean":
            vector.append(float(value))
        elif type(hp).__name__ == "Choice" and not hp.ordered:
            vector += [float(value == v) / np.sqrt(2) for v in hp.values]
        else:
            vector.append(hp.value_to_prob(value))
    return vector


def groups(hyperparameters):
    """Returns for each of the `coordinates` the number of the parameter that it belongs to."""
    found = []
    for number, hp in enumerate(tunable(hyperparameters)):
        unordered = type(hp).__name__ == "Choice" and not hp.ordered
        found += [number] * (len(hp.values) if unordered else 1)
    return found
