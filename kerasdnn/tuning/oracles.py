"""Keras Tuner searches that never try a point twice and go on where they were stopped."""

import itertools
import warnings

from kerasdnn.tuning import space

import keras_tuner
import numpy as np
from scipy import optimize, stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

ENUMERATED = 4096  # points of a space that are all looked at; of a larger one a sample is
SAMPLED = 512  # random points, and as many around the best ones
NEAR_BEST, NEAR_WIDTH = 5, 0.1  # best points to look around, and how far
OWN_LENGTHS = 5  # trials a coordinate from which on each has a length of its own
STEPS = 15  # of L-BFGS on the likelihood; each fit starts where the last one ended


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
        self._theta = None

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
        first = self.num_initial_points or len(space.tunable(hps)) + 1
        if len(done) < first:
            return self._answer(self._far_from(tried, pool, random))
        return self._answer(pool[int(np.argmax(self._expected_improvement(done, pool)))])

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

    def _expected_improvement(self, done, pool):
        hps, sign = self.hyperparameters, -1.0 if self.objective.direction == "max" else 1.0
        x = [space.coordinates(hps, t.hyperparameters.values) for t in done]
        y = [sign * t.score for t in done]
        worst = max(y)
        for trial in self.trials.values():
            if trial.status in ("FAILED", "INVALID"):  # keep away from where training fails
                x.append(space.coordinates(hps, trial.hyperparameters.values))
                y.append(worst)
        x, y = np.array(x), np.nan_to_num(np.array(y), posinf=worst, neginf=min(y))
        model = self._fit(x, y)
        waiting = [
            space.coordinates(hps, t.hyperparameters.values) for t in self.ongoing_trials.values()
        ]
        if waiting:  # as if they had ended as expected, so that others look elsewhere
            x = np.concatenate([x, waiting])
            y = np.concatenate([y, model.predict(np.array(waiting))])
            model = self._fit(x, y)
        mean, deviation = model.predict(
            np.array([space.coordinates(hps, p) for p in pool]), return_std=True
        )
        gain = min(y) - mean
        deviation = np.maximum(deviation, 1e-12)
        z = gain / deviation
        # EI = (best - mean) cdf(z) + deviation pdf(z)
        return gain * stats.norm.cdf(z) + deviation * stats.norm.pdf(z)

    def _fit(self, x, y):
        # With few trials, a length for each coordinate makes some of them look irrelevant.
        own = len(x) >= OWN_LENGTHS * x.shape[1]
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(
            np.full(x.shape[1], 0.5) if own else 0.5, (1e-1, 2.0), nu=2.5
        ) + WhiteKernel(1e-3, (1e-6, 1e-1))
        if self._theta is not None and len(self._theta) == len(kernel.theta):
            kernel = kernel.clone_with_theta(self._theta)

        def few_steps(objective, start, bounds):
            found = optimize.minimize(
                objective,
                start,
                jac=True,
                bounds=bounds,
                method="L-BFGS-B",
                options={"maxiter": STEPS},
            )
            return found.x, found.fun

        model = GaussianProcessRegressor(kernel, optimizer=few_steps, normalize_y=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a bound that is reached is fine
            model.fit(x, y)
        self._theta = model.kernel_.theta
        return model

    def get_state(self):
        """Returns what a resumed search needs."""
        theta = None if self._theta is None else [float(v) for v in self._theta]
        return {
            **super().get_state(),
            "num_initial_points": self.num_initial_points,
            "oracle_seed": self.seed,
            "theta": theta,
        }

    def set_state(self, state):
        """Goes on from a saved state."""
        super().set_state(state)
        self.num_initial_points = state["num_initial_points"]
        self.seed = state["oracle_seed"]
        self._theta = None if state["theta"] is None else np.array(state["theta"])


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
