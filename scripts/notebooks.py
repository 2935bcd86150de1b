"""Makes notebooks/*.ipynb from the recipes; nobody edits them by hand.

python scripts/notebooks.py            writes
python scripts/notebooks.py --check    exit 1 and the names of those that differ
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kerasdnn import catalog  # noqa: E402

import jupytext  # noqa: E402

FOLDER = ROOT / "notebooks"
# Results change without the recipe; the notebook makes its own.
EXPECT = re.compile(r"^Expect    .*\n(?:          .*\n)*", re.MULTILINE)
SECTION = re.compile(r"^# --- (.*?) ?-*$")
ENDING = 'if __name__ == "__main__":\n    sys.exit(main())'
FIRST = """\
# In a clone: `pip install .`. The line below tells the frame of the recipe which file this is.
from kerasdnn import catalog

__file__ = str(catalog.find("{name}").path)"""
LAST = 'main(["--quick"])  # main([]) is the whole run; 0 is success'
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def percent(entry):
    """Returns a recipe as a script of cells, the form that jupytext reads."""
    _, docstring, code = entry.path.read_text(encoding="utf-8").split('"""', 2)
    code = code.strip()
    if not code.endswith(ENDING):
        raise SystemExit(f"{entry.path} is to end with:\n{ENDING}")
    code = code.removesuffix(ENDING).rstrip()
    title, _, fields = docstring.partition("\n")
    fields = EXPECT.sub("", fields.lstrip("\n")).strip()
    cells = [_text(f"# {title.rstrip('.')}\n\n```text\n{fields}\n```")]
    cells.append(FIRST.format(name=entry.name))
    current = []
    for line in code.splitlines():
        section = SECTION.match(line)
        if not section:
            current.append(line)
            continue
        cells += ["\n".join(current).strip(), _text(f"## {section[1].rstrip(' -')}")]
        current = []
    cells += ["\n".join(current).strip(), _text("## Run it"), LAST]
    return "".join(
        cell if cell.startswith("# %%") else f"# %%\n{cell}\n\n" for cell in cells if cell
    )


def _text(markdown):
    lines = (f"# {line}".rstrip() for line in markdown.splitlines())
    return "# %% [markdown]\n" + "\n".join(lines) + "\n\n"


def notebook(entry):
    """Returns the text of the notebook of a recipe; the same recipe gives the same bytes."""
    made = jupytext.reads(percent(entry), fmt="py:percent")
    made.metadata = METADATA
    made.nbformat, made.nbformat_minor = 4, 5
    for number, cell in enumerate(made.cells):
        cell["id"] = f"{entry.name}-{number}"[:64]
        cell["metadata"] = {}
    return jupytext.writes(made, fmt="ipynb").rstrip("\n") + "\n"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    wanted = {f"{e.name}.ipynb": notebook(e) for e in catalog.entries()}
    FOLDER.mkdir(exist_ok=True)
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.ipynb")}
    stale = sorted(n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n))
    for name in stale:
        if args.check:
            print(f"notebooks/{name} differs from its recipe; run scripts/notebooks.py")
        elif name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    return int(args.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
