"""The files of a run: atomic, exact, and refused clearly where they cannot be written."""

import json

from kerasdnn import results
from kerasdnn.errors import InputError

import numpy as np
import pytest


def test_row_summary_is_mean_and_sample_deviation():
    row = results.Row("a", values=[0.5, 0.7], minutes=[1.0, 3.0], columns=[{"k": 2}, {"k": 4}])
    expected = {"name": "a", "value": 0.6, "std": 0.141421, "n": 2, "minutes": 2.0, "k": 3.0}
    assert row.summary() == expected


def test_one_value_has_no_deviation():
    assert results.Row("a", values=[0.5], minutes=[1.0]).summary()["std"] is None


def test_json_has_null_for_numbers_that_json_lacks(tmp_path):
    results.write_json(
        tmp_path / "a.json", {"x": float("nan"), "y": [np.float32(0.5), float("inf")]}
    )
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": None, "y": [0.5, None]}


def test_failed_write_keeps_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    results.write_json(path, {"old": 1})

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results.os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        results.write_json(path, {"new": 2})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_history_has_one_line_an_epoch_and_empty_cells_for_missing_values(tmp_path):
    results.write_history(
        tmp_path / "h.csv",
        {("a", 0): {"loss": [2.0, 1.0]}, ("b", 1): {"loss": [3.0], "acc": [0.5]}},
    )
    lines = (tmp_path / "h.csv").read_text().splitlines()
    assert lines == ["row,seed,epoch,loss,acc", "a,0,1,2.0,", "a,0,2,1.0,", "b,1,1,3.0,0.5"]


def test_the_newest_folder_comes_last_when_the_clock_goes_backwards(tmp_path):
    stamps = ["20260101-000000", "20250101-000000", *["20240101-000000"] * 10, "20260101-000001"]
    made = [results.new_folder(tmp_path, "r", stamp) for stamp in stamps]
    (tmp_path / "r" / "notes").mkdir()
    assert [folder.name for folder in made[1:3]] == ["20260101-000000-1", "20260101-000000-2"]
    assert results.run_folders(tmp_path / "r") == made
    assert results.run_folders(tmp_path / "none") == []


def test_new_folder_never_reuses_one(tmp_path):
    first = results.new_folder(tmp_path, "r", "20260101-000000")
    second = results.new_folder(tmp_path, "r", "20260101-000000")
    assert first != second
    assert second.name == "20260101-000000-1"


def test_out_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match="--out expects a folder that can be written to"):
        results.new_folder(tmp_path / "f", "r", "t")


def _result(**changes):
    base = {
        "recipe": "r",
        "metric": "m",
        "value": 0.91234,
        "std": None,
        "values": [0.91234],
        "control": 0.9,
        "target": {"value": 0.939, "source": "s"},
        "gate": 0.9,
        "data": {"name": "d"},
        "minutes": 1.26,
        "passed": True,
    }
    return {**base, **changes}


def test_result_line():
    assert results.result_line(_result()) == (
        "RESULT recipe=r metric=m value=0.9123 std=- n=1 control=0.9000 target=0.9390 gate=0.9000 "
        "data=d minutes=1.3 PASS"
    )


@pytest.mark.parametrize(("passed", "word"), [(True, "PASS"), (False, "FAIL"), (None, "DONE")])
def test_verdict(passed, word):
    assert results.result_line(_result(passed=passed)).endswith(word)
