"""README's picture: what each recipe reached, its control and the published figure, as SVG.

Written by scripts/fill_results.py to docs/assets/results.svg, so that it follows the results.
"""

from xml.sax.saxutils import escape

WIDTH, ROW, TOP, LABEL, GAP = 860, 21, 40, 158, 24  # pixels
OURS, PLAIN, PUBLISHED = "#00796b", "#8a8f94", "#c62828"
WORDS = {"got": "with the technique", "control": "control", "published": "published"}


def svg(results):
    """Returns the picture of those results (contents of result.json) that are accuracies."""
    shown = [r for r in results if r["metric"].endswith("accuracy") and r["control"] is not None]
    shown.sort(key=lambda r: r["value"] - r["control"], reverse=True)
    rows = (len(shown) + 1) // 2
    height = TOP + rows * ROW + 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="12" role="img">',
        "<title>Accuracy on the test set: each recipe, its control, a published figure</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#fff"/>',
        *_legend(),
    ]
    column = (WIDTH - GAP) // 2
    for index in range(2):
        part = shown[index * rows : (index + 1) * rows]
        parts += _column(part, index * (column + GAP), column, rows)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend():
    yield '<text x="10" y="22" font-weight="bold">accuracy on the test set</text>'
    x = 330
    for kind, draw in (("control", _control), ("got", _got), ("published", _published)):
        yield draw(x, 18)
        yield f'<text x="{x + 10}" y="22">{WORDS[kind]}</text>'
        x += 30 + 8 * len(WORDS[kind])


def _column(results, left, width, rows):
    start, end = left + LABEL, left + width - 42

    def place(value):
        return round(start + value * (end - start), 1)

    bottom = TOP + rows * ROW
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = place(tick)
        yield f'<path d="M{x} {TOP}V{bottom}" stroke="#e4e7ea"/>'
        yield (
            f'<text x="{x}" y="{bottom + 15}" text-anchor="middle" fill="#5f6368" '
            f'font-size="10">{tick:g}</text>'
        )
    for index, result in enumerate(results):
        y = TOP + index * ROW + ROW // 2
        got, control = place(result["value"]), place(result["control"])
        name = escape(result["recipe"])
        yield f'<text x="{left + LABEL - 10}" y="{y + 4}" text-anchor="end">{name}</text>'
        yield f'<path d="M{control} {y}H{got}" stroke="{OURS}" stroke-width="2" opacity="0.45"/>'
        target = (result["target"] or {}).get("value")
        if target is not None:
            yield _published(place(target), y)
        yield _control(control, y)
        yield _got(got, y)
        yield f'<text x="{end + 8}" y="{y + 4}" font-size="11">{result["value"]:.3f}</text>'


def _got(x, y):
    return f'<circle cx="{x}" cy="{y}" r="4.5" fill="{OURS}"/>'


def _control(x, y):
    return f'<circle cx="{x}" cy="{y}" r="4" fill="#fff" stroke="{PLAIN}" stroke-width="2"/>'


def _published(x, y):
    return f'<path d="M{x} {y - 8}v16" stroke="{PUBLISHED}" stroke-width="2"/>'
