"""README's snippets run, its numbers come from result.json, and the docstring examples are true."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import kerasdnn

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ ", re.MULTILINE)
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(kerasdnn.__path__, "kerasdnn.")
    if not module.name.endswith("__main__")
    and ".backend." not in module.name
    and "._" not in module.name
    and not module.name.startswith("kerasdnn.testing.worker")
)


@pytest.mark.parametrize("code", SNIPPETS, ids=lambda code: code.strip().splitlines()[-1][:40])
def test_snippet_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some leave files
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_readme_shows_the_two_commands():
    assert "make run " in README
    assert "make test " in README


def test_numbers_are_filled_from_the_results():
    done = subprocess.run(
        [sys.executable, "scripts/fill_results.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_sees_a_changed_number(tmp_path, monkeypatch):
    sys.path.insert(0, str(ROOT / "scripts"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    fill = importlib.import_module("fill_results")
    monkeypatch.setattr(fill, "ROOT", tmp_path)
    monkeypatch.setattr(fill.catalog, "entries", list)
    for name in fill.READMES:
        written = f"a\n{fill.BEGIN}\n| x | 0.99 |\n{fill.END}\nb\n"
        (tmp_path / name).write_text(written, encoding="utf-8")
        assert fill.main(["--check"]) == 1
        assert fill.main([]) == 0
        assert fill.main(["--check"]) == 0
        assert "0.99" not in (tmp_path / name).read_text(encoding="utf-8")


def test_both_tables_have_the_same_numbers():
    tables = [text.split("<!-- results")[1].split("<!-- /results")[0] for text in (README, CHINESE)]
    rows = [[line.split(" | ") for line in table.splitlines()[3:]] for table in tables]
    assert len(rows[0]) == len(rows[1]) > 1
    for english, chinese in zip(*rows, strict=True):
        assert english[0] == chinese[0]
        assert english[4:] == chinese[4:]
        assert english[3].split(" (")[0] == chinese[3].split("（")[0]
    heads = [table.splitlines()[1] for table in tables]
    assert "recipe" in heads[0]
    assert "示例" in heads[1]


def test_the_readmes_say_the_same():
    assert re.findall(r"^```python\n(.*?)^```", CHINESE, re.DOTALL | re.MULTILINE) == SNIPPETS
    assert len(HEADING.findall(README)) == len(HEADING.findall(CHINESE))
    assert "(README.zh-CN.md)" in README[:200]
    assert "(README.md)" in CHINESE[:200]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    module = importlib.import_module(name)
    import keras

    names = {"np": np, "keras": keras, "kerasdnn": kerasdnn, "ops": keras.ops}
    failed, _ = doctest.testmod(
        module, extraglobs=names, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    assert failed == 0
