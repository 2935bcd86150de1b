"""RandomResizedCrop, RandomApply and TwoViews."""

from kerasdnn.layers import RandomApply, RandomResizedCrop, TwoViews
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest

to_numpy = keras.ops.convert_to_numpy


# The harness calls a layer more than once and expects the same again.
STILL = {"training": False}


def images(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype("float32")


def resized(box, height, width):
    """Bilinear resize of (H, W, C) with pixel centres at one half, pixel by pixel."""
    y = np.zeros((height, width, box.shape[2]))
    for i in range(height):
        for j in range(width):
            row = np.clip((i + 0.5) * box.shape[0] / height - 0.5, 0, box.shape[0] - 1)
            column = np.clip((j + 0.5) * box.shape[1] / width - 0.5, 0, box.shape[1] - 1)
            top, left = int(row), int(column)
            bottom, right = min(top + 1, box.shape[0] - 1), min(left + 1, box.shape[1] - 1)
            a, b = row - top, column - left
            upper = (1 - b) * box[top, left] + b * box[top, right]
            lower = (1 - b) * box[bottom, left] + b * box[bottom, right]
            y[i, j] = (1 - a) * upper + a * lower
    return y


def matches(image, outputs, box_height, box_width):
    """All top-left corners at which the resized box of the image is the output."""
    found = []
    for top in range(image.shape[0] - box_height + 1):
        for left in range(image.shape[1] - box_width + 1):
            box = image[top : top + box_height, left : left + box_width]
            if np.allclose(resized(box, *outputs.shape[:2]), outputs, atol=1e-4):
                found.append((top, left))
    return found


def test_crop_harness():
    arguments = {"height": 6, "width": 5, "scale": (0.3, 0.9), "padding": 1, "seed": 3}
    check_layer(
        RandomResizedCrop,
        arguments,
        images(4, 8, 9, 3),
        call_kwargs=STILL,
        expected_output_shape=(4, 6, 5, 3),
        expected_weights=(0, 0, 1),
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_padding_alone_is_the_classic_pad_and_crop(channels):
    x = np.random.default_rng(0).integers(0, 256, (60, 9, 7, channels), dtype="uint8")
    layer = RandomResizedCrop(9, 7, scale=(1, 1), ratio=(1, 1), padding=2, fill_value=7, seed=1)
    y = to_numpy(layer(x))
    assert y.dtype == np.float32
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=7)
    corners = []
    for image, crop in zip(padded, y, strict=True):
        for top, left in np.ndindex(5, 5):
            if np.array_equal(image[top : top + 9, left : left + 7], crop):
                corners.append((top, left))
    assert len(corners) == 60  # one for each sample, bit for bit
    assert {top for top, _ in corners} == {left for _, left in corners} == set(range(5))


@pytest.mark.parametrize(("height", "width"), [(6, 6), (10, 10), (4, 8)])
def test_equals_cut_then_resize(height, width):
    x = images(5, 8, 8, 2)
    scale = 0.25 if height == width else 0.125
    layer = RandomResizedCrop(height, width, scale=(scale, scale), ratio=(1, 1), seed=2)
    box = (4, 4) if height == width else (2, 4)  # of the output's proportions
    for image, crop in zip(x, to_numpy(layer(x)), strict=True):
        assert len(matches(image, crop, *box)) == 1


def test_boxes_keep_area_ratio_and_the_image():
    """A linear ramp stays one under the crop, so its slopes and ends give the box away."""
    rows, columns = np.meshgrid(np.arange(100.0), np.arange(80.0), indexing="ij")
    x = np.tile(np.stack([rows, columns], -1)[None], (400, 1, 1, 1)).astype("float32")
    layer = RandomResizedCrop(10, 10, scale=(0.2, 0.6), ratio=(0.5, 2.0), seed=4)
    y = to_numpy(layer(x))
    box_height, box_width = (y[:, 5, 5] - y[:, 4, 4]).T * 10
    area, ratio = box_height * box_width / 8000, box_width / box_height
    assert 0.19 < area.min() < 0.22
    assert 0.58 < area.max() < 0.61
    assert 0.48 < ratio.min() < 0.55
    assert 1.8 < ratio.max() < 2.1
    assert abs(area.mean() - 0.4) < 0.03  # uniform: 0.4 +- 5 standard errors
    top, left = (y[:, 4, 4] + y[:, 5, 5]).T / 2 + 0.5 - np.stack([box_height, box_width]) / 2
    for start, size, length in ((top, box_height, 100), (left, box_width, 80)):
        assert start.min() > -0.01
        assert (start + size).max() < length + 0.01
        # Offsets use the room that there is: on the mean half of it.
        assert abs((start / np.maximum(length - size, 1)).mean() - 0.5) < 0.08


def test_fill_value_reaches_the_border_only():
    x = np.full((20, 6, 6, 1), 0.25, "float32")
    layer = RandomResizedCrop(12, 12, scale=(1, 1), padding=3, fill_value=0.75, seed=0)
    y = to_numpy(layer(x))
    assert y.min() == pytest.approx(0.25)
    assert y.max() == pytest.approx(0.75)
    unpadded = to_numpy(RandomResizedCrop(12, 12, fill_value=0.75, seed=0)(x))
    np.testing.assert_allclose(unpadded, 0.25, rtol=1e-6)


def test_inference_is_the_identity_or_a_plain_resize():
    x = images(2, 8, 6, 3)
    arguments = {"scale": (0.1, 0.2), "padding": 2, "fill_value": 9.0, "seed": 0}
    same = RandomResizedCrop(8, 6, **arguments)(x, training=False)
    np.testing.assert_array_equal(to_numpy(same), x)
    smaller = to_numpy(RandomResizedCrop(4, 5, **arguments)(x, training=False))
    expected = np.stack([resized(image, 4, 5) for image in x])
    np.testing.assert_allclose(smaller, expected, rtol=1e-4, atol=1e-5)


def test_crop_of_unknown_size_in_a_model():
    model = keras.Sequential([keras.Input((None, None, 3)), RandomResizedCrop(5, 5)])
    assert model.output_shape == (None, 5, 5, 3)
    for x in (images(2, 8, 9, 3), images(3, 5, 5, 3)):
        assert model.predict(x, verbose=0).shape == (len(x), 5, 5, 3)
        assert tuple(model(x, training=True).shape) == (len(x), 5, 5, 3)


def test_same_seed_same_crops_and_each_call_new_ones():
    x = images(4, 8, 8, 1)
    first, second = RandomResizedCrop(8, 8, seed=5), RandomResizedCrop(8, 8, seed=5)
    y = to_numpy(first(x))
    np.testing.assert_array_equal(y, to_numpy(second(x)))
    assert np.any(y != to_numpy(first(x)))
    assert np.any(y != to_numpy(RandomResizedCrop(8, 8, seed=6)(x)))


def test_crop_computes_in_float32_under_mixed_precision():
    # In float16 the inputs are 2048 and 2052, with a mean of 2050; the true mean rounds to 2052.
    x = np.array([[2049.0, 2053.0]] * 4, "float32").reshape(1, 4, 2, 1)
    layer = RandomResizedCrop(4, 1, dtype="mixed_float16")
    y = to_numpy(layer(x, training=False))
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, np.float16(2052.0))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data runs TensorFlow only")
def test_crop_inside_tf_data():
    import tensorflow as tf

    x = images(6, 8, 8, 3)
    layer = TwoViews(RandomResizedCrop(4, 4, padding=1, seed=0))
    batches = list(tf.data.Dataset.from_tensor_slices(x).batch(4).map(layer))
    assert [tuple(a.shape) for a, _ in batches] == [(4, 4, 4, 3), (2, 4, 4, 3)]
    assert np.any(batches[0][0] != batches[0][1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 0}, "height to be a whole number of pixels, 1 or more; received 0"),
        ({"width": 2.5}, "width to be a whole number"),
        ({"padding": -1}, "padding to be a whole number of pixels, 0 or more"),
        ({"scale": (0.0, 1.0)}, "scale as"),
        ({"scale": (0.5, 1.5)}, "scale as"),
        ({"ratio": (2.0, 1.0)}, "ratio as"),
        ({"ratio": 1.0}, "ratio as"),
    ],
)
def test_crop_refuses(arguments, message):
    with pytest.raises(ValueError, match=f"RandomResizedCrop expects {message}"):
        RandomResizedCrop(**{"height": 4, "width": 4, **arguments})


