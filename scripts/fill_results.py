"""Fills README's results table and the recipes' "Expect" lines from saved_models/*/result*.json.

python scripts/fill_results.py            writes
python scripts/fill_results.py --check    exit 1 and the names of the files that differ
"""

import argparse
import re
import sys
from pathlib import Path

from kerasdnn import catalog
from kerasdnn.results import write_bytes

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results: filled by scripts/fill_results.py -->", "<!-- /results -->"
EXPECT = re.compile(r"^Expect    .*\n(?:          .*\n)*", re.MULTILINE)
PENDING = "not measured yet"


def spread(result):
    """Returns "0.9412 ± 0.0008 (3 seeds)", or without the spread for one seed."""
    seeds = len(result["values"])
    deviation = f" ± {result['std']:.4f}" if result["std"] is not None else ""
    return f"{result['value']:.4f}{deviation} ({seeds} seed{'s' if seeds > 1 else ''})"


def expect(entry):
    """Returns the "Expect" field of one recipe, a line for each committed result."""
    lines = []
    for variant in ["", *variants(entry)]:
        result = entry.result(variant)
        if result is None:
            continue
        where = "" if not variant else f"{variant}: "
        control = f"; control {result['control']:.4f}" if result["control"] is not None else ""
        lines.append(f"{where}{spread(result)}, {result['minutes']:.1f} min a run{control}")
    return "".join(
        f"{'Expect' if i == 0 else '':10}{line}\n" for i, line in enumerate(lines or [PENDING])
    )


def variants(entry):
    """Returns the names of the further results of a recipe: "bundled", "jax"..."""
    files = (catalog.results_folder() / entry.name).glob("result-*.json")
    return sorted(path.stem.removeprefix("result-") for path in files)


def table():
    """Returns README's results table."""
    lines = [
        "| recipe | shows | metric | got | control | published | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in catalog.entries():
        for variant in ["", *variants(entry)]:
            result = entry.result(variant)
            if result is None:
                continue
            label = f"[{entry.topic}/{entry.name}](recipes/{entry.topic}/{entry.name}.py)"
            label += f" ({variant})" if variant else ""
            control = "" if result["control"] is None else f"{result['control']:.4f}"
            published = (result.get("target") or {}).get("value", "") if not variant else ""
            cells = [
                label,
                entry.fields.get("Concept", ""),
                result["metric"].replace("_", " "),
                spread(result),
                control,
                str(published),
                f"{result['minutes']:.1f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def filled():
    """Yields the path and the wanted content of every file that carries results."""
    for entry in catalog.entries():
        text = entry.path.read_text(encoding="utf-8")
        yield entry.path, EXPECT.sub(lambda match, e=entry: expect(e), text, count=1)
    for name in ("README.md", "README.zh-CN.md"):
        path = ROOT / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            head, rest = text.split(BEGIN)
            yield path, f"{head}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    stale = [(p, text) for p, text in filled() if p.read_text(encoding="utf-8") != text]
    for path, text in stale:
        if args.check:
            print(f"{path.relative_to(ROOT)} differs from the results; run scripts/fill_results.py")
        else:
            write_bytes(path, text.encode())
            print(f"filled {path.relative_to(ROOT)}")
    return int(args.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
