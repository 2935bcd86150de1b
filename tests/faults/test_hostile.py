"""Files made to run code, to read other files or to fill the memory: each is refused in a sentence.

More of them, one property each, are in `tests/test_saving.py` and `tests/data/`.
"""

from tests.faults.hostile import HOSTILE

import pytest

LARGE = {"oversized member", "image bomb"}  # seconds to make; the large ones are slow tests
CASES = [pytest.param(n, marks=pytest.mark.slow if n in LARGE else ()) for n in HOSTILE]


@pytest.mark.parametrize("name", CASES)
def test_hostile_file(trainer, folder, name):
    status, result, memory = trainer.send(folder, hostile=name)
    assert status == 0, (folder / "errors.log").read_text()
    assert result["sentence"], "it was loaded"
    assert result["sentence"].count("\n") == 0
    assert not result["executed"]
    assert memory < 1_500_000  # kB
