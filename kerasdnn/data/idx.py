"""The IDX format of MNIST and its relatives, read with every length checked."""

import gzip
import math
import zlib

from kerasdnn.data.cache import reason
from kerasdnn.errors import InputError

import numpy as np

LARGEST = 2**31  # bytes; a header that promises more is damaged


def read_idx(path, *, remedy):
    """Reads a gzip-compressed IDX file of unsigned bytes.

    The header is `0 0 8 n` and n sizes, each a big-endian 32-bit number; the values follow.

    Args:
        path: the file.
        remedy: a sentence, what to do when the file is damaged.

    Returns:
        uint8 array of n dimensions.

    Raises:
        InputError: if the file is not what its header promises.
    """
    try:
        with gzip.open(path, "rb") as file:
            shape = _shape(file)
            size = math.prod(shape)
            content = file.read(size + 1)  # one more, to see that nothing follows
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{path} should be a gzip-compressed IDX file; it cannot be read ({reason(error)}). "
            f"{remedy}"
        ) from error
    if len(content) != size:
        came = f"{len(content):,}" if len(content) < size else "more"
        raise InputError(
            f"{path} should hold {size:,} values by its header; it holds {came}. {remedy}"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(file):
    magic = file.read(4)
    if len(magic) != 4 or magic[:3] != b"\x00\x00\x08" or not 1 <= magic[3] <= 4:
        raise ValueError("its first four bytes are no IDX header of unsigned bytes")
    sizes = file.read(4 * magic[3])
    if len(sizes) != 4 * magic[3]:
        raise ValueError("it ends within the header")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if math.prod(shape) > LARGEST:
        raise ValueError(f"its header promises {math.prod(shape):,} bytes")
    return shape