def test_apply_harness():
    x = images(8, 3)
    check_layer(
        RandomApply,
        lambda: {"layer": keras.layers.GaussianNoise(1.0), "rate": 0.5, "seed": 0},
        x,
        call_kwargs=STILL,
        expected_output_shape=x.shape,
        expected_weights=(0, 0, 2),
        supports_masking=True,
    )


def test_apply_takes_the_share_and_nothing_between():
    x = images(400, 2, 3, seed=1) + 1
    layer = RandomApply(keras.layers.Rescaling(-2.0), rate=0.3, seed=0)
    y = to_numpy(layer(x))
    applied = np.any(y < 0, axis=(1, 2))
    np.testing.assert_allclose(y, x * np.where(applied, -2.0, 1.0)[:, None, None], rtol=1e-6)
    assert 0.22 < applied.mean() < 0.38  # 0.3 +- 3.5 standard errors


@pytest.mark.parametrize(("rate", "factor"), [(0.0, 1.0), (1.0, -2.0)])
def test_apply_none_or_all(rate, factor):
    x = images(50, 2)
    layer = RandomApply(keras.layers.Rescaling(-2.0), rate)
    np.testing.assert_allclose(to_numpy(layer(x)), factor * x, rtol=1e-6)
    np.testing.assert_array_equal(to_numpy(layer(x, training=False)), x)


