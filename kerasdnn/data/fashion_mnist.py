"""Fashion-MNIST: 70,000 photographs of clothes, from wherever they can be had."""

import io
import lzma
import os
from pathlib import Path

from kerasdnn.data.base import Dataset
from kerasdnn.data.cache import (
    DAMAGE,
    digest_of_arrays,
    digest_of_samples,
    home,
    read_arrays,
    reason,
)
from kerasdnn.data.idx import read_idx
from kerasdnn.data.network import unreachable
from kerasdnn.errors import InputError

import numpy as np

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
BUNDLED = Path(__file__).parent / "bundled" / "fashion_mnist.npz.xz"
ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
# Of the (image, label) pairs in any order: tensorflow-datasets stores them in another one.
SHA256_TRAIN = "fb88a2f5c1b590c907f860b47803d006e4fa7b276cdb551799af9d443accdff7"
SHA256_TEST = "0b381379398a0943a88bf3864ff3f5177903dcf178030b4b74c495294b38fa7c"
SHA256_BUNDLED = "a09987e1f3b39ffdd9dfb79d3c8eda911fdf1135e51ccb333f6065626a587ba9"
BUNDLED_NOTE = (
    "subset: the bundled 10,000 of 60,000 training and 2,000 of 10,000 test images "
    "(class by class in proportion)"
)


def load():
    """Loads all images from the first source that has them, else the bundled part.

    The order is: own cache, the Debian package `dataset-fashion-mnist`, tensorflow-datasets, the
    bundled 10,000 + 2,000 images. The notes tell it, and what each of them answered.

    Raises:
        InputError: if a source has the data but they are damaged.
    """
    tried = []
    for name, source in (
        ("cache", _from_cache),
        ("Debian package", _from_system),
        ("tensorflow-datasets", _from_tfds),
    ):
        parts, answer = source()
        if parts is not None:
            return _dataset(parts, answer, "fashion_mnist", [_order(tried, name)])
        tried.append(f"{name} ({answer})")
    bundled = load_bundled()
    order = _order(tried, "bundled")
    advice = "for all 70,000 images: kerasdnn data fetch fashion_mnist"
    return _dataset(
        (bundled.x_train, bundled.y_train, bundled.x_test, bundled.y_test),
        bundled.source,
        bundled.name,
        [order, *bundled.notes, advice],
    )


def load_bundled():
    """Loads the 10,000 training and 2,000 test images that come with kerasdnn.

    Raises:
        InputError: if the bundled file is damaged.
    """
    remedy = "Install kerasdnn again."
    try:
        with lzma.open(BUNDLED) as file:
            parts = read_arrays(io.BytesIO(file.read(2**26)), ARRAYS)
    except (*DAMAGE, lzma.LZMAError) as error:
        raise InputError(
            f"{BUNDLED} should hold 12,000 images; it is missing or damaged ({reason(error)}). "
            f"{remedy}"
        ) from error
    if digest_of_arrays(*parts) != SHA256_BUNDLED:
        raise InputError(f"{BUNDLED} should hold 12,000 images; its checksum differs. {remedy}")
    return _dataset(parts, "bundled with kerasdnn", "fashion_mnist_bundled", [BUNDLED_NOTE])


def fetch():
    """Gets all images onto this machine and returns sentences that say where they are.

    Raises:
        InputError: if they cannot be downloaded, or are damaged.
    """
    parts, answer = _from_cache()
    if parts is None:
        parts, answer = _from_system()
    if parts is None:
        parts, answer = _from_tfds(seconds=3600, quiet=False)
    if parts is None:
        raise InputError(
            f"fashion_mnist has to be downloaded; {answer}. Connect to the network, install the "
            f"Debian package dataset-fashion-mnist, or use fashion_mnist_bundled."
        )
    return [f"fashion_mnist: 60,000 + 10,000 images, from {answer}"]


def cache_file():
    """Returns where downloaded images are kept."""
    return home() / "fashion_mnist.npz"


def _order(tried, used):
    return f"sources in order: {'; '.join([*tried, f'{used} (used)'])}"


def _dataset(parts, source, name, notes):
    x_train, y_train, x_test, y_test = parts
    return Dataset(
        x_train,
        y_train,
        x_test,
        y_test,
        class_names=CLASS_NAMES,
        source=source,
        license="MIT (Zalando SE)",
        name=name,
        task="image",
        notes=tuple(notes),
    )


# Each source returns (arrays, where they are) or (None, why not).


def _from_cache():
    path = cache_file()
    if not path.exists():
        return None, f"nothing at {path}"
    remedy = f"Delete it and run again: rm '{path}'"
    try:
        with open(path, "rb") as file:
            parts = read_arrays(file, ARRAYS)
    except DAMAGE as error:
        raise InputError(
            f"{path} should hold the images of Fashion-MNIST; it cannot be read. {remedy}"
        ) from error
    return _checked(parts, path, remedy), str(path)


def _from_system():
    if not SYSTEM_FOLDER.is_dir():
        return None, "dataset-fashion-mnist is not installed"
    remedy = "Reinstall the package dataset-fashion-mnist, or use fashion_mnist_bundled."
    parts = []
    for part in ("train", "t10k"):
        images = read_idx(SYSTEM_FOLDER / f"{part}-images-idx3-ubyte.gz", remedy=remedy)
        labels = read_idx(SYSTEM_FOLDER / f"{part}-labels-idx1-ubyte.gz", remedy=remedy)
        parts += [images[..., None], labels.astype(np.int32)]
    return _checked(parts, SYSTEM_FOLDER, remedy), str(SYSTEM_FOLDER)


def _from_tfds(seconds=120, quiet=True):
    from kerasdnn.data import prepare, tfds

    folder = tfds.data_dir()
    problem = None if (folder / "fashion_mnist").exists() else unreachable([ADDRESS])
    if problem:
        return None, problem
    seconds = prepare.time_limit(seconds)
    path = cache_file()
    # The arrays go into the cache: from then on no backend needs TensorFlow to read them.
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        prepare.prepare("fashion_mnist", folder, seconds=seconds, arrays=fresh, quiet=quiet)
        with open(fresh, "rb") as file:
            _checked(read_arrays(file, ARRAYS), "the download", "Try again.")
        os.replace(fresh, path)
    except InputError as error:
        return None, str(error).split(". ")[0]
    finally:
        fresh.unlink(missing_ok=True)
    return _from_cache()


def _checked(parts, where, remedy):
    x_train, y_train, x_test, y_test = parts
    shapes = (60000, 28, 28, 1), (60000,), (10000, 28, 28, 1), (10000,)
    types = np.uint8, np.int32, np.uint8, np.int32
    if any(a.shape != shape or a.dtype != kind for a, shape, kind in zip(parts, shapes, types)):
        came = ", ".join(f"{array.dtype}{array.shape}" for array in parts)
        raise InputError(
            f"{where} should hold 60,000 + 10,000 images of 28 x 28 and their labels; it holds "
            f"{came}. {remedy}"
        )
    sums = digest_of_samples(x_train, y_train), digest_of_samples(x_test, y_test)
    if sums != (SHA256_TRAIN, SHA256_TEST):
        raise InputError(
            f"{where} should hold the images of Fashion-MNIST; their checksum differs. {remedy}"
        )
    return tuple(parts)
