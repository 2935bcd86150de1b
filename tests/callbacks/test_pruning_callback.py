"""PruneToSparsity: zeros that are exact, stay, and were the right ones to choose."""

from kerasdnn import pruning
from kerasdnn.callbacks import PruneToSparsity
from kerasdnn.optimizers import Masked
from kerasdnn.saving import load_model

import keras
import numpy as np
import pytest
from keras import layers

X = np.random.default_rng(0).normal(size=(96, 12)).astype("float32")
Y = (X[:, :3].sum(1, keepdims=True)).astype("float32")
LONG = np.tile(X, (20, 1)), np.tile(Y, (20, 1))  # an epoch costs more than its steps


def make_model(optimizer=None, units=16):
    model = keras.Sequential(
        [keras.Input((12,)), layers.Dense(units, activation="relu", name="a"), layers.Dense(1)]
    )
    model.compile(optimizer or keras.optimizers.AdamW(1e-2, weight_decay=0.01), "mse")
    return model


def zeros(model):
    return [w == 0 for w in model.get_weights() if w.ndim > 1]


def share(model):
    masks = zeros(model)
    return sum(m.sum() for m in masks) / sum(m.size for m in masks)


def test_zeros_stay_through_fit_save_reload_and_fit(tmp_path):
    model = make_model()
    history = model.fit(
        X, Y, batch_size=16, epochs=4, verbose=0, callbacks=[PruneToSparsity(0.75, end=0.5)]
    )
    assert history.history["sparsity"][-1] == 0.75
    assert share(model) == 0.75
    before = zeros(model)
    model.fit(X, Y, batch_size=16, verbose=0)  # no callback: the masks are in the optimizer
    for a, b in zip(before, zeros(model), strict=True):
        np.testing.assert_array_equal(a, b)
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    for a, b in zip(before, zeros(again), strict=True):
        np.testing.assert_array_equal(a, b)
    weights = again.get_weights()
    again.fit(X, Y, batch_size=16, verbose=0)
    for a, b in zip(before, zeros(again), strict=True):
        np.testing.assert_array_equal(a, b)
    moved = zip(weights, again.get_weights(), strict=True)
    assert all(not np.array_equal(a, b) for a, b in moved)


def test_without_the_mask_the_zeros_come_back():
    model = make_model()
    model.fit(X, Y, verbose=0, callbacks=[PruneToSparsity(0.75, "constant")])
    assert pruning.strip(model) is model
    assert not isinstance(model.optimizer, Masked)
    assert type(model.optimizer).__name__ == "AdamW"
    assert share(model) == 0.75
    model.fit(X, Y, verbose=0)
    assert share(model) < 0.1  # a unit that never fires gets no gradient: its zeros may stay


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.SGD(0.05, momentum=0.9, weight_decay=0.01),
        lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5),
        lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    ],
    ids=["momentum and decay", "averaged weights", "accumulated gradients"],
)
def test_zeros_stay_whatever_the_optimizer_does(make):
    model = make_model(make())
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[PruneToSparsity(0.5)])
    assert share(model) == 0.5
    model.fit(X, Y, batch_size=16, verbose=0)
    assert share(model) == 0.5


def test_under_mixed_float16_the_loss_scale_stays_outside(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = make_model()
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[PruneToSparsity(0.5)])
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert isinstance(model.optimizer.inner_optimizer, Masked)
    assert share(model) == 0.5
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    again.fit(X, Y, batch_size=16, verbose=0)
    assert share(again) == 0.5


def test_prunes_what_matters_least():
    # Nine of twelve inputs are noise: their weights are the ones to go.
    model = make_model(keras.optimizers.Adam(0.02), units=1)
    model.fit(*LONG, batch_size=32, epochs=2, verbose=0)
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[PruneToSparsity(9 / 13)])
    kernel = model.get_layer("a").get_weights()[0][:, 0]
    assert (kernel[:3] != 0).all()
    assert (kernel[3:] == 0).all()


