"""The picture of a card in the gallery: the rows of a result as dots, legible at its small size."""

import html

from kerasdnn import console

WIDTH, ROW, MOST = 320, 21, 6  # pixels, pixels, rows
LABEL, END = 158, 262  # where the line of dots begins and ends


def svg(result):
    """Returns the SVG of a result's rows, the technique filled, a published figure as a line."""
    rows = chosen(result)
    target = (result["target"] or {}).get("value")
    values = [row["value"] for row in rows] + ([] if target is None else [target])
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or 1.0

    def place(value):
        share = (value - low + room) / (high - low + 2 * room)
        return round(LABEL + share * (END - LABEL), 1)

    height = ROW * len(rows) + 8
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{_label(result)}">']
    if target is not None:
        x = place(target)
        parts.append(f'<path class="card-published" d="M{x} 4V{height - 4}"/>')
    for index, row in enumerate(rows):
        y = ROW * index + ROW // 2 + 4
        kind = "got" if row["value"] == result["value"] else "other"
        name = row["name"] if len(row["name"]) <= 24 else row["name"][:23] + "…"
        number = console.number(row["value"], 4 if abs(row["value"]) < 10 else 2)
        parts += [
            f'<text x="{LABEL - 8}" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>',
            f'<path class="card-line" d="M{LABEL} {y}H{END}"/>',
            f'<circle class="card-{kind}" cx="{place(row["value"])}" cy="{y}" r="4.5"/>',
            f'<text x="{WIDTH - 4}" y="{y + 4}" text-anchor="end">{number}</text>',
        ]
    return "".join([*parts, "</svg>"])


def chosen(result):
    """Returns the rows to draw, in their order: technique and control, and others if they fit."""
    rows = [row for row in result["rows"] if row.get("value") is not None]
    wanted = [r for r in rows if r["value"] in (result["value"], result["control"])]
    others = [r for r in rows if r not in wanted]
    kept = wanted[:MOST] + others[: max(MOST - len(wanted), 0)]
    return [row for row in rows if row in kept]


def _label(result):
    return html.escape(f"{result['metric'].replace('_', ' ')} of each row of {result['recipe']}")
