import gzip
import struct

from kerasdnn.data.idx import read_idx
from kerasdnn.errors import InputError

import numpy as np
import pytest


def idx(shape, content, magic=b"\x00\x00\x08"):
    sizes = b"".join(struct.pack(">I", size) for size in shape)
    return magic + bytes([len(shape)]) + sizes + content


def written(path, content):
    path.write_bytes(gzip.compress(content))
    return path


def test_values_and_shape_come_back(tmp_path):
    path = written(tmp_path / "x.gz", idx((2, 1, 3), bytes(range(6))))
    array = read_idx(path, remedy="")
    assert array.tolist() == [[[0, 1, 2]], [[3, 4, 5]]]
    assert array.dtype == np.uint8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx((2, 3), bytes(5)), "should hold 6 values by its header; it holds 5"),
        (idx((2, 3), bytes(7)), "should hold 6 values by its header; it holds more"),
        (idx((2, 3), bytes(6), magic=b"\x00\x00\x0d"), "no IDX header"),
        (idx((2, 3), b"")[:7], "ends within the header"),
        (idx((2**31, 2**31), b""), "promises 4,611,686,018,427,387,904 bytes"),
        (b"", "no IDX header"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path, content, message):
    path = written(tmp_path / "x.gz", content)
    with pytest.raises(InputError, match=rf"(?s){message}.* Do this\.$"):
        read_idx(path, remedy="Do this.")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "not gzip", "missing"])
def test_a_damaged_file_is_one_sentence(tmp_path, damage):
    path = written(tmp_path / "x.gz", idx((50, 50), np.random.default_rng(0).bytes(2500)))
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    elif damage == "not gzip":
        path.write_bytes(b"<html>not found</html>")
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"x\.gz should be a gzip.*cannot be read.*Do this\."):
        read_idx(path, remedy="Do this.")
