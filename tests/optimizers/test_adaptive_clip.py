from kerasdnn.optimizers import AdaptiveClip
from kerasdnn.testing import check_model

import keras
import numpy as np
import pytest


def to_numpy(x):
    return np.array(keras.ops.convert_to_numpy(x))


def clip(g, w, factor, epsilon=1e-3):
    """The formula of the paper, unit by unit."""
    clipped = g.copy()
    if g.ndim == 1:
        limit = factor * max(np.linalg.norm(w), epsilon)
        return g * min(1, limit / np.linalg.norm(g))
    for unit in range(g.shape[-1]):
        limit = factor * max(np.linalg.norm(w[..., unit]), epsilon)
        clipped[..., unit] *= min(1, limit / np.linalg.norm(g[..., unit]))
    return clipped


def variables(*shapes):
    random = np.random.default_rng(0)
    values = [random.normal(size=shape).astype("float32") for shape in shapes]
    values[-1] *= 0  # weights that start at zero
    made = [keras.Variable(v, name=f"v{i}") for i, v in enumerate(values)]
    grads = [(random.normal(size=s) * 0.3).astype("float32") for s in shapes]
    for g in grads:
        g[..., 0] *= 0.01  # one unit within its limit
    return made, values, grads


def test_is_the_formula_of_the_paper():
    made, values, grads = variables((5, 4), (3, 3, 2, 4), (6,), (4, 3))
    optimizer = AdaptiveClip(keras.optimizers.SGD(1.0), 0.1)
    optimizer.build(made)
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads])
    for variable, w, g in zip(made, values, grads):
        np.testing.assert_allclose(w - to_numpy(variable), clip(g, w, 0.1), rtol=1e-3, atol=1e-6)
    small = values[0][:, 0] - to_numpy(made[0])[:, 0]
    np.testing.assert_allclose(small, grads[0][:, 0], rtol=1e-4, atol=1e-7)  # not clipped
    assert int(to_numpy(optimizer.iterations)) == 1


def test_a_huge_gradient_steps_no_farther():
    steps = []
    for size in (1.0, 1e6):
        made, values, grads = variables((5, 4), (2,))
        optimizer = AdaptiveClip(keras.optimizers.SGD(1.0), 0.01)
        optimizer.build(made)
        optimizer.apply([keras.ops.convert_to_tensor(10 * size * g) for g in grads])
        steps.append(values[0] - to_numpy(made[0]))
    np.testing.assert_allclose(steps[0], steps[1], atol=1e-6)
    assert np.abs(steps[0]).max() > 1e-3


def test_a_fixed_loss_scale_does_not_change_what_is_clipped():
    steps = []
    for scale in (None, 1024.0):
        made, values, grads = variables((5, 4), (2,))
        optimizer = AdaptiveClip(keras.optimizers.SGD(1.0, loss_scale_factor=scale), 0.2)
        assert optimizer.loss_scale_factor == scale
        optimizer.build(made)
        optimizer.apply([keras.ops.convert_to_tensor(g * (scale or 1)) for g in grads])
        steps.append(values[0] - to_numpy(made[0]))
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-5)


def make_model():
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)]
    )
    model.compile(AdaptiveClip(keras.optimizers.AdamW(0.01), 0.05), "mse")
    return model


def test_trains_in_three_precisions_saves_and_reloads():
    x = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    check_model(make_model, x, x[:, :2])


def test_state_goes_through_a_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    model = make_model()
    model.fit(x, x[:, :2], batch_size=8, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(copy.optimizer, AdaptiveClip)
    assert copy.optimizer.clip_factor == 0.05
    for _ in range(2):
        model.fit(x, x[:, :2], batch_size=8, shuffle=False, verbose=0)
        copy.fit(x, x[:, :2], batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), copy.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    copy.optimizer.learning_rate = 0.5
    assert float(to_numpy(copy.optimizer.inner_optimizer.learning_rate)) == 0.5


def test_effect_a_rate_that_diverges_without_it():
    """Deep, without normalization, at a rate far too high: what the paper uses it for."""
    random = np.random.default_rng(0)
    x = random.normal(size=(256, 10)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")

    def final_loss(wrap):
        keras.utils.set_random_seed(0)
        dense = [keras.layers.Dense(32, "relu", kernel_initializer="he_normal") for _ in range(6)]
        model = keras.Sequential([keras.Input((10,)), *dense, keras.layers.Dense(2)])
        optimizer = keras.optimizers.SGD(2.0, momentum=0.9)
        model.compile(
            AdaptiveClip(optimizer, 0.005) if wrap else optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        history = model.fit(x, y, batch_size=32, epochs=6, verbose=0).history
        return history["loss"][-1]

    chance = np.log(2)
    plain = final_loss(False)
    assert not plain < 0.95 * chance
    assert final_loss(True) < 0.7 * chance


def test_excluded_layers_are_not_clipped():
    made, values, grads = variables((5, 4), (2,))
    optimizer = AdaptiveClip(keras.optimizers.SGD(1.0), 1e-4, exclude=["v0"])
    optimizer.build(made)
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads])
    np.testing.assert_allclose(values[0] - to_numpy(made[0]), grads[0], rtol=1e-4, atol=1e-6)


def test_refuses():
    with pytest.raises(ValueError, match="clip_factor above 0"):
        AdaptiveClip("sgd", 0.0)
    with pytest.raises(ValueError, match=r"exclude=\['head'\]"):
        AdaptiveClip("sgd", exclude="head")
    with pytest.raises(ValueError, match=r"Put it around: LossScaleOptimizer\(AdaptiveClip"):
        AdaptiveClip(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()))
    with pytest.raises(ValueError, match="nothere"):
        AdaptiveClip("sgd", exclude=["nothere"]).build(variables((2, 2))[0])
