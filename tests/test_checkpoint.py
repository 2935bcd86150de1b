"""States on disk: damaged ones are never taken for good, and what cannot be written is said."""

import os
import random
import subprocess
import sys

from kerasdnn.checkpoint import Checkpoints
from kerasdnn.errors import InputError

import numpy as np
import pytest

ARRAYS = {"w": np.arange(12, dtype="float32").reshape(3, 4), "empty": np.zeros((0, 2), "int64")}


def two_states(folder):
    with Checkpoints(folder) as states:
        states.save({"w": np.zeros(5, "float32")}, {"epoch": 1})
        states.save(ARRAYS, {"epoch": 2, "loss": [0.1, float("inf")]})


def newest(folder):
    said = []
    with Checkpoints(folder, say=said.append) as states:
        return states.newest(), said


def test_what_was_saved_comes_back(tmp_path):
    two_states(tmp_path)
    state, said = newest(tmp_path)
    assert (state.number, state.meta) == (1, {"epoch": 2, "loss": [0.1, float("inf")]})
    assert said == []
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(state.arrays[name], array)
        assert state.arrays[name].dtype == array.dtype


def test_bfloat16_comes_back(tmp_path):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    with Checkpoints(tmp_path) as states:
        states.save({"w": np.array([1.5, -2.0], bfloat16)}, {})
        found = states.newest().arrays["w"]
    assert found.dtype == bfloat16
    assert found.tolist() == [1.5, -2.0]


def test_no_state_yet(tmp_path):
    assert newest(tmp_path / "new") == (None, [])


def test_only_the_newest_are_kept_and_numbers_go_on(tmp_path):
    with Checkpoints(tmp_path, keep=3) as states:
        assert [states.save({}, {}) for _ in range(5)] == [0, 1, 2, 3, 4]
        assert states.numbers() == [2, 3, 4]
    (tmp_path / ".state-left.tmp").write_bytes(b"half")
    (tmp_path / "state-00000009.npz").write_bytes(b"its manifest was never written")
    with Checkpoints(tmp_path, keep=3) as states:
        assert states.save({}, {}) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lock",
        *(f"state-0000000{n}.{suffix}" for n in (3, 4, 5) for suffix in ("json", "npz")),
    ]


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path):
    two_states(tmp_path)
    for path in tmp_path.glob("state-00000001.*"):
        os.utime(path, (1, 1))
    assert newest(tmp_path)[0].number == 1


def damage(data, rng):
    """Flips a bit, cuts, empties, lengthens, or overwrites a stretch of a file's bytes."""
    kind = rng.randrange(5)
    data = bytearray(data)
    where = rng.randrange(len(data))
    if kind == 0:
        data[where] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[where:]
    elif kind == 2:
        data += bytes(rng.randrange(1, 50))
    elif kind == 3:
        data[where : where + 64] = bytes(255 - b for b in data[where : where + 64])
    else:
        data[where:where] = b"\0"
    return bytes(data)


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_damage_of_every_kind_is_seen_and_the_state_before_is_used(tmp_path, suffix):
    two_states(tmp_path)
    path = tmp_path / f"state-00000001.{suffix}"
    whole = path.read_bytes()
    rng = random.Random(suffix)
    for _ in range(150):
        path.write_bytes(damage(whole, rng))
        state, said = newest(tmp_path)
        assert state.number == 0, path.read_bytes()
        assert "state 1 in" in said[0]
        assert said[0].endswith("the one before is used")
    path.write_bytes(whole)
    assert newest(tmp_path)[0].number == 1


def test_a_missing_half_is_damage(tmp_path):
    two_states(tmp_path)
    (tmp_path / "state-00000001.npz").unlink()
    state, said = newest(tmp_path)
    assert state.number == 0
    assert len(said) == 1


def test_a_state_under_another_number_is_refused(tmp_path):
    two_states(tmp_path)
    for suffix in ("npz", "json"):
        (tmp_path / f"state-00000000.{suffix}").rename(tmp_path / f"state-00000007.{suffix}")
    assert newest(tmp_path)[0].number == 1


def test_a_damaged_state_does_not_take_the_place_of_a_good_one(tmp_path):
    two_states(tmp_path)
    (tmp_path / "state-00000001.npz").write_bytes(b"")
    with Checkpoints(tmp_path, say=lambda text: None) as states:
        states.newest()
        states.save({}, {})
        assert states.numbers() == [0, 2]


def test_all_damaged_is_refused_rather_than_started_anew(tmp_path):
    two_states(tmp_path)
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"Every state in .* is damaged. Delete the folder"):
        newest(tmp_path)


def test_objects_are_not_saved(tmp_path):
    with Checkpoints(tmp_path) as states:
        with pytest.raises(TypeError, match="plain arrays"):
            states.save({"w": np.array([print], object)}, {})


LOCKED = """
import sys, time
from kerasdnn.checkpoint import Checkpoints
states = Checkpoints(sys.argv[1])
print("locked", flush=True)
time.sleep(100)
"""


def test_two_processes_in_one_folder(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", LOCKED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(InputError, match=f"in use by the process {other.pid}. Wait for it"):
            Checkpoints(tmp_path)
    finally:
        other.kill()
        other.communicate()
    Checkpoints(tmp_path).close()  # the lock of a killed process is gone


def test_what_an_error_left_open_is_taken_over(tmp_path):
    first = Checkpoints(tmp_path)
    with Checkpoints(tmp_path) as second:
        assert second.save({}, {}) == 0
        first.close()  # does not take the lock away from the second
        with pytest.raises(InputError, match="in use by the process"):
            subprocess_opens(tmp_path)


def subprocess_opens(folder):
    code = LOCKED.replace("time.sleep(100)", "")
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise InputError(done.stderr)


def test_one_state_is_not_enough(tmp_path):
    with pytest.raises(ValueError, match="keep of 2 or more; received 1"):
        Checkpoints(tmp_path, keep=1)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="needs a folder that can be written to"):
        Checkpoints(tmp_path / "file")
