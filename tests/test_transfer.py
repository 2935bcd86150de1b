from kerasdnn.layers import FusedBatchNormalization, ResidualBlock
from kerasdnn.optimizers import LayerDecay
from kerasdnn.transfer import fine_tune, freeze_batch_norm, unfreeze_from

import keras
import numpy as np
import pytest


def network(norm=keras.layers.BatchNormalization):
    """A base with a normalization of its own, and one inside a composite layer."""
    keras.utils.set_random_seed(0)
    base_input = keras.Input((4, 4, 2))
    h = keras.layers.Conv2D(4, 3, padding="same", name="stem")(base_input)
    h = keras.layers.Activation("relu")(norm(name="norm")(h))
    h = ResidualBlock(4, zero_init_last=False, name="block")(h)
    base = keras.Model(base_input, keras.layers.GlobalAveragePooling2D()(h), name="base")
    inputs = keras.Input((4, 4, 2))
    # As Keras' guide has it; under fit it does not keep the statistics (keras#20285).
    outputs = keras.layers.Dense(1, name="head")(base(inputs, training=False))
    return keras.Model(inputs, outputs), base


def data(n=16):
    x = np.random.default_rng(0).normal(2.0, 3.0, (n, 4, 4, 2)).astype("float32")
    return x, x.mean((1, 2))[:, :1]


def moved(model, x, y):
    """Returns the paths of the weights that one epoch changes."""
    before = model.get_weights()
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=8, verbose=0)
    return {w.path for w, b, a in zip(model.weights, before, model.get_weights()) if np.any(a != b)}


@pytest.mark.parametrize("norm", [keras.layers.BatchNormalization, FusedBatchNormalization])
def test_no_statistic_moves_after_freeze_batch_norm(norm):
    x, y = data()
    model, base = network(norm)
    base.trainable = True
    statistics = {w.path for w in base.weights if "moving" in w.path}
    assert len(statistics) == 6
    assert statistics <= moved(model, x, y)  # what training=False does not prevent: D1
    frozen = freeze_batch_norm(model)
    assert len(frozen) == 3
    names = {layer.name for layer in frozen}
    after = moved(model, x, y)
    assert after
    assert not {path for path in after if path.split("/")[-2] in names}


def test_a_compiled_model_notices():
    if keras.backend.backend() == "jax":
        pytest.skip("on JAX the optimizer refuses another number of variables: compile says so")
    x, y = data()
    model, base = network()
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    freeze_batch_norm(model)
    before = [np.array(w) for w in base.get_layer("norm").get_weights()]
    model.fit(x, y, verbose=0)
    for a, b in zip(before, base.get_layer("norm").get_weights()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("layer", ["block", 4, -2])
def test_unfreeze_from(layer):
    x, y = data()
    model, base = network()
    base.trainable = False
    assert {path.split("/")[-2] for path in moved(model, x, y)} == {"head"}
    names = [each.name for each in unfreeze_from(base, layer)]
    assert names[0] == "block"
    after = moved(model, x, y)
    assert any("conv" in path for path in after)
    assert not any("moving" in path or "gamma" in path or "stem" in path for path in after)
    assert base.get_layer("stem").trainable is False


def test_unfreeze_all_with_batch_norm():
    x, y = data()
    model, base = network()
    base.trainable = False
    unfreeze_from(base, 0, batch_norm=True)
    assert len(moved(model, x, y)) == len(model.weights)


def test_fine_tune_moves_the_base_gently_and_its_statistics_not_at_all():
    x, y = data(32)
    model, _ = network()
    before = {w.path: np.array(keras.ops.convert_to_numpy(w)) for w in model.weights}
    history = fine_tune(
        model,
        x,
        y,
        base="base",
        loss="mse",
        epochs=2,
        head_epochs=3,
        learning_rate=0.05,
        batch_size=8,
        verbose=0,
    )
    assert len(history["loss"]) == 5
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert isinstance(model.optimizer, LayerDecay)
    change = {
        w.path: np.abs(np.array(keras.ops.convert_to_numpy(w)) - before[w.path]).mean()
        for w in model.weights
    }
    kernels = {path: c for path, c in change.items() if path.endswith("kernel")}
    stem, head = (next(c for p, c in kernels.items() if name in p) for name in ("stem", "head"))
    assert 0 < stem < 0.5 * head
    assert all(c == 0 for path, c in change.items() if "moving" in path or "gamma" in path)


def test_fine_tune_head_only_and_refusals():
    x, y = data()
    model, base = network()
    before = base.get_weights()
    calls = []

    def fit(model, x, y, **options):
        calls.append(options["epochs"])
        return model.fit(x, y, verbose=0, **options).history

    fine_tune(model, x, y, base=base, loss="mse", epochs=0, head_epochs=2, fit=fit)
    assert calls == [2]
    for a, b in zip(before, base.get_weights()):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="Its layers are"):
        fine_tune(model, x, y, base=keras.Sequential([], name="other"), loss="mse", epochs=1)
    with pytest.raises(ValueError, match=r"expects a layer of 'base'; received 'nothere'"):
        unfreeze_from(base, "nothere")
