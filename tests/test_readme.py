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


@pytest.mark.parametrize("text", [README, CHINESE], ids=["en", "zh"])
def test_the_first_screen_has_the_picture_and_the_two_commands(text):
    screen = "\n".join(text.splitlines()[:20])
    picture = re.search(r"^!\[.+\]\((\S+)\)$", screen, re.MULTILINE)[1]
    assert (ROOT / picture).is_file()
    assert "\nmake run " in screen
    assert "\nmake test " in screen


@pytest.mark.parametrize("text", [README, CHINESE], ids=["en", "zh"])
def test_links_of_the_readme_lead_somewhere(text):
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    assert len(targets) > 20
    assert [t for t in targets if "://" not in t and not (ROOT / t).exists()] == []


def test_snippets_are_short_and_citation_is_of_this_version():
    assert max(len([line for line in code.splitlines() if line]) for code in SNIPPETS) <= 15
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {kerasdnn.__version__}\n" in citation


def test_the_picture_follows_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    svg = importlib.import_module("picture").svg
    result = {"recipe": "a<b", "metric": "test_accuracy", "value": 0.75, "control": 0.5}
    other = {**result, "recipe": "worse", "value": 0.25, "target": {"value": 0.9}}
    drawn = svg([{**result, "target": None}, other, {**other, "metric": "psnr_db"}])
    places = [float(x) for x in re.findall(r'<circle cx="([\d.]+)" cy="50"', drawn)]
    (control, got), (control_2, got_2) = places[:2], places[2:]
    assert control < got  # the gain is to the right, the loss to the left
    assert got_2 < control_2
    assert "a&lt;b" in drawn
    assert drawn.count("#c62828") == 2  # the legend and the one published figure
    assert "psnr" not in drawn


def test_the_blocks_count_what_is_in_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    blocks = importlib.import_module("readme_blocks")
    machine = {"cpu": "C", "cores": 2, "accelerator": None}
    result = {"minutes": 3.0, "value": 0.5, "machine": machine, "rows": []}
    slow = {**result, "minutes": 7.0}
    text = blocks.cpu([("quick", result), ("slow", slow), ("quick too", result)], "en")
    assert "the 3 results" in text
    assert "half took 3.0 minutes" in text
    assert "`slow`, 7.0" in text
    assert blocks.gpu([("quick", result)], "en").startswith("Not measured")
    fast = {**result, "minutes": 0.1, "machine": {**machine, "accelerator": "G100"}}
    assert "| fast | G100 | 0.5000 | 0.1 |" in blocks.gpu([("quick", result), ("fast", fast)], "en")
    assert "the 3 results" in blocks.cpu(
        [("quick", result), ("slow", slow), ("quick too", result), ("fast", fast)], "en"
    )


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
