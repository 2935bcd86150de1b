from kerasdnn.optimizers import LayerDecay, layer_decay
from kerasdnn.testing import check_model

import keras
import numpy as np
import pytest


def to_numpy(x):
    return np.array(keras.ops.convert_to_numpy(x))


def network(seed=0):
    keras.utils.set_random_seed(seed)
    base = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Activation("relu"),
            keras.layers.Dense(8, name="second"),
        ],
        name="base",
    )
    return keras.Sequential([keras.Input((6,)), base, keras.layers.Dense(2, name="head")])


def data(n=32):
    x = np.random.default_rng(1).normal(size=(n, 6)).astype("float32")
    return x, x[:, :2] * 2


def test_depth_counts_layers_with_kernels_inside_nested_models():
    model = network()
    scales = layer_decay(model, "sgd", 0.5).scales
    names = [v.path.split("/")[-2] for v in model.trainable_variables]
    expected = {"first": 0.25, "norm": 0.25, "second": 0.5, "head": 1.0}
    assert scales == [expected[name] for name in names]


@pytest.mark.parametrize(
    "make",
    [
        lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
        lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.1),
    ],
    ids=["momentum", "adamw"],
)
def test_is_the_same_as_a_smaller_rate(make):
    """Each variable moves as under an optimizer of its own rate, after several steps too."""
    x, y = data()
    steps = 4
    scale = 0.5

    def run(optimizer, trained):
        model = network()
        for layer in model.layers[0].layers:
            layer.trainable = layer.name == "first"
        model.get_layer("head").trainable = False
        optimizer = LayerDecay(optimizer, [scale, scale]) if trained else optimizer
        model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=8, epochs=steps, shuffle=False, verbose=0)
        return model.layers[0].get_layer("first").get_weights()

    ours = run(make(0.01), True)
    reference = run(make(0.01 * scale), False)
    unscaled = run(make(0.01), False)
    for a, b, c in zip(ours, reference, unscaled):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        assert np.abs(a - c).max() > 1e-3


def test_rate_one_changes_nothing():
    x, y = data()
    results = []
    for wrap in (lambda m, o: o, lambda m, o: layer_decay(m, o, 1.0)):
        model = network()
        model.compile(wrap(model, keras.optimizers.Adam(0.01)), "mse")
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)


def test_schedules_and_callbacks_see_one_learning_rate():
    x, y = data()
    model = network()
    model.compile(layer_decay(model, keras.optimizers.Adam(0.01), 0.5), "mse")
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[halve])
    assert float(to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.0025)
    assert int(to_numpy(model.optimizer.iterations)) == 8


def make_model():
    model = network()
    model.compile(layer_decay(model, keras.optimizers.Adam(0.01), 0.5), "mse")
    return model


def test_trains_in_three_precisions_saves_and_reloads():
    x, y = data(8)
    check_model(make_model, x, y)


def test_state_goes_through_a_file(tmp_path):
    x, y = data()
    model = make_model()
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    assert copy.optimizer.scales == model.optimizer.scales
    for m in (model, copy):
        m.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), copy.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_effect_earlier_layers_move_less():
    x, y = data()
    moved = {}
    for rate in (1.0, 0.3):
        model = network()
        before = model.layers[0].get_layer("first").get_weights()[0]
        model.compile(layer_decay(model, keras.optimizers.Adam(0.01), rate), "mse")
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        moved[rate] = np.abs(model.layers[0].get_layer("first").get_weights()[0] - before).mean()
    assert moved[0.3] < 0.2 * moved[1.0]  # 0.3 to the second power, and Adam's steps are alike


def test_refuses():
    model = network()
    with pytest.raises(ValueError, match=r"rate in \(0, 1\]"):
        layer_decay(model, "sgd", 0.0)
    with pytest.raises(ValueError, match="Call it on one batch first"):
        layer_decay(keras.Sequential([keras.layers.Dense(2)]), "sgd")
    with pytest.raises(ValueError, match="ModelEMA"):
        layer_decay(model, keras.optimizers.SGD(use_ema=True))
    optimizer = layer_decay(model, "sgd")
    model.get_layer("head").trainable = False
    with pytest.raises(ValueError, match="Freeze layers first"):
        optimizer.build(model.trainable_variables)
