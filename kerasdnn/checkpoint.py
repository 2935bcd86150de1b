"""States of a training on disk: written whole or not at all, checked when read, two kept."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field

from kerasdnn.errors import InputError

import numpy as np

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there
    fcntl = None

_FORMAT = 1
_MANIFEST = re.compile(r"state-(\d{8})\.json")
_open = {}  # the locked folders of this process


@dataclass
class State:
    """One state: its number, named arrays, and what JSON can hold."""

    number: int
    arrays: dict
    meta: dict = field(default_factory=dict)


class Checkpoints:
    """The states of one training in a folder of its own.

    A state is `state-<number>.npz` (plain arrays, no pickle) and its manifest
    `state-<number>.json`: a line with the SHA-256 of the rest, which holds the SHA-256 of the npz.
    Both are written to a temporary name, synced and renamed, the manifest last: a state without it
    does not exist. Nothing depends on the clock. The newest `keep` states stay; one that is
    damaged is passed over.

    One process at a time may use the folder; the operating system gives the lock back when that
    process ends, however it ends. Within a process the newest takes over from one that an error
    has left open.

    Args:
        folder: str or path, made if it is missing.
        keep: int, how many states to keep, 2 or more, so that one may be damaged. Defaults to 2.
        say: function that is given a sentence about a damaged state. Defaults to printing it to
            the standard error stream.

    Raises:
        InputError: the folder cannot be written to, or another process uses it.

    Example:
    >>> with tempfile.TemporaryDirectory() as folder, Checkpoints(folder) as states:
    ...     number = states.save({"w": np.ones(3)}, {"epoch": 1})
    ...     states.newest().arrays["w"]
    array([1., 1., 1.])
    """

    def __init__(self, folder, keep=2, say=None):
        if keep < 2:
            raise ValueError(
                f"Checkpoints expects keep of 2 or more; received {keep}. With one, a damaged file "
                "would lose the training."
            )
        self.folder, self.keep, self._lock = pathlib.Path(folder), keep, None
        self._damaged = set()
        self.say = say or (lambda text: print(text, file=sys.stderr))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError("no permission to write")
            before = _open.get(os.path.realpath(self.folder))
            if before is not None:
                before.close()
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            self._take_lock()
            _open[os.path.realpath(self.folder)] = self
            # A full disk or one that is mounted read-only shows here, not after an hour.
            os.truncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
            os.fsync(self._lock)
        except OSError as error:
            self.close()
            raise InputError(
                f"The state of a training needs a folder that can be written to; {self.folder} "
                f"cannot ({_reason(error)}). Name another one."
            ) from error
        except InputError:
            self.close()
            raise

    def _take_lock(self):
        if fcntl is None:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 20, 0).decode(errors="replace").strip() or "unknown"
            raise InputError(
                f"The state in {self.folder} is in use by the process {owner}. Wait for it, stop "
                "it, or name another folder."
            ) from None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Lets another process use the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            if _open.get(os.path.realpath(self.folder)) is self:
                del _open[os.path.realpath(self.folder)]

    def numbers(self):
        """Returns the numbers of the states, oldest first."""
        found = (_MANIFEST.fullmatch(entry.name) for entry in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def save(self, arrays, meta):
        """Writes one more state and removes those that are too old; returns its number.

        Args:
            arrays: dict from name to array.
            meta: dict that JSON can hold.

        Raises:
            OSError: it could not be written; the states before are as they were.
        """
        numbers = self.numbers()
        number = numbers[-1] + 1 if numbers else 0
        plain, dtypes = {}, {}
        for name, array in arrays.items():
            plain[name], dtypes[name] = _as_plain(np.asarray(array))
        digest, size = self._write(self._path(number, "npz"), lambda f: np.savez(f, **plain))
        self._write_manifest(
            {
                "format": _FORMAT,
                "number": number,
                "sha256": digest,
                "bytes": size,
                "dtypes": dtypes,
                "meta": meta,
            }
        )
        whole = [number for number in numbers if number not in self._damaged]
        self._tidy([*whole, number][-self.keep :])
        return number

    def newest(self):
        """Returns the newest whole `State`, or None when there never was one.

        Raises:
            InputError: there are states, and all of them are damaged.
        """
        numbers = self.numbers()
        for number in reversed(numbers):
            try:
                return self._read(number)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
                self._damaged.add(number)
                older = number != numbers[0]
                self.say(
                    f"state {number} in {self.folder} is damaged ({error}); "
                    f"{'the one before is used' if older else 'there is none before'}"
                )
        if not numbers:
            return None
        raise InputError(
            f"Every state in {self.folder} is damaged. Delete the folder to start anew, or put "
            "back a copy of it."
        )

    def _read(self, number):
        digest, _, body = self._path(number, "json").read_bytes().partition(b"\n")
        if digest != hashlib.sha256(body).hexdigest().encode():
            raise ValueError("the checksum of its manifest is another")
        manifest = json.loads(body)
        if manifest["format"] != _FORMAT or manifest["number"] != number:
            raise ValueError(f"it is state {manifest['number']}, format {manifest['format']}")
        path = self._path(number, "npz")
        with open(path, "rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != manifest["bytes"]:
                raise ValueError(f"{found:,} bytes instead of {manifest['bytes']:,}")
            if hashlib.file_digest(file, "sha256").hexdigest() != manifest["sha256"]:
                raise ValueError("its checksum is another")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                # Ours are not compressed, so nothing can unpack to more than the file.
                if any(member.compress_type for member in archive.zip.infolist()):
                    raise ValueError("it is compressed")
                dtypes = manifest["dtypes"]
                arrays = {name: _as_it_was(archive[name], dtypes[name]) for name in dtypes}
        return State(number, arrays, manifest["meta"])

    def _path(self, number, suffix):
        return self.folder / f"state-{number:08d}.{suffix}"

    def _write_manifest(self, content):
        body = json.dumps(content).encode()
        line = hashlib.sha256(body).hexdigest().encode() + b"\n"
        self._write(self._path(content["number"], "json"), lambda file: file.write(line + body))

    def _write(self, path, fill):
        """Calls `fill(file)` on a temporary file and renames it; returns its SHA-256 and size."""
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".state-", suffix=".tmp")
        try:
            with os.fdopen(handle, "w+b") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
            os.replace(temporary, path)
        except BaseException:
            pathlib.Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(self.folder)
        return digest, size

    def _tidy(self, numbers):
        """Removes states that are too old, halves of states, and temporary files."""
        keep = {self._path(number, s).name for number in numbers for s in ("npz", "json")}
        for entry in sorted(self.folder.iterdir()):  # a manifest goes before its npz
            if entry.name.startswith(("state-", ".state-")) and entry.name not in keep:
                with contextlib.suppress(OSError):
                    entry.unlink()


def _as_plain(array):
    """Returns the array as npz keeps it, and the name of its dtype (bfloat16 is not NumPy's)."""
    if array.dtype.kind == "V" and array.dtype.names is None:
        return array.view(f"u{array.dtype.itemsize}"), array.dtype.name
    if array.dtype.hasobject:
        raise TypeError(f"A state holds plain arrays; received one of {array.dtype}.")
    return array, ""


def _as_it_was(array, name):
    if not name:
        return array
    import ml_dtypes

    return array.view(getattr(ml_dtypes, name))


def _sync_folder(folder):
    """Makes the renaming itself survive a power cut."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error):
    return (getattr(error, "strerror", None) or str(error)).lower()
