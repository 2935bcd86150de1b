import lzma
import os

from kerasdnn.data import fashion_mnist, load, prepare
from kerasdnn.data.cache import write_arrays
from kerasdnn.errors import InputError

import numpy as np
import pytest


def test_the_bundled_part_is_stratified(without_system):
    data = load("fashion_mnist_bundled")
    assert data.x_train.shape == (10_000, 28, 28, 1)
    assert data.x_test.shape == (2_000, 28, 28, 1)
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int32
    assert np.bincount(data.y_train).tolist() == [1_000] * 10
    assert np.bincount(data.y_test).tolist() == [200] * 10
    assert data.notes[0].startswith("subset: the bundled 10,000 of 60,000 training")


def test_without_any_other_source_the_bundled_part_is_used_and_said(without_system, own_home):
    data = load("fashion_mnist")
    assert data.name == "fashion_mnist_bundled"
    assert data.source == "bundled with kerasdnn"
    order, subset, advice = data.notes
    assert order.startswith("sources in order: cache (nothing at ")
    assert order.index("Debian package (dataset-fashion-mnist is not installed)") < order.index(
        "tensorflow-datasets (KERASDNN_OFFLINE forbids downloads); bundled (used)"
    )
    assert subset.startswith("subset:")
    assert "kerasdnn data fetch fashion_mnist" in advice
    assert not own_home.exists()


def test_the_debian_package_has_all_images_and_contains_the_bundled_ones(system_folder):
    data = load("fashion_mnist")
    assert data.x_train.shape == (60_000, 28, 28, 1)
    assert data.source == str(system_folder)
    assert data.name == "fashion_mnist"
    assert data.notes[0].endswith("; Debian package (used)")
    assert "subset" not in " ".join(data.notes)
    bundled = load("fashion_mnist_bundled")
    for whole, part in ((data.x_train, bundled.x_train), (data.x_test, bundled.x_test)):
        assert {image.tobytes() for image in part} <= {image.tobytes() for image in whole}
    assert data.y_train.dtype == np.int32


def test_the_cache_comes_first_and_fetch_knows_it(system_folder):
    original = fashion_mnist.load()
    path = fashion_mnist.cache_file()
    path.parent.mkdir()
    # In the reverse order: what is checked is the set of images, not their order.
    arrays = {name: getattr(original, name)[::-1] for name in fashion_mnist.ARRAYS}
    with open(path, "wb") as file:
        np.savez(file, **arrays)
    data = load("fashion_mnist")
    assert data.source == str(path)
    assert data.notes == ("sources in order: cache (used)",)
    assert np.array_equal(data.x_test, original.x_test[::-1])
    assert fashion_mnist.fetch() == [f"fashion_mnist: 60,000 + 10,000 images, from {path}"]


def test_one_changed_pixel_is_noticed(system_folder):
    data = fashion_mnist.load()
    parts = [getattr(data, name) for name in fashion_mnist.ARRAYS]
    parts[2] = parts[2].copy()
    parts[2][7, 3, 3, 0] ^= 1
    with pytest.raises(InputError, match=r"checksum differs\. Remedy\."):
        fashion_mnist._checked(parts, "here", "Remedy.")


@pytest.mark.parametrize("damage", ["truncated", "wrong arrays", "wrong images", "text"])
def test_a_damaged_cache_says_what_to_delete(damage):
    path = fashion_mnist.cache_file()
    names = fashion_mnist.ARRAYS
    if damage == "wrong images":
        write_arrays(path, **{name: np.zeros((3, 2), np.uint8) for name in names})
    elif damage == "wrong arrays":
        write_arrays(path, other=np.zeros(2))
    else:
        write_arrays(path, **{name: np.arange(500) for name in names})
        content = path.read_bytes()
        path.write_bytes(b"text" if damage == "text" else content[: len(content) // 2])
    with pytest.raises(InputError, match=rf"should hold.*Delete it and run again: rm '{path}'$"):
        load("fashion_mnist")


def test_a_damaged_debian_file_says_what_to_reinstall(tmp_path, monkeypatch):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b broken")
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"train-images.*Reinstall the package dataset-fashion"):
        load("fashion_mnist")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_bundled_file_is_one_sentence(tmp_path, monkeypatch, damage):
    path = tmp_path / "bundled.npz.xz"
    if damage != "missing":
        content = bytearray(fashion_mnist.BUNDLED.read_bytes())
        content[1_000_000] ^= damage == "flipped"
        path.write_bytes(content[:2_000_000] if damage == "truncated" else content)
    monkeypatch.setattr(fashion_mnist, "BUNDLED", path)
    with pytest.raises(InputError, match=r"should hold 12,000 images.*Install kerasdnn again"):
        load("fashion_mnist_bundled")


def test_other_bundled_images_are_noticed(tmp_path, monkeypatch):
    npz, path = tmp_path / "x.npz", tmp_path / "x.npz.xz"
    np.savez(npz, **{name: np.zeros(3, np.uint8) for name in fashion_mnist.ARRAYS})
    path.write_bytes(lzma.compress(npz.read_bytes()))
    monkeypatch.setattr(fashion_mnist, "BUNDLED", path)
    with pytest.raises(InputError, match="checksum differs"):
        load("fashion_mnist_bundled")


def test_fetch_without_a_network_says_what_else_there_is(without_system, own_home):
    with pytest.raises(InputError, match=r"has to be downloaded; KERASDNN_OFFLINE.*dataset-fash"):
        fashion_mnist.fetch()
    assert not own_home.exists()


@pytest.fixture
def download(without_system, monkeypatch):
    """Lets the download write what a test gives it."""
    monkeypatch.setattr(fashion_mnist, "unreachable", lambda urls: None)

    def install(write):
        monkeypatch.setattr(
            prepare, "prepare", lambda name, folder, *, seconds, arrays, quiet: write(arrays)
        )

    return install


def test_a_download_goes_into_the_cache_once_it_is_checked(download, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "_checked", lambda parts, where, remedy: tuple(parts))
    download(lambda path: write_arrays(path, **dict.fromkeys(fashion_mnist.ARRAYS, np.arange(4))))
    data = load("fashion_mnist")
    path = fashion_mnist.cache_file()
    assert data.source == str(path)
    assert "tensorflow-datasets (used)" in data.notes[0]
    assert os.listdir(path.parent) == ["fashion_mnist.npz"]


def test_a_wrong_download_is_thrown_away(download, own_home):
    download(lambda path: write_arrays(path, **dict.fromkeys(fashion_mnist.ARRAYS, np.ones(3))))
    data = load("fashion_mnist")
    assert data.name == "fashion_mnist_bundled"
    assert "the download should hold 60,000 + 10,000 images" in data.notes[0]
    assert os.listdir(own_home) == []


def test_a_failed_download_is_told(download, own_home):
    def fail(path):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
        raise InputError("it took longer than 120 s. Try again.")

    download(fail)
    assert (
        "tensorflow-datasets (it took longer than 120 s); bundled" in load("fashion_mnist").notes[0]
    )
    assert os.listdir(own_home) == []
