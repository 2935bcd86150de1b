import doctest
import importlib
import subprocess
import sys
from pathlib import Path

from kerasdnn import data
from kerasdnn.errors import InputError

import pytest

ROOT = Path(__file__).parents[2]


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from kerasdnn import data; data.available(); data.describe();"
        "heavy = {'keras', 'tensorflow', 'numpy', 'sklearn', 'PIL'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_list_names_every_set_and_every_form():
    names = [row["name"] for row in data.describe()]
    assert names[: len(data.available())] == list(data.available())
    assert names[-3:] == ["tfds:<name>", "a folder", "a CSV file"]
    assert len({tuple(row) for row in data.describe()}) == 1


@pytest.mark.parametrize("name", ["digits", "cmudict", "chinese_reviews"])
def test_the_sizes_of_the_list_are_those_of_the_data(name):
    row = next(row for row in data.describe() if row["name"] == name)
    loaded = data.load(name)
    assert row["size"].startswith(f"{len(loaded.x_train):,} + {len(loaded.x_test):,}")
    assert row["task"] == loaded.task
    assert loaded.license.startswith(row["license"])
    assert loaded.name == name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fashion_mnst", r"Did you mean fashion_mnist"),
        ("digit", r"Did you mean digits\?"),
        ("tfds", r"Did you mean tfds:<name>"),
        ("zzz", r"See: kerasdnn data list"),
    ],
)
@pytest.mark.parametrize("function", ["load", "fetch"])
def test_an_unknown_name_is_answered_with_a_close_one(name, hint, function):
    with pytest.raises(InputError, match=rf"one of fashion_mnist, .*'{name}'\. {hint}"):
        getattr(data, function)(name)


@pytest.mark.parametrize("path", ["./clothes", "my/clothes", "texts.csv", "~/nothing/here"])
def test_a_missing_path_is_told_from_an_unknown_name(path):
    with pytest.raises(InputError, match=r"nothing is there\. Correct the path"):
        data.load(path)


def test_a_path_object_is_a_path(tmp_path):
    with pytest.raises(InputError, match="nothing is there"):
        data.load(tmp_path / "digits")


@pytest.mark.parametrize("name", ["notes.txt", "archive"])
def test_a_file_of_another_kind_is_refused(tmp_path, name):
    (tmp_path / name).write_text("text")
    with pytest.raises(InputError, match=r"a folder of images or a file that ends in \.csv"):
        data.load(tmp_path / name)


@pytest.mark.parametrize("name", [None, 3, "a\0b", ""])
def test_what_is_neither_name_nor_path_is_refused(name):
    with pytest.raises(InputError):
        data.load(name)


@pytest.mark.parametrize("limit", [0, -5, 2.5, True, "many"])
def test_a_limit_that_is_no_count_is_refused(limit):
    with pytest.raises(InputError, match="limit should be a positive whole number"):
        data.load("digits", limit=limit)


def test_images_are_resized_on_demand():
    loaded = data.load("digits", limit=50, image_size=(16, 12))
    assert loaded.x_train.shape == (50, 16, 12, 1)
    assert loaded.x_train.dtype.name == "uint8"
    assert "resized: 8 x 8 pixels to 16 x 12" in loaded.notes
    plain = data.load("digits", limit=50)
    # Resizing keeps what is bright bright.
    assert abs(loaded.x_train.mean() - plain.x_train.mean()) < 5


def test_an_image_size_for_other_data_is_refused():
    with pytest.raises(
        InputError, match="needs a data set of images; chinese_reviews holds 'text'"
    ):
        data.load("chinese_reviews", image_size=(8, 8))


@pytest.mark.parametrize("size", [28, (28,), (0, 5), (5000, 5), "28"])
def test_an_impossible_image_size_is_refused(size):
    with pytest.raises(InputError, match=r"image_size should be \(height, width\)"):
        data.load("digits", image_size=size)


def test_too_many_pixels_are_refused_before_they_are_made():
    with pytest.raises(InputError, match=r"kept in memory, 4 GiB at most; 1,797 images"):
        data.load("digits", image_size=(4096, 4096))


@pytest.mark.parametrize("module", ["base", "catalog", "cmudict", "splits"])
def test_the_examples_of_the_documentation(module):
    result = doctest.testmod(importlib.import_module(f"kerasdnn.data.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
