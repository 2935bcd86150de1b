"""The built wheel is complete: list, show and a shown recipe work in an empty folder."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

from kerasdnn.publish import MODEL_LIMIT

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A fresh environment with the wheel in it; the dependencies are taken from this one."""
    pytest.importorskip("hatchling")
    base = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
    ]
    subprocess.run([*command, "--no-build-isolation", "-w", base, ROOT], check=True)
    (wheel,) = base.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.compress_size for info in archive.infolist()}
    models = {name for name in sizes if name.endswith("/model.keras")}
    assert all(sizes[name] < MODEL_LIMIT for name in models)
    assert sum(size for name, size in sizes.items() if name not in models) < 12 * 1024 * 1024
    venv.create(base / "env", with_pip=True)
    python = base / "env" / "bin" / "python"
    install = [
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        wheel,
    ]
    subprocess.run(install, check=True)
    # A path file does not follow the path files of the folder it names: the checkout stays out.
    (site,) = (base / "env" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return base / "env" / "bin"


def _run(command, cwd, **environment):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env=environment, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_wheel_in_an_empty_folder(installed, tmp_path):
    where = _run(
        [installed / "python", "-c", "import kerasdnn; print(kerasdnn.__file__)"], tmp_path
    )
    assert str(ROOT) not in where
    assert "cnn_augmentation" in _run([installed / "kerasdnn", "list"], tmp_path)
    shown = _run([installed / "kerasdnn", "show", "cnn_augmentation"], tmp_path)
    assert shown == (ROOT / "recipes/vision/cnn_augmentation.py").read_text()
    (tmp_path / "mine.py").write_text(shown)
    flags = ["--quick", "--data", "fashion_mnist_bundled"]
    last = _run([installed / "python", "mine.py", *flags], tmp_path).strip().splitlines()[-1]
    assert last.startswith("RESULT recipe=mine ")
    assert last.endswith("DONE")
    assert list((tmp_path / "runs" / "mine").glob("*/result.json"))
