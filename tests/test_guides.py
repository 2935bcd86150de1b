"""The guides' Python blocks run, one after the other on a page; their commands exist."""

import re
from pathlib import Path

from kerasdnn import catalog

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
BLOCK = re.compile(r"^(<!-- illustration.*-->\n)?```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMANDS = {"list", "run", "show", "data", "export", "diagnose", "launch", "bench"}


def blocks(page, language):
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [code for mark, name, code in found if name == language and not mark]


@pytest.mark.parametrize("page", GUIDES, ids=lambda p: p.stem)
def test_blocks_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = blocks(page, "python")
    (tmp_path / "guide.py").write_text('"""Guide."""\n' + "\n".join(codes))  # a recipe has a file
    names = {"__name__": "guide", "__file__": str(tmp_path / "guide.py")}
    for code in codes:
        exec(compile(code, page.name, "exec"), names)


@pytest.mark.parametrize("page", GUIDES, ids=lambda p: p.stem)
def test_every_block_is_known_and_every_command_exists(page):
    assert {name for _, name, _ in BLOCK.findall(page.read_text())} <= {"python", "bash"}
    for line in "\n".join(blocks(page, "bash")).splitlines():
        words = re.sub(r"^(\w+=\S+ )+", "", line).split()
        if words[:1] != ["kerasdnn"]:
            continue
        assert words[1] in COMMANDS, line
        if words[1] in ("run", "show") and words[2] != "mine":
            catalog.find(words[2])


def test_there_are_guides():
    assert len(GUIDES) >= 7
