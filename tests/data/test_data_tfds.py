"""Data sets of tensorflow-datasets, made, prepared and read by its own code."""

import os
import subprocess
import types

from kerasdnn.data import fetch, load, prepare
from kerasdnn.data.prepare import time_limit
from kerasdnn.errors import InputError

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytestmark = [
    # Inside tensorflow-datasets, TensorFlow and protobuf.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Protobuf gencode version:UserWarning"),
]


@pytest.fixture(scope="module")
def builders():
    """Registers builders, which tensorflow-datasets then finds by name."""
    import tensorflow_datasets as tfds

    class Tiny(tfds.core.GeneratorBasedBuilder):
        SKIP_REGISTERING = True
        VERSION = tfds.core.Version("1.0.0")
        parts = {"train": 12, "test": 6}
        keys = None

        def _info(self):
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(self.columns()), supervised_keys=self.keys
            )

        def _split_generators(self, manager):
            return {part: self._generate_examples(part, n) for part, n in self.parts.items()}

        def _generate_examples(self, part, count):
            for i in range(count):
                yield i, self.example(i, part)

        def columns(self):
            return {
                "image": tfds.features.Image(shape=(28, 28, 1)),
                "label": tfds.features.ClassLabel(names=["plain", "striped", "dotted"]),
            }

        def example(self, i, part):
            image = np.full((28, 28, 1), 10 * i + (5 if part == "test" else 0), np.uint8)
            return {"image": image, "label": i % 3}

    class KerasdnnClothes(Tiny):
        keys = ("image", "label")

    class KerasdnnSizes(Tiny):
        parts = {"train": 12}

        def columns(self):
            return super().columns() | {"image": tfds.features.Image(shape=(None, None, 4))}

        def example(self, i, part):
            image = np.full((20 + i % 2, 30, 4), 10 * i, np.uint8)
            return {"image": image, "label": i % 3}

    class KerasdnnReviews(Tiny):
        parts = {"train": 12, "test": 4, "validation": 6}

        def columns(self):
            return {
                "idx": tfds.features.Scalar(np.int32),
                "sentence": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["bad", "good"]),
            }

        def example(self, i, part):
            label = -1 if part == "test" else i % 2
            return {"idx": i, "sentence": f"评论 {part} {i}", "label": label}

    class KerasdnnNumbers(Tiny):
        def columns(self):
            return {
                "value": tfds.features.Scalar(np.float32),
                "label": tfds.features.Scalar(np.int64),
            }

        def example(self, i, part):
            return {"value": float(i), "label": i}

    class KerasdnnBroken(Tiny):
        def example(self, i, part):
            raise RuntimeError("the archive is damaged\nand more")

    made = (KerasdnnClothes, KerasdnnSizes, KerasdnnReviews, KerasdnnNumbers, KerasdnnBroken)
    for builder in made:
        builder.__module__ = "tensorflow_datasets.kerasdnn_tests"
        tfds.core.registered._DATASET_REGISTRY[builder.name] = builder
    yield {builder.name: builder for builder in made}
    for builder in made:
        del tfds.core.registered._DATASET_REGISTRY[builder.name]


@pytest.fixture
def in_process(builders, monkeypatch):
    """Runs the child's code in this process, where the builders of the tests are registered."""

    def run(command, *, timeout, **options):
        assert command[1:3] == ["-m", "kerasdnn.data.prepare"]
        assert timeout > 0
        prepare.main(*command[3:])

    monkeypatch.delenv("KERASDNN_OFFLINE")
    stand_in = types.SimpleNamespace(
        run=run, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired
    )
    monkeypatch.setattr(prepare, "subprocess", stand_in)