def test_magnitude_beats_random():
    losses = {}
    for criterion in ("magnitude", "random"):
        keras.utils.set_random_seed(1)
        model = make_model(keras.optimizers.Adam(0.01))
        model.fit(*LONG, batch_size=32, epochs=2, verbose=0)
        callback = PruneToSparsity(0.9, "constant", criterion=criterion)
        model.fit(X, Y, batch_size=16, verbose=0, callbacks=[callback])
        losses[criterion] = model.evaluate(X, Y, verbose=0)
        assert share(model) == pytest.approx(0.9, abs=0.5 / 208)
    assert losses["magnitude"] < 0.75 * losses["random"]


def test_polynomial_schedule_and_begin():
    model = make_model()
    callback = PruneToSparsity(0.8, begin=0.25, end=0.75, updates=2)
    history = model.fit(X, Y, batch_size=96, epochs=4, verbose=0, callbacks=[callback])
    wanted = [0.0, 0.8 * (1 - 0.5**3), 0.8, 0.8]
    assert history.history["sparsity"] == pytest.approx(wanted, abs=0.5 / 208)


def test_layer_scope_and_ignored():
    model = make_model()
    callback = PruneToSparsity(0.5, "constant", scope="layer")
    model.fit(X, Y, verbose=0, callbacks=[callback])
    assert [z.mean() for z in zeros(model)] == [0.5, 0.5]
    model = make_model()
    model.fit(X, Y, verbose=0, callbacks=[PruneToSparsity(0.5, "constant", ignored=("a",))])
    assert [z.mean() for z in zeros(model)] == [0.0, 0.5]


def test_two_of_four():
    inputs = keras.Input((6, 6, 4))
    x = layers.Conv2D(6, 3, name="conv")(inputs)
    x = layers.Reshape((16, 6))(x)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, layers.Dense(1, name="odd")(x))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    images = np.random.default_rng(0).normal(size=(8, 6, 6, 4))
    with pytest.warns(UserWarning, match=r"leaves .*odd/kernel whole: 4 does not divide"):
        model.fit(images, np.ones((8, 1)), verbose=0, callbacks=[PruneToSparsity(0.5, n_m=(2, 4))])
    kernel = model.get_layer("conv").get_weights()[0]  # (3, 3, 4, 6)
    assert ((kernel != 0).sum(axis=2) == 2).all()
    output = model.get_layer("attention").get_weights()[6]  # (heads, key_dim, D): sums over two
    assert ((output != 0).reshape(2, 4, 6).sum(axis=1) == 2).all()


def test_goes_on_from_the_masks_it_finds():
    model = make_model()
    model.fit(X, Y, verbose=0, callbacks=[PruneToSparsity(0.5, "constant")])
    before = zeros(model)
    model.fit(X, Y, verbose=0, callbacks=[PruneToSparsity(0.75, "constant")])
    assert share(model) == 0.75
    assert all((b & a).sum() == a.sum() for a, b in zip(before, zeros(model), strict=True))


def test_a_branch_that_starts_at_zero_is_not_pruned():
    model = keras.Sequential(
        [keras.Input((12,)), layers.Dense(8), layers.Dense(1, kernel_initializer="zeros")]
    )
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, callbacks=[PruneToSparsity(0.05, begin=1.0, end=1.0)])
    assert model.get_weights()[2].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": 1.0}, r"target in \(0, 1\); received 1.0"),
        ({"target": 0.5, "scope": "model"}, 'scope "global" or "layer"; received'),
        ({"target": 0.5, "schedule": "linear"}, "received 'linear'"),
        ({"target": 0.5, "begin": 0.8}, r"begin <= end <= 1; received \(0.8, 0.6\)"),
        ({"target": 0.9, "n_m": (2, 4)}, r"target 0.5 for n_m=\(2, 4\); received 0.9"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PruneToSparsity(**arguments)


def test_unknown_layer_leaves_the_model_unchanged():
    model = make_model()
    before, optimizer = model.get_weights(), model.optimizer
    with pytest.raises(ValueError, match=r"received 'b'\. The model has a, dense"):
        model.fit(X, Y, verbose=0, callbacks=[PruneToSparsity(0.5, ignored=("b",))])
    assert model.optimizer is optimizer
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
