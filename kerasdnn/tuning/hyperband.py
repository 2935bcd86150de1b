"""Hyperband in which a promoted trial goes on exactly where it was."""

import io
from pathlib import Path

from kerasdnn import results, training_state

import keras
import keras_tuner
import numpy as np

STATE = "last_epoch.npz"


class ContinuingHyperband(keras_tuner.Hyperband):
    """Hyperband that continues a trial from the last epoch of its earlier rung.

    `keras_tuner.Hyperband` gives a promoted trial the weights of its *best* epoch and an optimizer
    that has forgotten its moments and its step, while it counts the epochs on from the last one.
    Here weights, optimizer and the model's random states are those of the last epoch: with the
    same order of the data, a rung of 2 epochs and one of 4 more are one training of 6.

    Args:
        *args, **kwargs: arguments of `keras_tuner.Hyperband`.

    Example:
    >>> def build(hp):
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    ...     rate = hp.Float("rate", 1e-3, 1e-1)
    ...     model.compile(keras.optimizers.Adam(rate), "mse", run_eagerly=True)
    ...     return model
    >>> import tempfile
    >>> x, y = np.ones((32, 2), "float32"), np.ones((32, 1), "float32")
    >>> tuner = ContinuingHyperband(build, "val_loss", max_epochs=3, directory=tempfile.mkdtemp())
    >>> tuner.search(x, y, validation_data=(x, y), verbose=0)
    >>> len(tuner.oracle.trials)
    6

    References:
        Li et al. (2018), Hyperband: A Novel Bandit-Based Approach, arXiv:1603.06560
    """

    def run_trial(self, trial, *args, **kwargs):
        """Runs one rung of a trial."""
        earlier = trial.hyperparameters.values.get("tuner/trial_id")
        start = Path(self.get_trial_dir(earlier)) / STATE if earlier is not None else None
        end = Path(self.get_trial_dir(trial.trial_id)) / STATE
        kwargs["callbacks"] = [_Continue(start, end), *kwargs.get("callbacks", ())]
        return super().run_trial(trial, *args, **kwargs)

    def _build_hypermodel(self, hp):
        # Without the weights of the best epoch, which Keras Tuner's own puts in here.
        return super(keras_tuner.Hyperband, self)._build_hypermodel(hp)


class _Continue(keras.callbacks.Callback):
    """Begins with the state of a file and leaves one."""

    def __init__(self, start, end):
        super().__init__()
        self.start, self.end = start, end

    def on_train_begin(self, logs=None):
        if self.start is None or not self.start.is_file():
            return
        with np.load(self.start) as arrays:
            for i, variable in enumerate(self._variables()):
                variable.assign(arrays[f"arr_{i}"])

    def on_train_end(self, logs=None):
        values = [np.array(keras.ops.convert_to_numpy(v)) for v in self._variables()]
        data = io.BytesIO()
        np.savez(data, *values)
        results.write_bytes(self.end, data.getvalue())

    def _variables(self):
        model = self.model
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        return training_state.variables(model)[0]
