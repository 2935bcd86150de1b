"""Keras Tuner searches that never try a point twice and go on where they were stopped."""

import itertools

from kerasdnn.tuning import space
from kerasdnn.tuning.surrogate import expected_improvement

import keras_tuner
import numpy as np

ENUMERATED = 4096  # points of a space that are all looked at; of a larger one a sample is
SAMPLED = 512  # random points, and as many around the best ones
NEAR_BEST, NEAR_WIDTH = 5, 0.1  # best points to look around, and how far
FAR_APART = 3  # trials that are completed before expectations decide


class _NoRepeatOracle(keras_tuner.Oracle):
    """What both oracles share: which points were tried, and how a search ends.

    Attributes:
        used_up: whether the search has ended because no point was left.
    """

    used_up = False

    def _tried(self):
        hps = self.hyperparameters
        return {
            space.key(space.active(hps, t.hyperparameters.values)) for t in self.trials.values()
        }

    def _answer(self, values):
        if values is not None:
            return {"status": "RUNNING", "values": values}
        # A trial under way may still add parameters to the space.
        if self.ongoing_trials:
            return {"status": "IDLE", "values": None}
        self.used_up = True
        if self.verbose:
            print(
                f"All {len(self._tried())} points of the search space were tried: the search ends."
            )
        return {"status": "STOPPED", "values": None}


class NoRepeatBayesianOracle(_NoRepeatOracle):
    """The oracle of `NoRepeatBayesian`; its arguments are explained there."""

    def __init__(self, objective=None, max_trials=10, num_initial_points=None, seed=0, **kwargs):
        super().__init__(objective=objective, max_trials=max_trials, seed=seed, **kwargs)
        self.seed = seed  # Keras Tuner replaces a seed of 0 by a random one
        self.num_initial_points = num_initial_points
        self._best_draw = None

    def populate_space(self, trial_id):
        """Returns the next point, as Keras Tuner asks for it."""
        hps = self.hyperparameters
        if not hps.space:  # declared by the first build: nothing to choose from yet
            return self._answer({} if not self.trials else None)
        tried = self._tried()
        # A function of the number of trials: a resumed search proposes what it would have.
        random = np.random.default_rng([self.seed, len(self.trials)])
        default = space.active(hps, {})
        if space.key(default) not in tried and not self.trials:
            return self._answer(default)
        pool = self._pool(tried, random)
        if not pool:
            return self._answer(None)
        done = [t for t in self.trials.values() if t.status == "COMPLETED"]
        if len(done) < (self.num_initial_points or FAR_APART):
            return self._answer(self._far_from(tried, pool, random))
        return self._answer(self._most_promising(done, pool, random))

    def _pool(self, tried, random):
        """Returns untried points: all of them, or for a large space a sample."""
        hps = self.hyperparameters
        if space.count(hps) <= ENUMERATED:
            return [p for p in space.points(hps) if space.key(p) not in tried]
        dimensions = len(space.tunable(hps))
        units = random.random((SAMPLED, dimensions))
        best = self._best_units()
        if len(best):
            around = best[random.integers(len(best), size=SAMPLED)]
            moved = around + random.normal(0, NEAR_WIDTH, around.shape)
            # Half of the coordinates stay, so that single parameters are refined, too.
            moved = np.where(random.random(moved.shape) < 0.5, moved, around)
            units = np.concatenate([units, np.clip(moved, 0, 1 - 1e-9)])
        pool = {}
        for unit in units:
            point = space.random_point(hps, unit)
            if space.key(point) not in tried:
                pool[space.key(point)] = point
        if not pool and np.isfinite(space.count(hps)):
            pool = dict(enumerate(itertools.islice(self._untried(tried), 1)))
        return list(pool.values())

    def _untried(self, tried):
        return (p for p in space.points(self.hyperparameters) if space.key(p) not in tried)

    def _best_units(self):
        """Returns the coordinates of the best trials, one row each."""
        hps = space.tunable(self.hyperparameters)
        rows = []
        for trial in self.get_best_trials(NEAR_BEST):
            if trial.status == "COMPLETED":
                values = trial.hyperparameters.values
                rows.append([hp.value_to_prob(values.get(hp.name, hp.default)) for hp in hps])
        return np.array(rows)

    def _far_from(self, tried, pool, random):
        """Returns the point of a random subset of the pool that is farthest from all tried ones."""
        hps = self.hyperparameters
        some = random.choice(len(pool), min(len(pool), 64), replace=False)
        candidates = np.array([space.coordinates(hps, pool[i]) for i in some])
        seen = [space.coordinates(hps, t.hyperparameters.values) for t in self.trials.values()]
        apart = np.linalg.norm(candidates[:, None] - np.array(seen)[None], axis=-1).min(1)
        return pool[some[int(apart.argmax())]]

    def _most_promising(self, done, pool, random):
        hps, sign = self.hyperparameters, -1.0 if self.objective.direction == "max" else 1.0

        def at(values):
            return space.coordinates(hps, values)

        tried = [at(t.hyperparameters.values) for t in done]
        values = [sign * t.score for t in done]
        worst = max(values)
        for trial in self.trials.values():
            if trial.status in ("FAILED", "INVALID"):  # keep away from where training fails
                tried.append(at(trial.hyperparameters.values))
                values.append(worst)
        gain, self._best_draw = expected_improvement(
            np.array(tried),
            np.nan_to_num(np.array(values), posinf=worst, neginf=min(values)),
            np.array([at(point) for point in pool]),
            space.groups(hps),
            random,
            waiting=np.array([at(t.hyperparameters.values) for t in self.ongoing_trials.values()]),
            best=self._best_draw,
        )
        return pool[int(np.argmax(gain))]

    def get_state(self):
        """Returns what a resumed search needs."""
        return {
            **super().get_state(),
            "num_initial_points": self.num_initial_points,
            "oracle_seed": self.seed,
            "best_draw": self._best_draw,
        }

    def set_state(self, state):
        """Goes on from a saved state."""
        super().set_state(state)
        self.num_initial_points = state["num_initial_points"]
        self.seed = state["oracle_seed"]
        self._best_draw = state["best_draw"]


class ResumableGridOracle(_NoRepeatOracle):
    """The oracle of `ResumableGrid`; its arguments are explained there."""

    def populate_space(self, trial_id):
        """Returns the first point of the grid that was not tried; nothing else is remembered."""
        hps = self.hyperparameters
        if not hps.space:
            return self._answer({} if not self.trials else None)
        tried = self._tried()
        untried = (p for p in space.points(hps, space.grid) if space.key(p) not in tried)
        return self._answer(next(untried, None))
