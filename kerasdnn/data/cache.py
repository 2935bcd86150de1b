"""The folder of downloaded data: whole files only, and never a pickle."""

import contextlib
import hashlib
import os
import tempfile
import zipfile
import zlib
from pathlib import Path

from kerasdnn.errors import InputError

# What reading a damaged archive or array may raise.
DAMAGE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


def home():
    """Returns the folder for downloaded data: `$KERASDNN_HOME`, or `~/.cache/kerasdnn`."""
    chosen = os.environ.get("KERASDNN_HOME")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "kerasdnn"


@contextlib.contextmanager
def whole_file(path):
    """Opens a binary file that stands under `path` only once the block has ended without an error.

    Raises:
        InputError: if the folder cannot be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )
    except OSError as error:
        raise InputError(
            f"The cache {path.parent} must be a folder that can be written to; {reason(error)}. "
            f"Set KERASDNN_HOME to a folder of yours."
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_arrays(path, **arrays):
    """Writes arrays as a compressed npz, whole or not at all."""
    import numpy as np

    with whole_file(path) as file:
        np.savez_compressed(file, **arrays)


def read_arrays(file, names):
    """Reads the named arrays of an npz without ever unpickling.

    Args:
        file: open binary file.
        names: names of the arrays.

    Raises:
        OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error: if it is damaged;
            the caller knows what to tell the user.
    """
    import numpy as np

    with np.load(file, allow_pickle=False) as archive:
        return tuple(archive[name] for name in names)


def digest_of_arrays(*arrays):
    """Returns the SHA-256 of the arrays' types, shapes and values."""
    import numpy as np

    total = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        # Little-endian, so that the digest is the same on every machine.
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def digest_of_samples(images, labels):
    """Returns a SHA-256 of the set of (image, label) pairs, whatever their order."""
    rows = sorted(
        hashlib.sha256(image.tobytes() + bytes([label])).digest()
        for image, label in zip(images, labels.tolist())
    )
    return hashlib.sha256(b"".join(rows)).hexdigest()


def reason(error):
    """Returns the cause of an error as a short phrase, without numbers and file names."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().splitlines()[0].rstrip(".")
