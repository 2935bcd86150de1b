"""Decoding and resizing of images that come from outside."""

import contextlib
import math
import operator
import warnings
from dataclasses import replace

from kerasdnn.data.cache import reason
from kerasdnn.errors import InputError

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
MOST_PIXELS = 50_000_000  # in one file; a small file can claim any size
MOST_BYTES = 4 * 2**30  # of all images together, since they are kept in memory
GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N")
COLOUR_MODES = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap height and width


def image_facts(path):
    """Returns `((height, width), is_grey)` of an image file, from its header.

    Raises:
        InputError: if it is no image, or too large.
    """
    with _opened(path) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise InputError(
                f"An image may have {MOST_PIXELS:,} pixels; {path} claims {width:,} x {height:,}. "
                f"Make it smaller, or take it out of the folder."
            )
        if image.mode not in GREY_MODES + COLOUR_MODES:
            raise InputError(
                f"Images should have 8 or 16 bits a channel; {path} has pixels of type "
                f"'{image.mode}'. Save it as an 8-bit PNG."
            )
        turned = image.getexif().get(0x0112) in _TURNED
        return ((width, height) if turned else (height, width)), image.mode in GREY_MODES


def read_image(path, size, grey):
    """Reads an image file as uint8 `(H, W, 1)` or `(H, W, 3)`.

    Args:
        path: the file.
        size: `(height, width)`; an image of another size is resized.
        grey: bool, one channel instead of three.
    """
    with _opened(path) as image:
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        image = image.convert("L" if grey else "RGB")
        return _with_channels(_sized(image, size))


@contextlib.contextmanager
def _opened(path):
    """Opens an image; whatever the decoder raises becomes one sentence."""
    try:
        with warnings.catch_warnings():
            # A damaged file must not also print; one that is too large must not be decoded.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                yield image
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a decoder may raise anything on damaged data
        what = type(error).__name__ if isinstance(error, KeyError) else reason(error)
        what = what.removesuffix(f" '{path}'")
        raise InputError(
            f"Every image should be a PNG, JPEG, BMP, GIF, WebP or TIFF file that opens; "
            f"{path} does not ({what}). Replace it, or take it out of the folder."
        ) from error


def _sized(image, size):
    height, width = size
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _with_channels(image):
    array = np.asarray(image, np.uint8)
    return array[..., None] if array.ndim == 2 else array


def resize_array(image, size):
    """Resizes a uint8 image `(H, W, 1)` or `(H, W, 3)`, averaging when it shrinks."""
    if image.shape[:2] == tuple(size):
        return image
    plain = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return _with_channels(_sized(plain, size))


def resized(dataset, size):
    """Brings all images of a data set to one size and says so in its notes.

    Raises:
        InputError: if the data set holds no images.
    """
    if dataset.task != "image":
        raise InputError(
            f"image_size={tuple(size)} needs a data set of images; {dataset.name} holds "
            f"'{dataset.task}' data. Choose a data set of images or leave image_size out."
        )
    old = dataset.x_train.shape[1:3]
    if old == tuple(size):
        return dataset
    check_memory(len(dataset.x_train) + len(dataset.x_test), size, dataset.x_train.shape[-1])
    x_train, x_test = (
        np.stack([resize_array(image, size) for image in part])
        for part in (dataset.x_train, dataset.x_test)
    )
    note = f"resized: {old[0]} x {old[1]} pixels to {size[0]} x {size[1]}"
    return replace(dataset, x_train=x_train, x_test=x_test, notes=(*dataset.notes, note))


def check_memory(count, size, channels):
    """Raises InputError if so many images of one size are too much to keep in memory."""
    needed = count * math.prod(size) * channels
    if needed > MOST_BYTES:
        raise InputError(
            f"Images are kept in memory, {MOST_BYTES / 2**30:.0f} GiB at most; {count:,} images of "
            f"{size[0]} x {size[1]} pixels need {needed / 2**30:.1f} GiB. "
            f"Give a smaller image_size or a limit."
        )


def check_image_size(size):
    """Returns `image_size` as `(height, width)`, or None.

    Raises:
        InputError: if it is neither None nor two positive integers.
    """
    if size is None:
        return None
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        height = width = 0
    if not (0 < height <= 4096 and 0 < width <= 4096):
        raise InputError(
            f"image_size should be (height, width), each from 1 to 4096; received {size!r}. "
            f"Give for example image_size=(32, 32)."
        )
    return height, width
