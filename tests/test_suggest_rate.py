from kerasdnn.callbacks.suggest_rate import RULES, minimum, slide, steep, valley

import numpy as np
import pytest

RATES = np.logspace(-6, 0, 121)


def curve(falls_at=1e-3, bends_at=1e-1):
    """Flat at 2, falls by 1 around `falls_at`, explodes from `bends_at` on."""
    x = np.log10(RATES)
    fall = 1 / (1 + np.exp(-6 * (x - np.log10(falls_at))))
    rise = np.exp(8 * np.maximum(x - np.log10(bends_at), 0)) - 1
    return 2 - fall + rise


def test_each_rule_finds_its_point():
    losses = curve()
    assert steep(RATES, losses) == pytest.approx(1e-3, rel=0.2)
    assert minimum(RATES, losses) == pytest.approx(1e-2, rel=0.2)  # the lowest is at 1e-1
    # The whole curve falls from the first point to 1e-1: the middle of that is 10^-3.5.
    assert valley(RATES, losses) == pytest.approx(10**-3.5, rel=0.2)
    assert 1e-3 < slide(RATES, losses) < 1e-1


@pytest.mark.parametrize("rule", RULES)
def test_a_curve_moved_along_the_axis_moves_the_suggestion(rule):
    one, ten = (RULES[rule](RATES, curve(f, 100 * f)) for f in (1e-4, 1e-3))
    # The fall begins at the first rate whatever the curve, so its middle moves by half a decade.
    assert ten / one == pytest.approx(10**0.5 if rule == "valley" else 10, rel=0.3)


def test_valley_sees_through_noise():
    random = np.random.default_rng(0)
    noisy = curve() + random.normal(size=121) * 0.02
    assert 10**-4.2 < valley(RATES, noisy) < 10**-1.8


@pytest.mark.parametrize("rule", RULES)
def test_a_loss_that_only_falls_or_only_rises_still_gives_a_rate_of_the_sweep(rule):
    for losses in (np.linspace(2, 1, 121), np.linspace(1, 2, 121), np.ones(121)):
        assert RATES[0] / 10 <= RULES[rule](RATES, losses) <= RATES[-1]
