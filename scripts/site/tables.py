"""The pages of measurements, from the JSON files that the benchmarks left."""

import json

from kerasdnn import catalog, console

PAGES = {"diagnosis": "diagnosis.md"}  # of the docs


def benchmarks():
    """Returns the page of the side-by-side timings and the other committed benchmarks."""
    folder = catalog.benchmarks_folder()
    parts = [
        "# Benchmarks",
        "Candidates take turns in one run, round after round, and every claim is a ratio within a "
        "round. `kerasdnn bench NAME` runs one and prints the table on your machine.",
    ]
    missing = []
    for name in catalog.benchmark_names():
        source = (folder / f"{name}.py").read_text(encoding="utf-8")
        first = source.split('"""')[1].strip().splitlines()[0]
        result = folder / "results" / f"{name}.json"
        if not result.is_file():
            missing.append(f"- `{name}`: {first}")
            continue
        parts += [f"## {name}", first]
        if name in PAGES:
            parts.append(f"Its tables have [a page of their own]({PAGES[name]}).")
        else:
            parts += tables(json.loads(result.read_text(encoding="utf-8")))
    if missing:
        parts += ["## No result committed yet", "\n".join(missing)]
    return "\n\n".join(parts) + "\n"


def tables(content):
    """Returns the tables of one result file, each under its title."""
    parts = []
    for title, rows in content.get("tables", {}).items():
        parts += [f"### {title[:1].upper()}{title[1:]}", markdown(rows)]
    facts = {k: v for k, v in content.get("machine", {}).items() if v is not None}
    if facts:
        parts.append(", ".join(f"{name} {value}" for name, value in facts.items()) + ".")
    return parts


def markdown(rows):
    """Returns rows (dictionaries) as a Markdown table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = (console.number(row.get(c), 3).replace("|", "\\|") for c in columns)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
