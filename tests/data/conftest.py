"""No test of the data reads or writes the real cache, or waits for a network."""

from kerasdnn.data import fashion_mnist

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASDNN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("KERASDNN_OFFLINE", "1")
    return tmp_path / "home"


@pytest.fixture
def without_system(tmp_path, monkeypatch):
    """A machine without the Debian package of Fashion-MNIST."""
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path / "not installed")


@pytest.fixture
def system_folder():
    """The folder of the Debian package of Fashion-MNIST."""
    if not fashion_mnist.SYSTEM_FOLDER.is_dir():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    return fashion_mnist.SYSTEM_FOLDER
