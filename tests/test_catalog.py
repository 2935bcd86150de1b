"""The catalog reads the recipes without importing Keras."""

import subprocess
import sys

from kerasdnn import catalog
from kerasdnn.errors import InputError

import pytest

FIELDS = {"Shows", "Concept", "Paper", "Data", "Expect", "Target", "Run", "Change"}
ENTRIES = catalog.entries()


def test_header_fields_may_run_over_lines():
    title, fields = catalog.parse_header(
        "Title.\n\nShows     one\n          two\nPaper     X (2001)\n"
    )
    assert title == "Title."
    assert fields == {"Shows": "one two", "Paper": "X (2001)"}


@pytest.mark.parametrize(
    "name", ["cnn_augmentation", "vision/cnn_augmentation", "vision/cnn_augmentation.py"]
)
def test_find_takes_a_name_with_or_without_topic(name):
    assert catalog.find(name).path.name == "cnn_augmentation.py"


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'cnn_augmentation'"):
        catalog.find("cnn_augmentaton")


def test_wrong_topic_is_not_found():
    with pytest.raises(InputError, match="no recipe 'text/cnn_augmentation'"):
        catalog.find("text/cnn_augmentation")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_every_recipe_has_the_fields_and_a_readable_length(entry):
    assert set(entry.fields) >= FIELDS
    assert 60 <= len(entry.path.read_text().splitlines()) <= 250


def test_names_are_unique():
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "show mlp",
        "data list",
        "--help",
        "run --help",
        "run mlp --help",
        "show --help",
        "data --help",
    ],
)
def test_commands_that_must_not_import_keras(command):
    code = (
        "import sys; from kerasdnn.cli import main\n"
        f"try: code = main({command.split()!r})\n"
        "except SystemExit as stop: code = stop.code\n"
        "loaded = {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)\n"
        "sys.exit(f'{code} {loaded}' if code or loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_import_is_lazy():
    code = (
        "import sys, kerasdnn; sys.exit(bool({'keras', 'numpy', 'tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
