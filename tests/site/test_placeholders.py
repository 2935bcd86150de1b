"""The numbers of the pages: from the committed results, or visibly missing."""

import importlib
import json
from pathlib import Path

from kerasdnn import catalog
from kerasdnn.errors import InputError

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def placeholders(tmp_path, monkeypatch):
    """The module, with one committed result and one recipe without."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "site"))
    content = {
        "recipe": "mlp",
        "value": 0.91234,
        "std": 0.00123,
        "values": [0.9, 0.92],
        "control": 0.85,
        "target": {"value": 0.8833, "source": "s"},
        "minutes": 1.26,
        "data": {"name": "d", "n_train": 60000, "n_test": 10000},
        "rows": [{"name": "a, b: c", "value": 0.5, "std": None, "n": 3}],
    }
    (tmp_path / "mlp").mkdir()
    (tmp_path / "mlp" / "result.json").write_text(json.dumps(content))
    content["std"], content["values"] = None, [0.7]
    (tmp_path / "mlp" / "result-bundled.json").write_text(json.dumps({**content, "value": 0.7}))
    monkeypatch.setattr(catalog, "results_folder", lambda: tmp_path)
    return importlib.import_module("placeholders")


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ('"mlp"', "0.9123 ± 0.0012 (2 seeds)"),
        ('"mlp:bundled"', "0.7000 (1 seed)"),
        ('"mlp", "control"', "0.8500"),
        ('"mlp", "target"', "0.8833"),
        ('"mlp", "gain"', "+0.0623"),
        ('"mlp", "minutes"', "1.3"),
        ('"mlp", "data"', "d, 60,000 / 10,000"),
        ('"mlp", "row:a, b: c:value"', "0.5000"),
        ('"mlp", "row:a, b: c:std"', "–"),
        ('"mlp", "row:a, b: c:n"', "3"),
        ('"resnet", "row:any:value"', '<span class="pending">not measured yet</span>'),
    ],
)
def test_a_placeholder_becomes_the_number(placeholders, inside, text):
    assert placeholders.fill(f"x {{{{ result({inside}) }}}} y") == f"x {text} y"


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ('"mlp"', "0.9123 ± 0.0012（2 次）"),
        ('"mlp:bundled"', "0.7000（1 次）"),
        ('"resnet"', '<span class="pending">尚未测量</span>'),
    ],
)
def test_a_chinese_page_is_all_chinese(placeholders, inside, text):
    assert placeholders.fill(f"{{{{ result({inside}) }}}}", language="zh") == text


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ('"mlpp"', "no recipe 'mlpp'"),
        ('"mlp", "row:x:value"', "no row 'x'; it has a, b: c"),
        ('"mlp", "row:a, b: c:x"', "no column 'x'"),
        ('"mlp", "best"', "no 'best'"),
        ("mlp", "A placeholder reads"),
    ],
)
def test_what_does_not_exist_is_an_error(placeholders, inside, message):
    with pytest.raises(InputError, match=message):
        placeholders.fill(f"{{{{ result({inside}) }}}}")
