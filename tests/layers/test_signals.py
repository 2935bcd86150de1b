from kerasdnn.layers import RandomDrift, RandomRoll
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest

X = np.random.default_rng(0).normal(size=(4, 9, 2)).astype("float32")


@pytest.mark.parametrize(
    ("cls", "arguments"), [(RandomDrift, {"offset": 0.5, "slope": 2.0}), (RandomRoll, {"steps": 3})]
)
def test_harness(cls, arguments):
    check_layer(cls, arguments, X, call_kwargs={"training": False})  # else each call draws anew


def out(layer, x, **options):
    return keras.ops.convert_to_numpy(layer(x, **options))


def test_drift_is_a_line_of_the_asked_deviation_the_same_in_all_channels():
    added = out(RandomDrift(0.5, 2.0, seed=0), np.zeros((4000, 9, 2), "float32"))
    np.testing.assert_array_equal(added[..., 0], added[..., 1])
    line = added[..., 0]
    np.testing.assert_allclose(np.diff(line, 2), 0, atol=1e-5)
    assert line[:, 4].std() == pytest.approx(0.5, rel=0.05)  # the middle has the offset alone
    slope = (line[:, -1] - line[:, 0]) / 2
    assert slope.std() == pytest.approx(2.0, rel=0.05)


def test_roll_turns_whole_samples_by_at_most_the_asked_steps():
    x = np.tile(np.arange(9.0, dtype="float32")[None, :, None], (500, 1, 2))
    rolled = out(RandomRoll(2, seed=0), x)
    shifts = set()
    for sample in rolled:
        shift = int(np.argmin(sample[:, 0]))
        np.testing.assert_array_equal(sample, np.roll(x[0], shift, axis=0))
        shifts.add(shift if shift < 5 else shift - 9)
    assert shifts == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("layer", [RandomDrift(), RandomRoll(3)])
def test_nothing_changes_outside_of_training(layer):
    np.testing.assert_array_equal(out(layer, X, training=False), X)
    assert np.abs(out(layer, X, training=True) - X).max() > 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="deviations of 0 or more"):
        RandomDrift(-1.0)
    with pytest.raises(ValueError, match=r"0 or more; received 1\.5"):
        RandomRoll(1.5)
