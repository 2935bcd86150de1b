from kerasdnn.models import ColorPretext, RotationPretext
from kerasdnn.models.pretext import _turn, grey
from kerasdnn.testing import check_model

import keras
import numpy as np
import pytest
from keras import layers, ops

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (8, 8, 8, 1)).astype("float32")
COLOUR = RANDOM.integers(0, 256, (8, 8, 8, 3)).astype("float32")


def encoder(pooled=True):
    end = [layers.GlobalAveragePooling2D()] if pooled else []
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(4, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            *end,
        ]
    )


def rotation():
    model = RotationPretext(encoder(), layers.RandomFlip("horizontal", seed=0))
    model.compile(keras.optimizers.Adam(0.01))
    return model


def color():
    model = ColorPretext(encoder(pooled=False), layers.RandomFlip("horizontal", seed=0), bins=3)
    model.compile(keras.optimizers.Adam(0.01))
    return model


@pytest.mark.parametrize(("make_model", "x"), [(rotation, GREY), (color, COLOUR)])
def test_harness(make_model, x):
    check_model(make_model, x)


@pytest.mark.parametrize("times", range(4))
def test_turns_are_those_of_numpy(times):
    turned = ops.convert_to_numpy(_turn(ops.convert_to_tensor(COLOUR), times))
    np.testing.assert_array_equal(turned, np.rot90(COLOUR, times, axes=(1, 2)))


def test_rotation_is_learned_where_there_is_something_to_see():
    """The effect: images with a bright top can be told apart; images without cannot."""
    top = np.zeros((64, 8, 8, 1), "float32")
    top[:, :3] = 255
    noisy = np.clip(top + RANDOM.normal(size=top.shape) * 20, 0, 255)
    even = RANDOM.integers(0, 256, (64, 8, 8, 1)).astype("float32")
    accuracy = []
    for x in (noisy, even):
        flat = keras.Sequential(
            [keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(8)]
        )
        model = RotationPretext(flat)
        model.compile(keras.optimizers.Adam(0.01))
        model.fit(x[:32], epochs=30, verbose=0)
        accuracy.append(model.evaluate(x[32:], verbose=0, return_dict=True)["accuracy"])
    assert accuracy[0] > 0.95
    assert accuracy[1] < 0.6


def test_colour_bins_against_numpy():
    model = color()
    bins = ops.convert_to_numpy(model.colours(COLOUR))
    assert bins.shape == (8, 4, 4)
    cell = COLOUR[2, 4:6, 2:4].reshape(-1, 3).mean(0) / 255
    red, green, blue = cell
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = 0.5 * (blue - luma) / (1 - 0.114), 0.5 * (red - luma) / (1 - 0.299)
    place = [int(np.clip(np.floor((c + 0.25) / 0.5 * 3), 0, 2)) for c in (cb, cr)]
    assert bins[2, 2, 1] == place[0] * 3 + place[1]
    np.testing.assert_allclose(
        ops.convert_to_numpy(grey(COLOUR))[..., 0], COLOUR @ [0.299, 0.587, 0.114], rtol=1e-5
    )


def test_colours_are_learned_from_brightness():
    """The effect: bright is red and dark is blue, which the task finds out."""
    bright = RANDOM.integers(0, 2, (64, 4, 4, 1)).repeat(2, 1).repeat(2, 2)
    x = np.where(bright, [250.0, 120.0, 120.0], [10.0, 10.0, 90.0]).astype("float32")
    model = ColorPretext(encoder(pooled=False))
    model.compile(keras.optimizers.Adam(0.05))
    before = model.evaluate(x, verbose=0, return_dict=True)["accuracy"]
    model.fit(x, epochs=25, verbose=0)
    after = model.evaluate(x, verbose=0, return_dict=True)["accuracy"]
    assert after > max(0.9, before + 0.2)


def test_features_of_colour_images_are_those_of_their_grey():
    model = color()
    np.testing.assert_allclose(
        model.predict(COLOUR, verbose=0),
        model.predict(ops.convert_to_numpy(grey(COLOUR)), verbose=0),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("make_model", "x", "words"),
    [
        (rotation, GREY[:, :, :6], r"inputs \(N, 8, 8, 1\)"),
        (rotation, GREY / 255, "values from 0 to 1"),
        (rotation, GREY * np.nan, "finite inputs"),
        (color, GREY, r"colour images \(N, 8, 8, 3\); received \(8, 8, 8, 1\)"),
        (color, COLOUR / 255, "pixels 0 to 255; received values from 0 to 1"),
        (color, COLOUR * 2, "pixels 0 to 255"),
        (color, COLOUR * np.nan, "finite pixels"),
        (color, GREY.repeat(3, -1), "three equal channels"),
    ],
)
def test_bad_data_are_refused(make_model, x, words):
    with pytest.raises(ValueError, match=words):
        make_model().fit(x, verbose=0)


def test_bad_encoders_are_refused():
    with pytest.raises(ValueError, match=r"square images \(B, H, H, C\)"):
        RotationPretext(keras.Sequential([keras.Input((8, 6, 1)), layers.Flatten()]))
    with pytest.raises(ValueError, match=r"ends in features \(B, D\)"):
        RotationPretext(encoder(pooled=False))
    with pytest.raises(ValueError, match=r"to a feature map \(B, h, w, D\)"):
        ColorPretext(encoder())
    with pytest.raises(ValueError, match="2 or more; received 1"):
        ColorPretext(encoder(pooled=False), bins=1)
