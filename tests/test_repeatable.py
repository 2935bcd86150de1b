"""The same recipe with the same seed gives the same weights, to the bit."""

import importlib

import numpy as np
import pytest

MOCO = pytest.param("self_supervised.moco", marks=pytest.mark.slow)  # also killed in tests/faults


@pytest.mark.parametrize("name", ["basics.mlp", "basics.regularization", MOCO])
def test_two_runs_of_a_recipe_give_equal_weights(name, tmp_path):
    recipe = importlib.import_module(f"recipes.{name}").main
    runs = []
    for number in range(2):
        out = tmp_path / str(number)
        flags = ["--quick", "--out", str(out)]
        if recipe.spec.data == "fashion_mnist":
            flags += ["--data", "fashion_mnist_bundled"]
        assert recipe(flags) == 0
        (path,) = out.glob("*/*/weights-seed0.npz")
        runs.append(dict(np.load(path)))
    assert runs[0].keys() == runs[1].keys()
    for key, value in runs[0].items():
        np.testing.assert_array_equal(value, runs[1][key], err_msg=key)
    assert any(np.ptp(value) > 0 for value in runs[0].values())
