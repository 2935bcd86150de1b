"""What the recipes compute themselves, on cases with a known answer."""

from recipes.basics import activations, initializers
from recipes.vision import fast_cnn

import keras
import numpy as np
import pytest

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1)).astype("uint8")


@pytest.mark.parametrize("name", ["sigmoid", "ReLU"])
def test_units_that_no_image_changes_are_dead(name, monkeypatch):
    monkeypatch.setattr(activations, "DEPTH", 2)
    model = activations.build(activation=name)
    first, second = activations.hidden_layers(model)[0]
    half = np.repeat([0.0, -1e4], activations.WIDTH // 2)
    kernel, _ = first.get_weights()
    first.set_weights([kernel, half])
    kernel, _ = second.get_weights()
    second.set_weights([np.abs(kernel), np.full(activations.WIDTH, -1e4)])
    assert activations.dead_share(model, IMAGES) == 0.75
    second.set_weights([np.abs(kernel), np.zeros(activations.WIDTH)])
    assert activations.dead_share(model, IMAGES) == 0.25


def test_slope_of_softmax_is_that_of_an_output_by_its_own_input():
    z = keras.ops.convert_to_tensor(np.array([[0.0, np.log(3.0)]], "float32"))
    slopes = activations.slope(keras.layers.Softmax(), z)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(slopes), [[3 / 16, 3 / 16]], rtol=1e-5)


def test_signal_and_gradient_shrink_with_the_weights():
    depth, found = 6, {}
    for name in ("He", "He x 0.1"):
        model = initializers.build(name=name, depth=depth)
        model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        found[name] = initializers.at_the_start(model, IMAGES, np.arange(20) % 10, depth)
    assert found["He"]["log10 signal"] == pytest.approx(0.0, abs=0.5)
    # Five layers of a tenth lie between the ends; the gradient comes through the output layer too.
    assert found["He x 0.1"]["log10 signal"] == pytest.approx(-5.0, abs=0.5)
    shrunk = found["He x 0.1"]["log10 first gradient"] - found["He"]["log10 first gradient"]
    assert shrunk == pytest.approx(-6.0, abs=1.0)


def test_every_image_is_mirrored_in_one_of_two_epochs():
    x = np.zeros((512, 6, 6, 1), "uint8")
    x[:, 2, 1, 0] = 1 + np.arange(512) % 200  # a dot left of the middle names the image
    y = np.arange(512)
    views = fast_cnn.Views(x, y, shift=0, seed=3)
    sides = []
    for _ in range(2):
        images, labels = map(np.concatenate, zip(*(views[i] for i in range(len(views)))))
        assert sorted(labels) == list(range(512))
        assert images.shape == (512, 6, 6, 1)
        assert images.dtype == x.dtype
        np.testing.assert_array_equal(images.max(axis=(1, 2, 3)), 1 + labels % 200)
        order = np.argsort(labels)
        sides.append(images[order, 2, 4, 0] > 0)
        views.on_epoch_end()
    assert 100 < sides[0].sum() < 400
    np.testing.assert_array_equal(sides[0], ~sides[1])


def test_shifts_move_each_image_by_its_own_amount_and_no_further():
    x = np.zeros((256, 9, 9, 1), "uint8")
    x[:, 4, 4, 0] = 1  # the middle, which mirroring leaves in place
    views = fast_cnn.Views(x, np.arange(256), shift=2, seed=0)
    places = np.argwhere(views[0][0])
    assert places.shape == (256, 4)
    assert set(places[:, 1]) == set(places[:, 2]) == {2, 3, 4, 5, 6}
