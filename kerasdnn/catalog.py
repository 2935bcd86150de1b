"""Finds the recipes and reads what they say of themselves, without importing Keras.

A recipe is a file `recipes/<topic>/<technique>.py`; its name is the file stem. Its docstring opens
with a title and carries fields, one a line (`Shows`, `Concept`, `Paper`, `Data`, `Expect`,
`Target`, `Run`, `Change`). Its measured result lies in `saved_models/<name>/result.json`.
"""

import ast
import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from kerasdnn.errors import InputError

_PACKAGE = Path(__file__).resolve().parent
_FIELD = re.compile(r"^([A-Z][a-z]+)\s{2,}(\S.*)$")


def _folder(name):
    """Returns a folder of the project: beside the package in a checkout, inside it in a wheel."""
    installed = _PACKAGE / f"_{name}"
    return installed if installed.is_dir() else _PACKAGE.parent / name


def recipes_folder():
    """Returns the folder that holds the recipes."""
    return _folder("recipes")


def results_folder():
    """Returns the folder that holds the measured results that came with kerasdnn."""
    return _folder("saved_models")


def benchmarks_folder():
    """Returns the folder that holds the benchmark scripts."""
    return _folder("benchmarks")


def benchmark_names():
    """Returns the names of the benchmarks."""
    return sorted(p.stem for p in benchmarks_folder().glob("*.py") if not p.stem.startswith("_"))


@dataclass(frozen=True)
class Entry:
    """One recipe of the catalog: its name, file, title and docstring fields."""

    name: str
    topic: str
    path: Path
    title: str
    fields: dict

    def result(self, variant=""):
        """Returns the committed result as a dictionary, or None when there is none."""
        stem = f"result-{variant}" if variant else "result"
        path = results_folder() / self.name / f"{stem}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def parse_header(docstring):
    """Splits a recipe's docstring into its title and its fields; a field may run over lines."""
    lines = (docstring or "").strip().splitlines()
    title = lines[0].strip() if lines else ""
    fields, current = {}, None
    for line in lines[1:]:
        match = _FIELD.match(line)
        if match:
            current = match.group(1)
            fields[current] = match.group(2).strip()
        elif current and line.startswith("  ") and line.strip():
            fields[current] += " " + line.strip()
        else:
            current = None
    return title, fields


def read_entry(path):
    """Reads the entry of one recipe file."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=True)
    title, fields = parse_header(docstring)
    return Entry(path.stem, path.parent.name, path, title.rstrip("."), fields)


def entries():
    """Returns all recipes, in the order of topic and name."""
    files = sorted(recipes_folder().glob("*/*.py"))
    return [read_entry(path) for path in files if path.stem != "__init__"]


def find(name):
    """Returns the recipe called `name`, given with or without its topic and `.py`.

    Raises:
        InputError: no recipe has this name; the sentence suggests the nearest one.
    """
    wanted = name.removesuffix(".py").split("/")
    files = {p.stem: p for p in recipes_folder().glob("*/*.py") if p.stem != "__init__"}
    path = files.get(wanted[-1])
    if path is None or (len(wanted) > 1 and wanted[-2] not in (path.parent.name, "recipes")):
        near = difflib.get_close_matches(wanted[-1], files, n=1, cutoff=0.4)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(
            f"There is no recipe '{name}'.{hint} `kerasdnn list` shows the {len(files)} there are."
        )
    return read_entry(path)


def listing_rows():
    """Returns one dictionary a recipe: what `kerasdnn list` shows."""
    rows = []
    for entry in entries():
        result = entry.result() or {}
        rows.append(
            {
                "recipe": f"{entry.topic}/{entry.name}",
                "concept": entry.fields.get("Concept", ""),
                "data": result.get("data", {}).get("name", ""),
                "minutes": result.get("minutes"),
                "metric": result.get("metric", ""),
                "got": result.get("value"),
                "std": result.get("std"),
                "control": result.get("control"),
                "published": (result.get("target") or {}).get("value"),
            }
        )
    return rows
