"""The trials of a search as rows."""

import json
from pathlib import Path

from kerasdnn.tuning.early_ending import last_line


def trial_table(tuner):
    """Returns one dictionary a trial, the best first.

    Args:
        tuner: any Keras Tuner tuner, after or during its search.

    Returns:
        list of dict with the keys `trial`, `status` ("COMPLETED", "FAILED", "RUNNING"), `score`,
        `epochs` and `seconds` (None where the tuner was not one of `tune`), each hyper-parameter
        by its name, and `ended`: why a trial ended before its time, or None.

    Example:
    >>> import keras_tuner, tempfile
    >>> class Parabola(keras_tuner.RandomSearch):
    ...     def run_trial(self, trial, *args, **kwargs):
    ...         return (trial.hyperparameters.Int("x", -2, 3) - 1) ** 2
    >>> tuner = Parabola(max_trials=3, seed=1, directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> [row["status"] for row in trial_table(tuner)]
    ['COMPLETED', 'COMPLETED', 'COMPLETED']
    """
    sign = -1 if tuner.oracle.objective.direction == "max" else 1

    def rank(row):
        return (row["status"] != "COMPLETED", sign * (row["score"] or 0.0))

    rows = [_row(tuner, trial) for trial in tuner.oracle.trials.values()]
    return sorted(rows, key=rank)


def _row(tuner, trial):
    path = Path(tuner.get_trial_dir(trial.trial_id)) / "curve.json"
    curve = json.loads(path.read_text()) if path.is_file() else {}
    ended = curve.get("ended")
    if ended is None and trial.message:
        ended = last_line(trial.message)
    done = trial.status == "COMPLETED"
    return {
        "trial": trial.trial_id,
        "status": trial.status,
        "score": float(trial.score) if done and trial.score is not None else None,
        "epochs": len(curve["objective"]) if curve else None,
        "seconds": curve.get("seconds"),
        **{n: v for n, v in trial.hyperparameters.values.items() if not n.startswith("tuner/")},
        "ended": ended,
    }


OWN = ("trial", "status", "score", "epochs", "seconds", "ended")  # columns that are no parameters
