"""Fills `{{ result("NAME", "WHAT") }}` in the pages from saved_models/<name>/result.json.

Nothing is evaluated: a placeholder is a name and a path into the file, and what is not in the
catalog, the table or the file is an error that stops the build.
"""

import re
import sys
from pathlib import Path

from kerasdnn import catalog, console
from kerasdnn.errors import InputError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fill_results import spread

PLACEHOLDER = re.compile(r'\{\{ *result\( *"(?P<name>[^"]+)" *(?:, *"(?P<what>[^"]+)" *)?\) *\}\}')
ANY = re.compile(r"\{\{.*?\}\}")
# For a recipe without a committed result; the class makes it visible on the page.
PENDING = {
    "en": '<span class="pending">not measured yet</span>',
    "zh": '<span class="pending">尚未测量</span>',
}
NONE = {"en": "none", "zh": "无"}


def fill(markdown, *, language="en"):
    """Returns the page with every placeholder exchanged for its number."""
    text = PLACEHOLDER.sub(
        lambda match: result(match["name"], match["what"] or "value", language=language), markdown
    )
    left = ANY.search(text)
    if left:
        raise InputError(f'A placeholder reads {{{{ result("NAME", "WHAT") }}}}; found {left[0]}.')
    return text


def result(name, what="value", *, language="en"):
    """Returns one number of a recipe's committed result, as text.

    Args:
        name: recipe, or `recipe:variant` for `result-<variant>.json`.
        what: "value" (mean, deviation, seeds), "control", "target", "gain" (value minus control),
            "minutes", "data", or "row:ROW NAME:COLUMN" for a cell of the recipe's table.
        language: "en" or "zh".
    """
    name, _, variant = name.partition(":")
    content = catalog.find(name).result(variant)
    if content is None:
        return PENDING[language]
    if what == "value":
        return spread(content, language)
    if what == "target":
        return console.number((content["target"] or {}).get("value")) or NONE[language]
    if what == "gain":
        return f"{content['value'] - content['control']:+.4f}"
    if what == "minutes":
        return f"{content['minutes']:.1f}"
    if what == "data":
        data = content["data"]
        return f"{data['name']}, {data['n_train']:,} / {data['n_test']:,}"
    if what == "control":
        return console.number(content["control"]) or NONE[language]
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
