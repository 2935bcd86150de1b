"""Concept pages and clinic: both languages, placeholders that name results, code that runs."""

import re
import runpy
from pathlib import Path

from kerasdnn import catalog

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
CONCEPTS = runpy.run_path(str(DOCS.parent / "scripts/site/home.py"))["CONCEPTS"]  # of the menu
PAGES = [f"concepts/{name}" for name in CONCEPTS] + ["clinic"]
ALL = [*PAGES, "concepts/index"]
FILES = [f"{page}{suffix}" for page in ALL for suffix in (".md", ".zh.md")]
ENTRIES = {entry.name: entry for entry in catalog.entries()}

FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PLACEHOLDER = re.compile(r'\{\{ result\("([^"]+)"(?:, "([^"]+)")?\) \}\}')
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
RECIPES = re.compile(r"^recipes: \[(.*)\]$", re.MULTILINE)
MEASURED = re.compile(
    r"(?<![\d.])\d{0,2}\.\d{3,}|\d\.\d+ ?%"
)  # written by hand it will go out of date
FINDING = re.compile(r"`((?:act|arch|data|fit|grad|init|loss|lr|metric|output|reg)\.\w+)`")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def text_of(file):
    return (DOCS / file).read_text(encoding="utf-8")


def prose(text):
    """Returns a page without its code and its placeholders."""
    return PLACEHOLDER.sub("", FENCE.sub("", text))


def problem_of(name, key):
    """Returns what is wrong with a placeholder, or None; what is not measured yet is not wrong."""
    if name not in ENTRIES:
        return f"there is no recipe {name!r}"
    result = ENTRIES[name].result()
    if result is None or key is None:
        return None
    if not key.startswith("row:"):
        return None if result.get(key) is not None else f"{name} has no {key}"
    row, _, column = key.removeprefix("row:").rpartition(":")
    rows = {cells["name"]: cells for cells in result["rows"]}
    if row not in rows:
        return f"{name} has no row {row!r}, but {sorted(rows)}"
    return None if column in rows[row] else f"row {row!r} of {name} has no column {column!r}"


def test_every_recipe_has_its_concept_page():
    named = set()
    for page in PAGES:
        named |= set(RECIPES.search(text_of(f"{page}.md"))[1].split(", "))
    assert named == set(ENTRIES)


def test_there_is_no_page_that_the_catalog_does_not_know():
    found = {path.name for path in (DOCS / "concepts").glob("*.md")}
    assert found == {file.split("/")[1] for file in FILES if "/" in file}


@pytest.mark.parametrize("file", FILES)
def test_placeholders_name_results(file):
    text = text_of(file)
    found = PLACEHOLDER.findall(text)
    assert len(found) == text.count("{{") == text.count("}}")
    assert found
    problems = [problem_of(name, key or None) for name, key in found]
    assert not [problem for problem in problems if problem]


def test_a_placeholder_of_nothing_is_seen():
    assert "no recipe" in problem_of("nothing", None)
    assert "no row" in problem_of("mlp", "row:cubic:value")
    assert "no column" in problem_of("mlp", "row:linear:weight")
    assert "no speed" in problem_of("mlp", "speed")
    assert problem_of("mlp", "row:linear:value") is None


@pytest.mark.parametrize("file", FILES)
def test_no_measured_number_is_written_by_hand(file):
    assert MEASURED.findall(prose(text_of(file))) == []


@pytest.mark.parametrize("file", FILES)
def test_links_lead_somewhere(file):
    for target in LINK.findall(FENCE.sub("", text_of(file))):
        path = (DOCS / file).parent / target
        if path.parent.name == "recipes":  # made when the site is built
            assert path.stem.removesuffix(".zh") in ENTRIES, target
        else:
            assert path.is_file(), target


@pytest.mark.parametrize("page", ALL)
def test_the_languages_say_the_same(page):
    english, chinese = text_of(f"{page}.md"), text_of(f"{page}.zh.md")
    assert SNIPPET.findall(english) == SNIPPET.findall(chinese)
    assert PLACEHOLDER.findall(english) == PLACEHOLDER.findall(chinese)
    assert RECIPES.findall(english) == RECIPES.findall(chinese)
    assert set(FINDING.findall(english)) == set(FINDING.findall(chinese))
    assert len(CHINESE.findall(chinese)) > 200
    for target in LINK.findall(
        chinese
    ):  # a Chinese page leads to Chinese ones, where there are any
        own = target == f"{page.split('/')[-1]}.md"
        path = (DOCS / page).parent / target
        assert own or target.endswith(".zh.md") or not path.with_suffix(".zh.md").is_file(), target


def test_the_findings_of_the_clinic_are_the_doctors():
    rules = Path(catalog.__file__).parent / "diagnosis" / "rules"
    known = {
        name
        for path in rules.glob("*.py")
        for name in re.findall(r'"(\w+\.\w+)"', path.read_text(encoding="utf-8"))
    }
    for page in PAGES:
        assert set(FINDING.findall(text_of(f"{page}.md"))) <= known


@pytest.mark.parametrize("page", PAGES)
def test_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some leave files
    snippets = SNIPPET.findall(text_of(f"{page}.md"))
    assert snippets
    for code in snippets:
        exec(compile(code, f"{page}.md", "exec"), {"__name__": page})
