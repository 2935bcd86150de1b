"""A search by several processes: killed, failing, hanging, and refused."""

import collections
import importlib.util
import io
import json
import os
import signal
import socket
import time
import types

from kerasdnn import cli
from kerasdnn.errors import InputError
from kerasdnn.tuning import run_workers, worker_process, workers
from tests.tuning import searches

import pytest

keras_tuner = pytest.importorskip("keras_tuner")
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SEARCH_FOLDER", str(tmp_path))
    if importlib.util.find_spec("jax"):  # nothing is computed, and JAX is imported the fastest
        monkeypatch.setenv("KERAS_BACKEND", "jax")
    return tmp_path


def runs(folder):
    """Returns how often each trial was begun."""
    lines = (folder / "log").read_text().splitlines()
    return collections.Counter(int(line.split()[0]) for line in lines)


def whole(rows, count=8):
    assert sorted(int(row["trial"]) for row in rows) == list(range(count))
    assert {row["status"] for row in rows} == {"COMPLETED"}
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores)
    assert all(abs(row["score"] - (row["x"] - 1) ** 2) < 1e-9 for row in rows)


def test_a_worker_and_the_chief_are_killed_and_every_trial_is_completed_once(folder, monkeypatch):
    monkeypatch.setenv("SEARCH_KILLS", "me@2 chief@4")
    out = io.StringIO()
    whole(run_workers(searches.bowl, workers=2, deadline=200, out=out))
    begun = runs(folder)
    assert sum(begun.values()) >= 8 + 2
    done = json.loads((folder / "search/bowl/oracle.json").read_text())["end_order"]
    assert sorted(map(int, done)) == list(range(8))


@pytest.mark.slow
def test_a_worker_that_always_dies_ends_the_search_with_one_sentence(folder, monkeypatch):
    monkeypatch.setenv("SEARCH_DIES", "1")
    with pytest.raises(RuntimeError, match="worker0 has died 2 times") as caught:
        run_workers(searches.bowl, workers=1, max_restarts=1, deadline=200, out=io.StringIO())
    assert "\n" not in str(caught.value)


def test_trials_that_always_fail_end_the_command_with_their_reason(folder, monkeypatch, capsys):
    monkeypatch.setenv("SEARCH_FAILS", "1")
    search = f"{searches.__file__}:bowl"
    flags = ["-n", "1", "--max-restarts", "0", "--deadline", "200"]
    assert cli.main(["launch", *flags, "--", search]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("kerasdnn: The worker0 has died 1 times")
    assert "no such layer" in said


def late(folder, lines):
    """Returns a clock that jumps beyond any deadline when so many trials have begun."""

    def monotonic():
        path = folder / "log"
        begun = len(path.read_text().splitlines()) if path.exists() else 0
        return time.monotonic() + (1e6 if begun >= lines else 0)

    return types.SimpleNamespace(monotonic=monotonic, sleep=time.sleep)


def test_the_deadline_leaves_what_was_completed_and_the_search_goes_on_later(folder, monkeypatch):
    monkeypatch.setenv("SEARCH_HANGS", "1")
    with monkeypatch.context() as patch:
        patch.setattr(workers, "time", late(folder, 3))
        rows = run_workers(searches.bowl, workers=1, deadline=1e5, out=io.StringIO())
    assert [row["status"] for row in rows] == ["COMPLETED", "COMPLETED", "RUNNING"]
    monkeypatch.delenv("SEARCH_HANGS")
    path = folder / "search/bowl/oracle.json"
    before = path.read_bytes()
    assert "another search" in refused("another_bowl", folder, monkeypatch)
    path.write_bytes(before[:40])
    assert "oracle.json is damaged" in refused("bowl", folder, monkeypatch)
    assert path.read_bytes() == before[:40]
    path.write_bytes(before)
    whole(run_workers(f"{searches.__file__}:bowl", workers=1, deadline=200, out=io.StringIO()))
    assert max(runs(folder)[i] for i in (0, 1)) == 1


def refused(name, folder, monkeypatch):
    """Returns what a chief says to a search that it refuses: it runs in this process."""
    base = keras_tuner.engine.base_tuner.BaseTuner
    changed = [(base, "__init__"), (base, "search"), (base.__bases__[0], "save")]
    with monkeypatch.context() as patch:
        for owner, attribute in changed:  # put back afterwards
            patch.setattr(owner, attribute, getattr(owner, attribute))
        for attribute, value in (("NAME", "chief"), ("FOLDER", folder), ("_locks", [])):
            patch.setattr(worker_process, attribute, value)
        patch.setattr(worker_process, "_first_declared", {})
        patch.setattr(signal, "signal", lambda *arguments: None)
        assert worker_process.main(f"{searches.__file__}:{name}") == 2
        for handle in worker_process._locks:
            os.close(handle)
    said = (folder / "chief.error").read_text()
    assert "\n" not in said
    return said


def test_a_second_chief_and_a_function_that_is_no_search_are_refused(folder, monkeypatch):
    assert "returns its tuner" in refused("nothing", folder, monkeypatch)
    assert not (folder / "search").exists()
    fcntl = pytest.importorskip("fcntl")
    (folder / "search").mkdir()
    with (folder / "search/.bowl.chief").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert "Another chief" in refused("bowl", folder, monkeypatch)
    assert not (folder / "search/bowl").exists()


def test_what_cannot_be_searched_is_refused_before_a_process_starts(folder):
    with pytest.raises(InputError, match="module-level function"):
        run_workers(lambda: None)
    with pytest.raises(InputError, match=r"'file\.py:function'"):
        run_workers("search")
    with pytest.raises(InputError, match="does not"):
        run_workers("nowhere.py:search")
    with pytest.raises(InputError, match="workers of at least 1"):
        run_workers(searches.bowl, workers=0)
    with pytest.raises(InputError, match="deadline"):
        run_workers(searches.bowl, deadline=0)
    with pytest.raises(InputError, match="there is no password"):
        run_workers(searches.bowl, host="192.0.2.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="free port"):
            run_workers(searches.bowl, port=taken.getsockname()[1])
    assert not os.listdir(folder)


def test_an_undeclared_space_is_refused(folder):
    with pytest.raises(InputError, match="declared hyper-parameters"):
        run_workers(searches.undeclared, workers=1, deadline=200, out=io.StringIO())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_twenty_kills(folder, monkeypatch, seed):
    kills = ["me@1", "me@3", "me@5", "chief@6"]
    monkeypatch.setenv("SEARCH_KILLS", " ".join(kills[seed % 4 :] + kills[: seed % 4]))
    whole(run_workers(searches.bowl, workers=2, max_restarts=5, deadline=220, out=io.StringIO()))
    assert sum(runs(folder).values()) >= 8 + 4