def test_apply_tells_the_layer_that_it_is_training():
    x = np.zeros((20, 3), "float32")
    noise = RandomApply(keras.layers.GaussianNoise(1.0, seed=0), 1.0)
    assert np.all(to_numpy(noise(x)) != 0)


def test_apply_refuses():
    with pytest.raises(ValueError, match=r"RandomApply expects rate in \[0, 1\]; received 1.5"):
        RandomApply(keras.layers.Rescaling(1.0), 1.5)
    with pytest.raises(ValueError, match=r"RandomApply expects a layer that keeps the shape"):
        RandomApply(keras.layers.Dense(4))(images(2, 3))
    with pytest.raises(ValueError, match="isn't a supported layer type"):
        RandomApply(np.negative)


def augmenter():
    return keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=1),
            RandomResizedCrop(6, 6, scale=(0.3, 1.0), seed=2),
            RandomApply(keras.layers.RandomErasing(fill_value=0.0, seed=3), seed=4),
        ]
    )


def test_views_harness():
    check_layer(
        TwoViews,
        lambda: {"augmenter": RandomResizedCrop(5, 4, seed=0)},
        images(3, 6, 6, 1),
        call_kwargs=STILL,
        expected_output_shape=((3, 5, 4, 1), (3, 5, 4, 1)),
        expected_weights=(0, 0, 1),
    )


def test_views_differ_and_agree_at_inference():
    x = images(16, 6, 6, 1)
    views = TwoViews(augmenter())
    a, b = (to_numpy(view) for view in views(x))
    # Boxes lie on whole pixels, so two of so small an image can be the same by chance.
    assert np.any(a != b, axis=(1, 2, 3)).mean() > 0.8
    a, b = (to_numpy(view) for view in views(x, training=False))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, x)


def test_views_of_a_saved_model(tmp_path):
    x = images(4, 6, 6, 1)
    inputs = keras.Input((6, 6, 1))
    keras.Model(inputs, TwoViews(augmenter())(inputs)).save(tmp_path / "views.keras")
    loaded = keras.models.load_model(tmp_path / "views.keras")
    a, b = (to_numpy(view) for view in loaded(x, training=True))
    assert np.any(a != b)
    assert all(np.array_equal(to_numpy(view), x) for view in loaded(x, training=False))


def test_effect_crops_teach_where_an_object_may_stand():
    """Train with bars in the middle, test with bars shifted by up to two pixels."""
    rng = np.random.default_rng(0)

    def bars(n, shifts):
        x, y = rng.normal(0, 0.1, (n, 9, 9, 1)).astype("float32"), np.arange(n) % 2
        for image, label in zip(x, y, strict=True):
            row, column = 4 + rng.choice(shifts), 4 + rng.choice(shifts)
            line = image[row, 2:7] if label else image[2:7, column]
            line += 1.0
        return x, y

    x, y = bars(256, [0])
    x_test, y_test = bars(256, [-2, -1, 1, 2])

    def accuracy(layers):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((9, 9, 1)),
                *layers,
                keras.layers.Flatten(),
                keras.layers.Dense(32, activation="relu"),
                keras.layers.Dense(2),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
        model.fit(x, y, batch_size=64, epochs=12, verbose=0)
        return model.evaluate(x_test, y_test, verbose=0)[1]

    crop = RandomResizedCrop(9, 9, scale=(1, 1), ratio=(1, 1), padding=2, seed=0)
    assert accuracy([crop]) > accuracy([]) + 0.1
