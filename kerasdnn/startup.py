"""Loads Keras for a command without what TensorFlow's libraries write while they load."""

import contextlib
import logging
import os
import re
import sys
import tempfile

# Lines of the C++ libraries that no setting keeps back: they come before the settings are read.
_CHATTER = re.compile(
    r"([IW]\d{4} [\d:. ]+\S+\.cc:\d+\].*|WARNING: All log messages before absl::.*"
    r"|To enable the following instructions: .*)"
)


def is_chatter(line):
    """Returns whether a line is what the libraries say of themselves while they load."""
    return _CHATTER.fullmatch(line.rstrip("\n")) is not None


def load_keras():
    """Imports Keras and returns it; an error shows everything that was written on the way."""
    logging.getLogger("tensorflow").setLevel(
        logging.ERROR
    )  # its advice on tracing is not for users
    with _without_chatter():
        import keras
    return keras


@contextlib.contextmanager
def _without_chatter():
    sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:  # closed
        yield
        return
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            kept.seek(0)
            for line in kept:
                if failed or not is_chatter(line.decode(errors="replace")):
                    os.write(2, line)
