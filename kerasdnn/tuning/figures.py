"""Figures of a search: its trials over time, and what the good ones have in common."""

import io

from kerasdnn import results
from kerasdnn.tuning import space
from kerasdnn.tuning.table import OWN

import numpy as np


def history(axis, rows, objective):
    """Draws the score of each trial in the order of the trials, and the best so far.

    Args:
        axis: a matplotlib axis.
        rows: what `trial_table` returns.
        objective: `keras_tuner.Objective` of the search.
    """
    rows = sorted((row for row in rows if row["score"] is not None), key=lambda row: row["trial"])
    scores = np.array([row["score"] for row in rows])
    early = np.array([row["ended"] is not None for row in rows], bool)
    numbers = np.array([int(row["trial"]) + 1 for row in rows])
    best = np.maximum if objective.direction == "max" else np.minimum
    axis.scatter(numbers[~early], scores[~early], s=18, label="trial")
    axis.scatter(numbers[early], scores[early], s=18, marker="x", label="ended early")
    axis.step(numbers, best.accumulate(scores), where="post", color="tab:red", label="best so far")
    axis.set_xlabel("trial")
    axis.set_ylabel(objective.name)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def parallel_coordinates(axis, rows, hyperparameters, objective):
    """Draws a line a trial across its hyper-parameters, the better the darker.

    Args:
        axis: a matplotlib axis.
        rows: what `trial_table` returns.
        hyperparameters: `HyperParameters` of the search, with its space.
        objective: `keras_tuner.Objective` of the search.
    """
    parameters = {hp.name: hp for hp in space.tunable(hyperparameters)}
    rows = [row for row in rows if row["score"] is not None]
    if not rows or not parameters:
        axis.text(0.5, 0.5, "no trial was completed", ha="center", va="center")
        return
    scores = np.array([row["score"] for row in rows])
    good = (scores - scores.min()) / (np.ptp(scores) or 1.0)
    good = good if objective.direction == "max" else 1 - good
    # A parameter that is not active in a trial leaves a gap in its line.
    heights = [
        [hp.value_to_prob(row[name]) if name in row else np.nan for name, hp in parameters.items()]
        for row in rows
    ]
    places = np.arange(len(parameters) + 1)
    axis_scores = (scores - scores.min()) / (np.ptp(scores) or 1.0)
    from matplotlib import colormaps

    colors = colormaps["viridis_r"]
    for i in np.argsort(good):  # the best one on top
        line = [*heights[i], axis_scores[i]]
        axis.plot(places, line, color=colors(good[i]), alpha=0.3 + 0.7 * good[i], linewidth=1.2)
    axis.set_xticks(places, [*parameters, objective.name], rotation=20, ha="right", fontsize=8)
    axis.set_yticks([])
    for place, (name, hp) in enumerate(parameters.items()):
        values = [row[name] for row in rows if name in row]
        for value in sorted(set(values), key=hp.value_to_prob)[:: max(1, len(set(values)) - 1)]:
            axis.annotate(_short(value), (place, hp.value_to_prob(value)), fontsize=7)
    for value, height in ((scores.min(), 0.0), (scores.max(), 1.0)):
        axis.annotate(_short(value), (places[-1], height), fontsize=7)
    axis.grid(alpha=0.3, axis="x")


def draw(path, rows, hyperparameters, objective):
    """Writes both figures side by side as a PNG file; no column of `trial_table` is needed else.

    Args:
        path: where to write.
        rows: what `trial_table` returns.
        hyperparameters: `HyperParameters` of the search, with its space.
        objective: `keras_tuner.Objective` of the search.
    """
    from matplotlib.figure import Figure

    width = 5 + 1.2 * len({key for row in rows for key in row} - set(OWN))
    figure = Figure(figsize=(5.5 + width, 4.2), layout="constrained")
    one, other = figure.subplots(1, 2, width_ratios=[5.5, width])
    history(one, rows, objective)
    parallel_coordinates(other, rows, hyperparameters, objective)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    results.write_bytes(path, data.getvalue())


def _short(value):
    return f"{value:.3g}" if isinstance(value, int | float | np.number) else str(value)
