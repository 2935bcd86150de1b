"""The recordings that the benchmark of searches looks its trials up in."""

import importlib.util

from kerasdnn import catalog

import pytest

pytest.importorskip("keras_tuner")


def benchmark():
    path = catalog.benchmarks_folder() / "tuning.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_tuning", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("space", ["boosting", "network", "support vectors"])
def test_a_recording_holds_every_point_and_few_are_good(space):
    made = benchmark()
    axes, table = made.load(space)
    assert axes == made.SPACES[space]
    assert all(0 <= score <= 1 for score in table.values())
    good = [score >= made.SHARE * max(table.values()) for score in table.values()]
    assert 0 < sum(good) < 0.25 * len(good)


def test_a_search_stops_counting_when_it_arrives():
    made = benchmark()
    axes, table = made.load("support vectors")
    best = max(table.values())
    trials, seconds, arrived = made.search(made.OURS, axes, table, 0, 0.9 * best)
    assert arrived
    assert 1 <= trials < made.MOST
    assert 0 < seconds < 60
    trials, _, arrived = made.search("RandomSearch", axes, table, 0, 2 * best)
    assert (trials, arrived) == (made.MOST, False)
