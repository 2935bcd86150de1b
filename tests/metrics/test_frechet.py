from kerasdnn.metrics import FrechetDistance, KernelDistance

import keras
import numpy as np
import pytest

RANDOM = np.random.default_rng(0)


def distance(cls, real, generated):
    metric = cls()
    metric.update_state(real, generated)
    return metric.result()


def test_frechet_of_normal_distributions_has_a_closed_form():
    # Diagonal covariances: sum of (s - s')^2 over the standard deviations.
    scales, others, shift = (
        np.array([1.0, 2.0, 0.5]),
        np.array([2.0, 1.0, 0.5]),
        np.array([1, 0, 2]),
    )
    real = RANDOM.normal(size=(40000, 3)) * scales
    generated = RANDOM.normal(size=(40000, 3)) * others + shift
    expected = np.sum(shift**2) + np.sum((scales - others) ** 2)
    assert distance(FrechetDistance, real, generated) == pytest.approx(expected, rel=0.03)


def test_frechet_against_the_matrix_square_root():
    from scipy.linalg import sqrtm

    real = RANDOM.normal(size=(60, 5)) @ RANDOM.normal(size=(5, 5))
    generated = RANDOM.normal(size=(50, 5)) @ RANDOM.normal(size=(5, 5)) + 1
    a, b = np.cov(real.T), np.cov(generated.T)
    expected = np.sum((real.mean(0) - generated.mean(0)) ** 2) + np.trace(
        a + b - 2 * sqrtm(a @ b).real
    )
    assert distance(FrechetDistance, real, generated) == pytest.approx(expected, rel=1e-6)


def test_kernel_distance_against_a_loop():
    x, y = RANDOM.normal(size=(7, 3)), RANDOM.normal(size=(5, 3)) + 0.5

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    same = [
        np.mean([k(z[i], z[j]) for i in range(n) for j in range(n) if i != j])
        for z, n in ((x, 7), (y, 5))
    ]
    expected = sum(same) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert distance(KernelDistance, x, y) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased():
    """Its mean over many small sets of one distribution is 0; the Frechet distance's is not."""
    pairs = [RANDOM.normal(size=(2, 20, 3)) for _ in range(300)]
    kernel = [distance(KernelDistance, *pair) for pair in pairs]
    frechet = [distance(FrechetDistance, *pair) for pair in pairs]
    assert abs(np.mean(kernel)) < 4 * np.std(kernel) / np.sqrt(300)
    assert np.mean(frechet) > 0.1


@pytest.mark.parametrize("cls", [FrechetDistance, KernelDistance])
def test_more_unlike_is_farther_and_parts_make_the_whole(cls):
    real = RANDOM.normal(size=(800, 4))
    near, far = RANDOM.normal(size=(800, 4)) * 1.1, RANDOM.normal(size=(800, 4)) * 1.5
    assert distance(cls, real, near) < distance(cls, real, far)
    metric = cls()
    for part in range(0, 800, 300):
        metric.update_state(real[part : part + 300], far[part : part + 300])
    assert metric.result() == pytest.approx(distance(cls, real, far), rel=1e-9)
    metric.reset_state()
    metric.update_state(real, near)
    assert metric.result() == pytest.approx(distance(cls, real, near), rel=1e-9)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(again) is cls
    assert again.features == 4


@pytest.mark.parametrize("cls", [FrechetDistance, KernelDistance])
def test_bad_input(cls):
    with pytest.raises(ValueError, match="at least 2 real samples"):
        cls().result()
    with pytest.raises(ValueError, match=r"real features \(N, D\); received \(3, 4, 5\)"):
        cls().update_state(np.zeros((3, 4, 5)), np.zeros((3, 5)))
    with pytest.raises(ValueError, match=r"generated features \(N, 4\); received \(3, 5\)"):
        cls(4).update_state(np.zeros((3, 4)), np.zeros((3, 5)))
    with pytest.raises(ValueError, match="finite generated features"):
        cls().update_state(np.zeros((3, 4)), np.full((3, 4), np.nan))
    with pytest.raises(ValueError, match="width D"):
        cls(0)
