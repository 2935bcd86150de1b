"""The notebooks are made from the recipes and run from top to bottom."""

import ast
import importlib
import json
from pathlib import Path

from kerasdnn import catalog

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("jupytext", reason="`make docs` runs this")


@pytest.fixture
def maker(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("notebooks")


def test_every_notebook_is_what_its_recipe_makes(maker, capsys):
    assert maker.main(["--check"]) == 0, capsys.readouterr().out


def test_the_check_sees_an_edit_and_a_stray_file(maker, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(maker, "FOLDER", tmp_path)
    assert maker.main([]) == 0
    edited = tmp_path / "mlp.ipynb"
    edited.write_text(edited.read_text().replace("EPOCHS = 15", "EPOCHS = 16"))
    (tmp_path / "stray.ipynb").write_text("{}")
    assert maker.main(["--check"]) == 1
    assert capsys.readouterr().out.count("differs") == 2
    maker.main([])
    assert maker.main(["--check"]) == 0


def test_all_code_of_the_recipe_is_there_and_nothing_ends_the_kernel(maker):
    entry = catalog.find("cnn_augmentation")
    cells = json.loads(maker.notebook(entry))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    defined = {n.name for n in ast.parse(code).body if hasattr(n, "name")}
    whole = ast.parse(entry.path.read_text())
    assert defined == {n.name for n in whole.body if hasattr(n, "name")}
    assert "sys.exit" not in code
    assert code.splitlines()[-1].startswith('main(["--quick"])')


@pytest.mark.slow
@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda e: e.name)
def test_runs_from_top_to_bottom(entry, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    book = nbformat.read(ROOT / "notebooks" / f"{entry.name}.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        book, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises where a cell does
    outputs = book.cells[-1].outputs  # a table is also one
    answers = [o["data"]["text/plain"] for o in outputs if o["output_type"] == "execute_result"]
    assert answers == ["0"]
    assert list(tmp_path.glob(f"runs/{entry.name}/*/result.json"))
