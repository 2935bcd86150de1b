"""Curves and heat maps as inline SVG that stretches with the page; all text is HTML around it."""

import html
import math

# Perceptually even steps from dark to light (viridis), as RGB.
SCALE = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
MISSING = "#9993"


def number(value):
    """Returns a number as short text."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def finite(values):
    """Returns the values that are numbers."""
    return [v for v in values if isinstance(v, int | float) and math.isfinite(v)]


def line_chart(title, lines):
    """Returns a figure of curves; `lines` is a list of (name, list of numbers or None)."""
    lines = [(name, values) for name, values in lines if finite(values)]
    if not lines:
        return ""
    every = [v for _, values in lines for v in finite(values)]
    log = min(every) > 0 and max(every) > 50 * min(every)
    low, high = _bounds(every, log)
    paths, keys = [], []
    for index, (name, values) in enumerate(lines):
        paths.append(_path(values, low, high, log, index))
        last = finite(values)[-1]
        keys.append(
            f'<span class="key c{index % 4}">{html.escape(name)} <b>{number(last)}</b></span>'
        )
    label = html.escape(f"{title}: {', '.join(name for name, _ in lines)}")
    return (
        f"<figure><figcaption>{html.escape(title)}{' (log scale)' if log else ''}</figcaption>"
        f'<div class="chart"><div class="scale"><span>{number(float(high))}</span>'
        f"<span>{number(float(low))}</span></div>"
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f'{"".join(paths)}</svg></div><div class="keys">{"".join(keys)}</div></figure>'
    )


def _bounds(values, log):
    low, high = min(values), max(values)
    if low == high:
        pad = abs(low) * 0.1 or 1.0
        return (low / 1.1, high * 1.1) if log else (low - pad, high + pad)
    return low, high


def _path(values, low, high, log, index):
    def place(value):
        if log:
            return 98 - 96 * math.log(value / low) / math.log(high / low)
        return 98 - 96 * (value - low) / (high - low)

    width = 100 / max(1, len(values) - 1)
    points, pen = [], "M"
    for position, value in enumerate(values):
        if not finite([value]):
            pen = "M"  # a gap where there is no number
            continue
        points.append(f"{pen}{position * width:.2f} {place(value):.2f}")
        pen = "L"
    if len(points) == 1:
        points.append("h0.01")
    return f'<path class="c{index % 4}" d="{"".join(points)}"/>'


def heat_map(title, note, names, times, table, *, log=False, share=False):
    """Returns a figure with a row for each layer and a column for each time of observation.

    Args:
        title: what is shown.
        note: how to read it.
        names: list of L layer names.
        times: list of T numbers, epochs.
        table: T lists of L numbers or None.
        log: whether the colours stand for the logarithm.
        share: whether the numbers go from 0 to 1.
    """
    rows = [index for index in range(len(names)) if finite([row[index] for row in table])]
    columns = [i for i, row in enumerate(table) if finite([row[index] for index in rows])]
    values = finite([table[i][index] for i in columns for index in rows])
    if log:
        values = [v for v in values if v > 0]
    if not values:
        return ""
    low, high = (0.0, 1.0) if share else (min(values), max(values))
    cells = []
    for y, index in enumerate(rows):
        for x, column in enumerate(columns):
            value = table[column][index]
            hint = f"{names[index]}, epoch {number(float(times[column]))}: {number(value)}"
            cells.append(
                f'<rect x="{x}" y="{y}" width="1.02" height="0.94" '
                f'fill="{_colour(value, low, high, log)}"><title>{html.escape(hint)}</title></rect>'
            )
    labels = "".join(
        f'<div title="{html.escape(names[i])}">{html.escape(names[i])}</div>' for i in rows
    )
    first, last = number(float(times[columns[0]])), number(float(times[columns[-1]]))
    ramp = ", ".join(f"rgb{colour}" for colour in SCALE)
    return (
        f"<figure><figcaption>{html.escape(title)}</figcaption>"
        f'<p class="note">{html.escape(note)}</p>'
        f'<div class="heat" style="--rows:{len(rows)}"><div class="layers">{labels}</div>'
        f'<svg viewBox="0 0 {len(columns)} {len(rows)}" preserveAspectRatio="none" role="img" '
        f'aria-label="{html.escape(title)} by layer over time">{"".join(cells)}</svg></div>'
        f'<div class="axis"><span>epoch {first}</span><span>epoch {last}</span></div>'
        f'<div class="ramp"><span>{number(float(low))}</span>'
        f'<i style="background:linear-gradient(90deg, {ramp})"></i>'
        f"<span>{number(float(high))}{' (log)' if log else ''}</span></div></figure>"
    )


def _colour(value, low, high, log):
    if not finite([value]):
        return MISSING
    if log:
        if value <= 0:
            return f"rgb{SCALE[0]}"
        value, low, high = math.log(value), math.log(low), math.log(high)
    place = (value - low) / (high - low) if high > low else 0.5
    place = min(1.0, max(0.0, place)) * (len(SCALE) - 1)
    index = min(int(place), len(SCALE) - 2)
    part = place - index
    mixed = (round(a + (b - a) * part) for a, b in zip(SCALE[index], SCALE[index + 1]))
    return f"rgb({','.join(map(str, mixed))})"
