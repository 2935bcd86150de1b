"""Lottery tickets: the rounds, the rewinding, the controls."""

from kerasdnn.pruning import find_ticket

import keras
import numpy as np
import pytest
from keras import layers

X = np.random.default_rng(0).normal(size=(640, 12)).astype("float32")
Y = np.abs(X[:, :2]).sum(1, keepdims=True)


def build():
    model = keras.Sequential(
        [keras.Input((12,)), layers.Dense(24, activation="relu"), layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.02), "mse")
    return model


def train(model):
    return model.fit(X, Y, batch_size=32, epochs=2, verbose=0).history["loss"][-1]


def test_a_ticket_is_the_initial_network_under_a_mask_that_trains_better_than_chance():
    first = {}

    def build_and_remember():
        model = build()
        first["weights"] = model.get_weights()
        return model

    ticket = find_ticket(build_and_remember, train, sparsity=0.9, rounds=4)
    shares = [sparsity for sparsity, _ in ticket.history]
    assert shares == pytest.approx([0, 1 - 0.1**0.25, 1 - 0.1**0.5, 1 - 0.1**0.75], abs=0.01)
    assert ticket.sparsity == pytest.approx(0.9, abs=0.01)
    kernels = [w for w in first["weights"] if w.ndim > 1]
    found = [w for w in ticket.model.get_weights() if w.ndim > 1]
    for initial, now, mask in zip(kernels, found, ticket.masks, strict=True):
        np.testing.assert_array_equal(now, initial * mask)
    assert int(ticket.model.optimizer.iterations) == 0

    loss = train(ticket.model)
    for now, mask in zip(ticket.model.get_weights()[::2], ticket.masks, strict=True):
        assert not now[~mask].any()
    random = ticket.random(seed=1)
    zeros = [int((w == 0).sum()) for w in random.get_weights()[::2]]
    assert zeros == [int((~m).sum()) for m in ticket.masks]
    assert int(random.optimizer.iterations) == 0
    assert loss < 0.7 * train(random)


def test_other_weights_under_the_same_mask():
    ticket = find_ticket(build, train, sparsity=0.5, rounds=1)
    other = build().get_weights()
    model = ticket.reinitialize(other)
    np.testing.assert_array_equal(model.get_weights()[0], other[0] * ticket.masks[0])
    again = ticket.rewind()
    np.testing.assert_array_equal(again.get_weights()[0], ticket.weights[0] * ticket.masks[0])


def test_rewinding_to_a_later_step():
    weights = []

    def warm_up(model):
        model.fit(X[:64], Y[:64], verbose=0)
        weights.extend(model.get_weights())

    ticket = find_ticket(build, train, sparsity=0.5, rounds=1, rewind=warm_up)
    np.testing.assert_array_equal(ticket.weights[0], weights[0])
    assert int(ticket.model.optimizer.iterations) == 2  # goes on from there


def test_a_train_that_compiles_anew_is_told():
    def wrong(model):
        model.compile("adam", "mse")
        train(model)

    with pytest.raises(ValueError, match="Let build compile the model"):
        find_ticket(build, wrong, sparsity=0.5, rounds=2)


@pytest.mark.parametrize("options", [{"sparsity": 1.0}, {"rounds": 0}, {"scope": "all"}])
def test_bad_arguments(options):
    with pytest.raises(ValueError, match="find_ticket expects"):
        find_ticket(build, train, **options)
