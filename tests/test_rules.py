"""Rules of the house that a grep can check."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "kerasdnn").rglob("*.py")) + sorted((ROOT / "recipes").rglob("*.py"))


def _places(pattern, allowed=()):
    found = []
    for path in FILES:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(tuple(allowed)):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(pattern, line):
                found.append(f"{name}:{number}: {line.strip()}")
    return found


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"keras\.src", ()),
        (r"^\s*(import|from) tensorflow\b", ("kerasdnn/backend/tensorflow.py", "kerasdnn/data/")),
        (r"^\s*(import|from) jax\b", ("kerasdnn/backend/jax.py",)),
        (r"^\s*(import|from) torch\b", ("kerasdnn/backend/torch.py",)),
        (r"import pickle|pickle\.(load|dump)|allow_pickle=True", ()),
        (r"(^|[^.\w])(eval|exec)\(", ()),
        (r"\bdef train_step\b", ()),
    ],
)
def test_forbidden(pattern, allowed):
    assert _places(pattern, allowed) == []


def test_the_check_sees_a_violation():
    assert re.search(r"(^|[^.\w])(eval|exec)\(", "x = eval(y)")
    assert not re.search(r"(^|[^.\w])(eval|exec)\(", "model.eval()")
    assert FILES
