"""One training process for all tests of faults; it starts when first needed."""

import os
import pathlib
import tempfile

from tests.faults.harness import Trainer

import pytest


@pytest.fixture(scope="session")
def trainer():
    process = Trainer()
    yield process
    process.close()


@pytest.fixture
def folder():
    """A folder in memory where there is one: syncing to a slow disk would be most of the time."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="kerasdnn-faults-", dir=memory) as name:
        yield pathlib.Path(name)
