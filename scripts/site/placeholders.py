"""Fills `{{ result("NAME", "WHAT") }}` in the pages from saved_models/<name>/result.json.

Nothing is evaluated: a placeholder is a name and a path into the file, and what is not in the
catalog, the table or the file is an error that stops the build.
"""

import re

from kerasdnn import catalog, console
from kerasdnn.errors import InputError

PLACEHOLDER = re.compile(r'\{\{ *result\( *"(?P<name>[^"]+)" *(?:, *"(?P<what>[^"]+)" *)?\) *\}\}')
ANY = re.compile(r"\{\{.*?\}\}")
# For a recipe without a committed result; the class makes it visible on the page.
PENDING = '<span class="pending">not measured yet</span>'
PENDING_CHINESE = '<span class="pending">尚未测量</span>'


def fill(markdown, *, pending=PENDING):
    """Returns the page with every placeholder exchanged for its number."""
    text = PLACEHOLDER.sub(
        lambda match: result(match["name"], match["what"] or "value", pending=pending), markdown
    )
    left = ANY.search(text)
    if left:
        raise InputError(f'A placeholder reads {{{{ result("NAME", "WHAT") }}}}; found {left[0]}.')
    return text


def result(name, what="value", *, pending=PENDING):
    """Returns one number of a recipe's committed result, as text.

    Args:
        name: recipe, or `recipe:variant` for `result-<variant>.json`.
        what: "value" (mean, deviation, seeds), "control", "target", "gain" (value minus control),
            "minutes", "data", or "row:ROW NAME:COLUMN" for a cell of the recipe's table.
        pending: what stands for a result that is not committed.
    """
    name, _, variant = name.partition(":")
    content = catalog.find(name).result(variant)
    if content is None:
        return pending
    if what == "value":
        seeds = len(content["values"])
        spread = f" ± {content['std']:.4f}" if content["std"] is not None else ""
        return f"{content['value']:.4f}{spread} ({seeds} seed{'s' if seeds > 1 else ''})"
    if what == "target":
        return console.number((content["target"] or {}).get("value")) or "none"
    if what == "gain":
        return f"{content['value'] - content['control']:+.4f}"
    if what == "minutes":
        return f"{content['minutes']:.1f}"
    if what == "data":
        data = content["data"]
        return f"{data['name']}, {data['n_train']:,} / {data['n_test']:,}"
    if what == "control":
        return console.number(content["control"]) or "none"
    if what.startswith("row:"):
        return cell(content, *what.removeprefix("row:").rpartition(":")[::2])
    raise InputError(f"{name}: there is no '{what}' to show; see scripts/site/placeholders.py.")


def cell(content, row, column):
    """Returns a cell of the table of a result, as the recipe itself prints it."""
    rows = {r["name"]: r for r in content["rows"]}
    if row not in rows:
        raise InputError(f"{content['recipe']} has no row '{row}'; it has {', '.join(rows)}.")
    if column not in rows[row]:
        raise InputError(
            f"{content['recipe']}, row '{row}' has no column '{column}'; "
            f"it has {', '.join(rows[row])}."
        )
    return console.number(rows[row][column]) or "–"
