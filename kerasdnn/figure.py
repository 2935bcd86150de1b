"""The figure of a recipe: one curve a row of the table, and some examples."""

import io

from kerasdnn import results

import numpy as np


def draw(path, result, histories, examples=None, panels=()):
    """Draws figure.png: learning curves (mean over seeds), the table's values as bars, examples.

    Args:
        path: where to write.
        result: content of result.json.
        histories: dictionary from (row, seed) to a dictionary of lists, one number an epoch.
        examples: images `(N, H, W, C)` in 0-255 or 0-1 and their titles, or None.
        panels: functions of a matplotlib axis that draw further panels.
    """
    from matplotlib.figure import Figure

    images, titles = examples if examples is not None else ((), ())
    count = min(len(images), 12)
    curves = _curves(histories)
    drawers = [lambda axis: _draw_curves(axis, curves)] if curves else []
    drawers += [lambda axis: _draw_values(axis, result), *panels]
    figure = Figure(figsize=(5.5 * len(drawers), 4.2 + (1.9 if count else 0)), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[4.2, 1.9]) if count else (figure, None)
    for axis, drawer in zip(np.atleast_1d(top.subplots(1, len(drawers))), drawers, strict=True):
        drawer(axis)
    if count:
        for axis, image, title in zip(np.atleast_1d(bottom.subplots(1, count)), images, titles):
            _draw_image(axis, image, title)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    results.write_bytes(path, data.getvalue())


def _curves(histories):
    """Returns, for the quantity that most rows have, the mean over seeds of each row."""
    for name in ("val_accuracy", "val_loss", "accuracy", "loss"):
        rows = {}
        for (row, _), history in histories.items():
            if history.get(name):
                rows.setdefault(row, []).append(history[name])
        if rows:
            shortest = {row: min(map(len, many)) for row, many in rows.items()}
            means = {
                r: np.mean([h[: shortest[r]] for h in many], axis=0) for r, many in rows.items()
            }
            return {"name": name, "rows": means}
    return None


def _draw_curves(axis, curves):
    for row, values in curves["rows"].items():
        axis.plot(np.arange(1, len(values) + 1), values, marker=".", label=row)
    axis.set_xlabel("epoch")
    axis.set_ylabel(f"{curves['name']} in training".replace("val_", "validation "))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _draw_values(axis, result):
    rows = result["rows"]
    values = [row["value"] for row in rows]
    places = np.arange(len(rows))
    axis.barh(places, values, xerr=[row["std"] or 0 for row in rows], color="tab:blue", alpha=0.7)
    axis.set_yticks(places, [row["name"] for row in rows], fontsize=8)
    axis.invert_yaxis()
    marks = values
    if result["target"]:
        published = result["target"]["value"]
        axis.axvline(published, color="tab:red", linestyle="--", label=f"published {published}")
        axis.legend(fontsize=8)
        marks = [*values, published]
    spread = max(marks) - min(marks)
    if len(marks) > 1 and 0 < spread < 0.3 * max(map(abs, marks)):
        axis.set_xlim(min(marks) - 2 * spread, max(marks) + spread)
    axis.set_xlabel(f"{result['metric']} ({result['data']['name']})")
    axis.grid(alpha=0.3, axis="x")


def _draw_image(axis, image, title):
    image = np.asarray(image, "float32")
    image = image / 255.0 if image.max() > 1.5 else image
    axis.imshow(image.squeeze().clip(0, 1), cmap="gray")
    axis.set_title(title, fontsize=7)
    axis.axis("off")
