import os
import stat

from kerasdnn.data import cache
from kerasdnn.errors import InputError

import numpy as np
import pytest


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file"
    with cache.whole_file(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert os.listdir(path.parent) == ["file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted():
        with cache.whole_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"can be written to.*Set KERASDNN_HOME"):
        cache.write_arrays(tmp_path / "file" / "x.npz", x=np.zeros(2))


def test_arrays_come_back(tmp_path):
    cache.write_arrays(tmp_path / "x.npz", x=np.arange(3), y=np.ones((2, 2)))
    with open(tmp_path / "x.npz", "rb") as file:
        x, y = cache.read_arrays(file, ("x", "y"))
    assert x.tolist() == [0, 1, 2]
    assert y.shape == (2, 2)


def test_a_pickle_is_not_opened(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([object()], dtype=object))
    with open(tmp_path / "x.npz", "rb") as file, pytest.raises(ValueError, match="allow_pickle"):
        cache.read_arrays(file, ("x",))


def test_home_follows_the_environment(tmp_path, monkeypatch):
    assert cache.home() == tmp_path / "home"
    monkeypatch.delenv("KERASDNN_HOME")
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(cache.home()) == "/somewhere/.cache/kerasdnn"


def test_digests_see_values_shapes_and_types():
    x = np.arange(6, dtype=np.uint8)
    variants = [x, x.reshape(2, 3), x.astype(np.int32), x[::-1]]
    assert len({cache.digest_of_arrays(variant) for variant in variants}) == 4


def test_the_digest_of_samples_ignores_order_but_not_labels():
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    labels = np.array([0, 1, 2])
    same = cache.digest_of_samples(images[::-1], labels[::-1])
    assert cache.digest_of_samples(images, labels) == same
    assert cache.digest_of_samples(images, labels[::-1]) != same