def test_images_are_prepared_once_and_read(in_process, tmp_path, monkeypatch):
    data = load("tfds:kerasdnn_clothes")
    assert data.x_train.shape == (12, 28, 28, 1)
    assert data.x_test.shape == (6, 28, 28, 1)
    assert (data.x_train.dtype, data.y_train.dtype) == (np.uint8, np.int32)
    assert data.class_names == ("plain", "striped", "dotted")
    assert data.source == "tensorflow-datasets, kerasdnn_clothes/1.0.0"
    assert (data.name, data.task, data.notes) == ("tfds:kerasdnn_clothes", "image", ())
    assert sorted(data.x_train[:, 0, 0, 0].tolist()) == [10 * i for i in range(12)]
    assert all(y == x[0, 0, 0] // 10 % 3 for x, y in zip(data.x_train, data.y_train))
    # What the preparation needed on the way is gone.
    assert os.listdir(tmp_path / "tfds") == ["kerasdnn_clothes"]
    monkeypatch.setattr(prepare, "main", None)  # the second time nothing is prepared
    again = load("tfds:kerasdnn_clothes:1.0.0", limit=6)
    assert again.notes == ("subset: 6 of 12 training images (limit=6, seed 0)",)
    assert fetch("tfds:kerasdnn_clothes")[0].endswith("tfds/kerasdnn_clothes/1.0.0")


def test_images_of_several_sizes_without_a_test_part(in_process):
    data = load("tfds:kerasdnn_sizes", image_size=(10, 15))
    assert data.x_train.shape == (9, 10, 15, 3)
    assert data.x_test.shape == (3, 10, 15, 3)
    assert sorted(data.y_test.tolist()) == [0, 1, 2]
    assert data.notes[0].startswith("split: tfds:kerasdnn_sizes has no labelled test part, so 3 of")
    assert data.notes[1:] == (
        "resized: 12 of 12 images to 10 x 15 pixels",
        "12 images lost their transparency channel",
    )
    first = load("tfds:kerasdnn_sizes")
    assert first.x_train.shape[2:] == (30, 3)
    assert "resized: 6 of 12 images" in first.notes[1]


def test_texts_with_an_unlabelled_test_part(in_process):
    data = load("tfds:kerasdnn_reviews")
    assert data.task == "text"
    assert sorted(data.x_train)[0] == "评论 train 0"
    assert all(text.startswith("评论 validation") for text in data.x_test)
    assert data.notes == ("the split test has no labels and is not used",)
    assert all(int(text.split()[2]) % 2 == y for text, y in zip(data.x_train, data.y_train))


def test_data_of_another_kind_are_refused(in_process):
    with pytest.raises(InputError, match=r"one image or one text.*value \(Scalar\).*Choose"):
        load("tfds:kerasdnn_numbers")


def test_a_preparation_that_fails_leaves_nothing(in_process, tmp_path):
    with pytest.raises(
        InputError, match=r"it did not \(RuntimeError: .*damaged.*\)\. Try"
    ) as caught:
        load("tfds:kerasdnn_broken")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tfds").exists()


def test_arrays_can_be_kept_in_place_of_the_prepared_data(in_process, tmp_path):
    path = tmp_path / "home" / "clothes.npz"
    prepare.prepare("kerasdnn_clothes", tmp_path / "tfds", seconds=60, arrays=path)
    with np.load(path) as arrays:
        assert arrays["x_train"].shape == (12, 28, 28, 1)
    assert os.listdir(path.parent) == ["clothes.npz"]
    assert not (tmp_path / "tfds").exists()


def test_a_preparation_that_takes_too_long_is_ended(tmp_path):
    with pytest.raises(InputError, match=r"mnist; it did not \(it took longer than 0 s\)\. Try"):
        prepare.prepare("mnist", tmp_path / "tfds", seconds=0.001, quiet=True)
    assert not (tmp_path / "tfds").exists()


def test_the_process_reports_in_one_sentence(tmp_path):
    # The real child, which finds this package and gives up on a name that does not exist.
    with pytest.raises(InputError, match=r"no_such_thing; it did not \(InputError: The name after"):
        prepare.prepare("no_such_thing", tmp_path / "tfds", seconds=250, quiet=True)
    assert not (tmp_path / "tfds").exists()


def test_a_process_that_dies_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare.sys, "executable", "/bin/false")
    with pytest.raises(InputError, match="its process ended without a report"):
        prepare.prepare("mnist", tmp_path / "tfds", seconds=60)
    assert not (tmp_path / "tfds").exists()


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"can be written to; it is not .*Set KERASDNN_HOME"):
        prepare.prepare("mnist", tmp_path / "file" / "tfds", seconds=60)


@pytest.mark.parametrize("function", [load, fetch])
@pytest.mark.parametrize("name", ["tfds:mnist", "imdb_reviews"])
def test_no_network_is_one_sentence_and_leaves_nothing(name, function, tmp_path):
    with pytest.raises(InputError, match=r"has to be downloaded .*; KERASDNN_OFFLINE.*data list$"):
        function(name)
    assert not (tmp_path / "tfds").exists()


def test_a_close_name_is_suggested():
    with pytest.raises(InputError, match=r"it has no 'mnis'\. Did you mean tfds:mnist or"):
        load("tfds:mnis")


@pytest.mark.parametrize("name", ["", "../mnist", "huggingface:mnist", "MNIST", "a b", "mnist:x"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(InputError, match=rf"named like tfds:mnist.*'tfds:{name}'\. Correct"):
        load(f"tfds:{name}")


@pytest.mark.parametrize("name", ["mnist:9.9.9", "glue/zzz"])
def test_an_unknown_version_or_configuration_is_told(name):
    with pytest.raises(
        InputError, match=rf"version of '{name}'; it answers: .*\. Correct the name"
    ):
        load(f"tfds:{name}")


def test_without_tensorflow_the_packages_are_named(monkeypatch):
    from kerasdnn.data import tfds

    monkeypatch.setattr(tfds.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"tensorflow is not installed\. Run: pip install"):
        load("tfds:mnist")


@pytest.mark.parametrize("chosen", ["soon", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none_is_refused(chosen, monkeypatch):
    assert time_limit(7) == 7
    monkeypatch.setenv("KERASDNN_DOWNLOAD_SECONDS", chosen)
    with pytest.raises(InputError, match=rf"positive number of seconds; it is '{chosen}'"):
        time_limit(7)
