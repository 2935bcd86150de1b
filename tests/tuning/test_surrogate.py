"""What a search expects of untried points."""

from kerasdnn.tuning import surrogate

import numpy as np
import pytest

GRID = np.linspace(0, 1, 21)[:, None]


def improvement(tried, values, pool=GRID, groups=(0,), seed=0, **options):
    random = np.random.default_rng(seed)
    tried = np.reshape(tried, (-1, pool.shape[1]))
    return surrogate.expected_improvement(tried, values, pool, list(groups), random, **options)


def test_order_as_normal_numbers():
    found = surrogate.normal_scores([5.0, -3.0, 1e9, 5.0])
    assert found.mean() == pytest.approx(0)
    assert found.std() == pytest.approx(1)
    assert found[0] == found[3]
    assert found[1] < found[0] < found[2]
    np.testing.assert_array_equal(surrogate.normal_scores([2.0]), [0.0])


def test_between_the_two_best_is_expected_most_and_at_a_tried_point_little():
    gain, _ = improvement([0.0, 0.4, 0.6, 1.0], [9.0, 1.0, 1.1, 8.0])
    assert 0.35 <= GRID[gain.argmax(), 0] <= 0.65
    assert gain[[0, 20]].max() < 0.5 * gain.max()


def test_others_look_elsewhere_than_a_waiting_point():
    tried, values = [0.0, 0.3, 1.0], [3.0, 1.0, 2.0]
    first, _ = improvement(tried, values)
    place = GRID[first.argmax()]
    second, _ = improvement(tried, values, waiting=place[None])
    assert abs(GRID[second.argmax(), 0] - place[0]) >= 0.05
    assert second[first.argmax()] < first.max()


def test_a_parameter_without_effect_gets_a_long_length():
    random = np.random.default_rng(1)
    tried = random.random((40, 2))
    values = (tried[:, 0] - 0.3) ** 2
    best = None
    for seed in range(4):  # as in a search, where the draws gather around the best
        gain, best = improvement(tried, values, tried, (0, 1), seed, best=best)
    assert best[1] > best[0] + 0.5
    assert np.isfinite(gain).all()


def test_the_draws_around_the_best_are_weighed_so_that_the_prior_stays():
    """The mean of any function over the weighed draws is that over the prior's."""
    means = []
    for seed in range(200):
        draws, correction = surrogate._draws(2, np.random.default_rng(seed), [-0.5, 0.0, -3.0])
        weights = np.exp(correction)
        means.append([weights.mean(), (weights * draws[:, 0]).mean()])
    total, length = np.mean(means, 0)
    assert total == pytest.approx(1, abs=0.1)
    assert length == pytest.approx(surrogate.LENGTH, abs=0.1)
