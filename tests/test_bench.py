"""The fair timing: turns, ratios within a round, candidates that cannot run."""

import json
import subprocess
import sys
import textwrap

from kerasdnn import bench, catalog, cli

import pytest


class Clock:
    """A candidate that is `speed` times as fast as the machine, which slows down every turn."""

    machine = 100.0

    def __init__(self, speed):
        self.speed, self.facts = speed, {"setting": f"x{speed}"}

    def turn(self, seconds):
        Clock.machine *= 0.9
        return self.speed * Clock.machine

    def close(self):
        self.closed = True


def test_ratios_hold_though_the_machine_drifts():
    def cannot():
        raise bench.SkippedError("not installed")

    starts = {"a": lambda: Clock(1.0), "b": lambda: Clock(3.0), "c": cannot}
    rates, facts, skipped = bench.interleave(starts, rounds=6, seconds=0.1, say=lambda text: None)
    rows = {row["candidate"]: row for row in bench.ratio_rows(rates, facts, skipped, "a")}
    assert [len(values) for values in rates.values()] == [6, 6]
    assert rows["a"]["ratio"] == 1.0
    # In half of the rounds b goes first: the drift cancels, where absolute times halve.
    assert rows["b"]["ratio"] == pytest.approx(3.0, rel=0.02)
    assert rows["b"]["setting"] == "x3.0"
    assert rows["c"]["note"] == "skipped: not installed"


WORKER = """
import sys
from kerasdnn import bench

def make():
    if sys.argv[-1] == "absent":
        raise ImportError("No module named 'absent'")
    return (lambda: 7), {"setting": "seven"}

sys.exit(bench.serve(make))
"""


def test_a_candidate_in_its_own_process(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(WORKER))
    process = bench.Process(script, "present")
    try:
        assert process.facts == {"setting": "seven"}
        assert process.turn(0.01) > 0
        assert process.turn(0.01) > 0
    finally:
        process.close()
    assert process.child.poll() is not None
    with pytest.raises(bench.SkippedError, match="absent"):
        bench.Process(script, "absent")


def test_publish_writes_table_and_figure(tmp_path, capsys):
    args = bench.parser("A test.").parse_args(["--json", str(tmp_path)])
    rows = [{"candidate": "a", "images/s": 10.0, "ratio": 1.0}, {"candidate": "b", "ratio": 2.0}]
    bench.publish("trial", {"title": rows}, args)
    assert "title" in capsys.readouterr().out
    content = json.loads((tmp_path / "trial.json").read_text())
    assert content["tables"]["title"] == rows
    assert content["machine"]["cores"] >= 1
    assert (tmp_path / "trial.png").stat().st_size > 1000


def test_unknown_benchmark_is_one_sentence(capsys):
    assert cli.main(["bench", "nonsense"]) == 2
    assert "There is no benchmark 'nonsense'" in capsys.readouterr().err


def test_an_operation_does_not_count_what_it_encloses(monkeypatch):
    proto = pytest.importorskip("tensorflow.tsl.profiler.protobuf.xplane_pb2")
    monkeypatch.syspath_prepend(bench.folder())
    import hotspots

    space = proto.XSpace()
    plane = space.planes.add()
    for number, name in enumerate(("net/dense/MatMul:_MklMatMul#id=1#", "Run"), 1):
        plane.event_metadata[number].name = name
    line = plane.lines.add()
    for number, begin, end in ((2, 0, 10), (1, 1, 4), (1, 5, 7)):  # two products within a run
        line.events.add(metadata_id=number, offset_ps=begin, duration_ps=end - begin)
    seconds, calls = hotspots.summed(space.SerializeToString())
    assert {name: round(value * 1e12) for name, value in seconds.items()} == {"MatMul": 5, "Run": 5}
    assert calls["MatMul"] == 2
    assert [hotspots.is_operation(name) for name in ("MatMul", "Run")] == [True, False]


@pytest.mark.slow
@pytest.mark.parametrize("name", catalog.benchmark_names())
def test_help_of_every_benchmark(name):
    script = bench.folder() / f"{name}.py"
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
