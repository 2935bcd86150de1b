from kerasdnn.losses import InfoNCE, NTXent, SupCon
from kerasdnn.testing import check_loss

import keras
import numpy as np
import pytest


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def unit(z):
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def algorithm_1(a, b, temperature):
    """SimCLR's algorithm as it stands in the paper: samples 2k-1 and 2k are a pair."""
    n = len(a)
    z = np.empty((2 * n, a.shape[1]))
    z[0::2], z[1::2] = a, b
    s = np.array([[zi @ zj / np.linalg.norm(zi) / np.linalg.norm(zj) for zj in z] for zi in z])

    def pair(i, j):
        others = sum(np.exp(s[i, k] / temperature) for k in range(2 * n) if k != i)
        return -np.log(np.exp(s[i, j] / temperature) / others)

    return sum(pair(2 * k, 2 * k + 1) + pair(2 * k + 1, 2 * k) for k in range(n)) / (2 * n)


@pytest.mark.parametrize(("cls", "arguments"), [(NTXent, 0.2), (SupCon, 0.1)])
def test_harness(cls, arguments):
    y_true = normal(6, 5) if cls is NTXent else np.array([0, 1, 0, 2, 1, 0])
    check_loss(cls, {"temperature": arguments}, y_true, normal(6, 5, seed=1))


def test_harness_with_a_queue():
    call_args = (normal(6, 5), normal(6, 5, seed=1), normal(9, 5, seed=2))
    check_loss(InfoNCE, {"temperature": 0.1}, call_args=call_args)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
@pytest.mark.parametrize(("n", "width"), [(2, 3), (7, 16)])
def test_nt_xent_is_algorithm_1(n, width, temperature):
    a, b = normal(n, width), normal(n, width, seed=1)
    expected = algorithm_1(a.astype("float64"), b.astype("float64"), temperature)
    assert float(NTXent(temperature)(a, b)) == pytest.approx(expected, rel=1e-5)
    assert float(NTXent(temperature)(b, a)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.001, 0.02, 0.07, 1.0])
def test_closed_form_of_identical_embeddings(temperature):
    z = np.ones((8, 4), "float32")
    assert float(NTXent(temperature)(z, 3 * z)) == pytest.approx(np.log(15), rel=1e-4)
    assert float(InfoNCE(temperature)(z, z, np.ones((20, 4)))) == pytest.approx(
        np.log(21), rel=1e-4
    )
    assert float(InfoNCE(temperature)(z, z)) == pytest.approx(np.log(8), rel=1e-4)
    assert float(SupCon(temperature)(np.arange(8) % 2, z)) == pytest.approx(np.log(7), rel=1e-4)


@pytest.mark.parametrize("temperature", [0.005, 0.024, 0.026])
def test_low_temperatures_neither_overflow_nor_vanish(temperature):
    # Opposite views: the positive is the worst there is, at -2 / T below the best.
    a = np.eye(4, dtype="float32")
    loss = float(NTXent(temperature)(a, -a))
    assert loss == pytest.approx(1 / temperature + np.log(6), rel=1e-3)
    far = float(InfoNCE(temperature)(a, -a, -a))
    assert far == pytest.approx(1 / temperature + np.log(3), rel=1e-3)


@pytest.mark.parametrize("temperature", [0.01, 0.1])
def test_gradient_of_zero_embeddings_is_finite(temperature):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, kernel_initializer="zeros")])
    model.compile("sgd", NTXent(temperature))
    model.fit(np.ones((5, 3)), np.zeros((5, 4)), batch_size=5, verbose=0)
    assert np.all(np.isfinite(model.get_weights()[0]))


def test_info_nce_against_numpy():
    q, k, queue = unit(normal(5, 6)), unit(normal(5, 6, seed=1)), unit(normal(8, 6, seed=2))
    positive = np.exp((q * k).sum(-1) / 0.3)
    with_queue = -np.log(positive / (positive + np.exp(q @ queue.T / 0.3).sum(-1)))
    without = -np.log(positive / np.exp(q @ k.T / 0.3).sum(-1))
    loss = InfoNCE(0.3, reduction=None)
    to_numpy = keras.ops.convert_to_numpy
    np.testing.assert_allclose(to_numpy(loss(2 * q, k, 5 * queue)), with_queue, rtol=1e-4)
    np.testing.assert_allclose(to_numpy(loss(q, k)), without, rtol=1e-4)


def test_sup_con_against_numpy_leaves_out_what_has_no_positive():
    labels = np.array([0, 1, 0, 2, 1, 0])  # the only 2 has no positive
    z = normal(6, 4)
    e = np.exp(unit(z) @ unit(z).T / 0.2)
    each = []
    for i in range(6):
        others = [a for a in range(6) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        if positives:
            denominator = sum(e[i, a] for a in others)
            each.append(np.mean([-np.log(e[i, p] / denominator) for p in positives]))
    assert len(each) == 5
    assert float(SupCon(0.2)(labels, z)) == pytest.approx(np.mean(each), rel=1e-4)


def test_sup_con_of_single_samples_and_two_views_is_nt_xent():
    a, b = normal(5, 4), normal(5, 4, seed=1)
    both = float(SupCon(0.3)(np.arange(5), np.stack([a, b], axis=1)))
    assert both == pytest.approx(float(NTXent(0.3)(a, b)), rel=1e-5)


def test_without_any_positive_sup_con_is_zero():
    assert float(SupCon(0.3)(np.arange(4), normal(4, 3))) == 0.0


def test_minimizing_makes_each_view_the_nearest_of_its_pair():
    """The effect: of 12 features the views share only 6, which is what must be kept."""
    shared, noise = normal(128, 6), normal(2, 128, 6, seed=1)
    views = np.concatenate([np.stack([shared, shared], 1), np.moveaxis(noise, 0, 1)], -1)
    model = keras.Sequential([keras.Input((2, 12)), keras.layers.Dense(6)])
    model.compile(keras.optimizers.Adam(0.1), SupCon(0.2))

    def share_found():
        a, b = np.moveaxis(unit(model.predict(views, verbose=0)), 1, 0)
        return np.mean((a @ b.T).argmax(1) == np.arange(128))

    before = share_found()
    model.fit(views, np.arange(128), batch_size=128, epochs=40, verbose=0)
    assert before < 0.5
    assert share_found() > 0.9


@pytest.mark.parametrize("cls", [NTXent, InfoNCE, SupCon])
@pytest.mark.parametrize("temperature", [0, -0.1, float("nan")])
def test_temperature_must_be_positive(cls, temperature):
    with pytest.raises(ValueError, match="expects a temperature above 0; received"):
        cls(temperature)


def test_shapes_that_do_not_fit():
    with pytest.raises(
        ValueError, match=r"two views of the same shape \(N, D\); received \(32, 8\)"
    ):
        NTXent()(normal(32, 8), normal(31, 8))
    with pytest.raises(ValueError, match="at least 2 samples"):
        NTXent()(normal(1, 8), normal(1, 8))
    with pytest.raises(ValueError, match="queries and keys of the same shape"):
        InfoNCE()(normal(4, 8), normal(4, 7))
    with pytest.raises(
        ValueError, match=r"a queue \(K, 8\) for queries \(4, 8\); received \(9, 7\)"
    ):
        InfoNCE()(normal(4, 8), normal(4, 8), normal(9, 7))
    with pytest.raises(ValueError, match=r"labels \(N,\) and embeddings"):
        SupCon()(np.zeros(3), normal(4, 8))
