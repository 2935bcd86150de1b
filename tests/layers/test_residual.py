"""ResidualBlock and BottleneckBlock."""

from kerasdnn.layers import BottleneckBlock, DropPath, FusedBatchNormalization, ResidualBlock
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest

to_numpy = keras.ops.convert_to_numpy
EPSILON = 1e-3  # of keras.layers.BatchNormalization


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize(layer, seed=1):
    """Gives each weight, moving variances too, a value in [0.5, 1] so that each one matters."""
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.uniform(0.5, 1.0, size=w.shape) * 0.3 for w in layer.get_weights()])


def normalized(x, norm):
    gamma, beta, mean, variance = norm.get_weights()
    return (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta


def convolved(x, kernel, strides=1):
    """'same' convolution of (B, H, W, C), written out."""
    size = kernel.shape[0]
    rows, columns = -(-x.shape[1] // strides), -(-x.shape[2] // strides)
    pads = [
        max((n_out - 1) * strides + size - n_in, 0)
        for n_out, n_in in ((rows, x.shape[1]), (columns, x.shape[2]))
    ]
    padded = np.pad(x, [(0, 0)] + [(p // 2, p - p // 2) for p in pads] + [(0, 0)])
    y = np.zeros((x.shape[0], rows, columns, kernel.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            window = padded[:, i * strides : i * strides + size, j * strides : j * strides + size]
            y[:, i, j] = np.tensordot(window, kernel, axes=3)
    return y


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize(
    ("cls", "arguments", "width", "weights"),
    [
        (
            ResidualBlock,
            {"strides": 2, "norm_first": True, "squeeze_excite": 2, "drop_path": 0.5},
            4,
            (11, 4, 1),
        ),
        (ResidualBlock, {"fused_batch_norm": True, "activation": "gelu"}, 4, (9, 6, 0)),
        (BottleneckBlock, {"expansion": 2, "groups": 2, "use_batch_norm": False}, 8, (8, 0, 0)),
    ],
)
def test_harness(cls, arguments, width, weights):
    x = images(2, 4, 6, 3)
    strides = arguments.get("strides", 1)
    check_layer(
        cls,
        {"filters": 4, **arguments},
        x,
        expected_output_shape=(2, 4 // strides, 6 // strides, width),
        expected_weights=weights,
    )


@pytest.mark.parametrize(("strides", "channels"), [(1, 4), (2, 4), (1, 3), (2, 3)])
def test_version_1_equals_the_paper(strides, channels):
    x = images(2, 5, 6, channels)
    block = ResidualBlock(4, strides)
    block.build(x.shape)
    randomize(block)
    (conv_a, conv_b), (norm_a, norm_b) = block.convolutions, block.normalizations
    branch = relu(normalized(convolved(x, conv_a.get_weights()[0], strides), norm_a))
    branch = normalized(convolved(branch, conv_b.get_weights()[0]), norm_b)
    shortcut = x
    if (strides, channels) != (1, 4):
        shortcut = convolved(x, block.projection.get_weights()[0], strides)
        shortcut = normalized(shortcut, block.projection_norm)
    expected = relu(branch + shortcut)
    np.testing.assert_allclose(to_numpy(block(x)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("strides", "channels"), [(1, 4), (2, 4), (1, 3)])
def test_version_2_equals_the_paper(strides, channels):
    x = images(2, 5, 6, channels)
    block = ResidualBlock(4, strides, norm_first=True)
    block.build(x.shape)
    randomize(block)
    (conv_a, conv_b), (norm_a, norm_b) = block.convolutions, block.normalizations
    first = relu(normalized(x, norm_a))
    branch = convolved(first, conv_a.get_weights()[0], strides)
    branch = convolved(relu(normalized(branch, norm_b)), conv_b.get_weights()[0])
    shortcut = x
    if (strides, channels) != (1, 4):
        shortcut = convolved(first, block.projection.get_weights()[0], strides)
    np.testing.assert_allclose(to_numpy(block(x)), branch + shortcut, rtol=1e-4, atol=1e-4)


def test_bottleneck_equals_the_paper():
    x = images(2, 4, 4, 6)
    block = BottleneckBlock(2, 2, expansion=3)
    block.build(x.shape)
    randomize(block)
    branch = x
    for index, strides in enumerate((1, 2, 1)):
        kernel = block.convolutions[index].get_weights()[0]
        branch = normalized(convolved(branch, kernel, strides), block.normalizations[index])
        branch = relu(branch) if index < 2 else branch
    shortcut = convolved(x, block.projection.get_weights()[0], 2)
    expected = relu(branch + normalized(shortcut, block.projection_norm))
    np.testing.assert_allclose(to_numpy(block(x)), expected, rtol=1e-4, atol=1e-4)


def test_groups_divide_the_middle_convolution():
    plain, grouped = (BottleneckBlock(8, groups=groups, expansion=2) for groups in (1, 4))
    for block in (plain, grouped):
        block.build((None, 4, 4, 16))
    sizes = [block.convolutions[1].kernel.shape for block in (plain, grouped)]
    assert [tuple(size) for size in sizes] == [(3, 3, 8, 8), (3, 3, 2, 8)]


@pytest.mark.parametrize("arguments", [{}, {"norm_first": True}, {"use_batch_norm": False}])
@pytest.mark.parametrize("cls", [ResidualBlock, BottleneckBlock])
def test_starts_as_its_shortcut(cls, arguments):
    x = np.abs(images(2, 4, 4, 8))  # so that the last activation of v1 changes nothing
    kwargs = {"expansion": 1} if cls is BottleneckBlock else {}
    zeroed = cls(8, **arguments, **kwargs)
    other = cls(8, **arguments, zero_init_last=False, **kwargs)
    np.testing.assert_allclose(to_numpy(zeroed(x, training=True)), x)
    assert np.abs(to_numpy(other(x, training=True)) - x).max() > 0.1


def test_kernels_of_equal_shape_start_different():
    block = ResidualBlock(4, kernel_initializer=keras.initializers.HeNormal())
    block.build((None, 4, 4, 4))
    first, second = (to_numpy(convolution.kernel) for convolution in block.convolutions)
    assert np.any(first != second)


def test_without_shortcut_it_is_the_plain_network_and_not_dead():
    x = images(2, 4, 4, 4)
    block = ResidualBlock(4, use_shortcut=False, drop_path=0.9)
    y = to_numpy(block(x, training=True))
    assert np.any(y != 0, axis=(1, 2, 3)).all()
    assert not any(isinstance(layer, DropPath) for layer in block._flatten_layers())
    branch = relu(normalized(convolved(x, to_numpy(block.convolutions[0].kernel)), _fresh(4)))
    branch = relu(normalized(convolved(branch, to_numpy(block.convolutions[1].kernel)), _fresh(4)))
    np.testing.assert_allclose(to_numpy(_reset_norms(block)(x)), branch, rtol=1e-4, atol=1e-4)


def _fresh(channels):
    norm = keras.layers.BatchNormalization()
    norm.build((None, channels))
    return norm


def _reset_norms(block):
    for norm in block.normalizations:
        norm.set_weights(_fresh(block.filters).get_weights())
    return block


def test_drop_path_leaves_some_samples_to_the_shortcut():
    x = np.abs(images(64, 2, 2, 4))
    block = ResidualBlock(4, drop_path=0.5, zero_init_last=False)
    same = np.all(np.isclose(to_numpy(block(x, training=True)), x), axis=(1, 2, 3))
    assert 10 < same.sum() < 54
    assert not np.all(np.isclose(to_numpy(block(x)), x), axis=(1, 2, 3)).any()


def test_squeeze_excite_gates_the_branch():
    x = np.abs(images(2, 4, 4, 8))
    block = ResidualBlock(8, squeeze_excite=4, zero_init_last=False)
    before = to_numpy(block(x))
    assert block.gate.squeeze.units == 2
    kernel, bias = block.gate.excite.get_weights()
    block.gate.excite.set_weights([kernel * 0, bias - 100.0])  # a closed gate
    np.testing.assert_allclose(to_numpy(block(x)), x, atol=1e-5)
    assert np.abs(before - x).max() > 0.1


def test_fused_normalization_gives_the_same():
    x = images(4, 6, 6, 3)
    plain = ResidualBlock(4, 2, zero_init_last=False)
    fused = ResidualBlock(4, 2, zero_init_last=False, fused_batch_norm=True)
    plain.build(x.shape)
    fused.build(x.shape)
    fused.set_weights(plain.get_weights())
    assert all(isinstance(norm, FusedBatchNormalization) for norm in fused.normalizations)
    expected = to_numpy(plain(x, training=True))
    np.testing.assert_allclose(to_numpy(fused(x, training=True)), expected, rtol=1e-4, atol=1e-4)
    for old, new in zip(plain.get_weights(), fused.get_weights(), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "block",
    [
        lambda: ResidualBlock(6, 2, norm_first=True, squeeze_excite=2, drop_path=0.1),
        lambda: BottleneckBlock(4, 2, groups=2, expansion=2, use_batch_norm=False),
    ],
)
def test_trains_saves_and_reloads(block, tmp_path):
    x, y = images(8, 6, 6, 3), np.arange(8) % 2
    inputs = keras.Input((6, 6, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(block()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(pooled))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [weight.copy() for weight in model.get_weights()]
    model.fit(x, y, batch_size=4, verbose=0)
    trained = [np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(trained)  # from the second step on, also what a zero scale held back at first
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_effect_shortcuts_carry_the_gradient_through_depth(norm_first):
    """He et al. (2015): the plain network loses what the residual one keeps."""

    def first_kernel_change(use_shortcut):
        keras.utils.set_random_seed(0)
        arguments = {"use_batch_norm": False, "zero_init_last": False, "norm_first": norm_first}
        initializer = keras.initializers.RandomNormal(stddev=0.08)  # half of He's
        layers = [
            ResidualBlock(4, use_shortcut=use_shortcut, kernel_initializer=initializer, **arguments)
            for _ in range(12)
        ]
        outputs = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((4, 4, 4)), *layers, *outputs])
        model.compile(keras.optimizers.SGD(0.01), "mse")
        kernel = layers[0].convolutions[0].kernel
        before = to_numpy(kernel).copy()
        model.fit(images(8, 4, 4, 4), np.ones((8, 1)), batch_size=8, verbose=0)
        return np.abs(to_numpy(kernel) - before).max()

    assert first_kernel_change(True) > 1000 * first_kernel_change(False)


@pytest.mark.parametrize("arguments", [(0,), (4, 0), (4, (2, 2)), (4.0,)])
def test_refuses_sizes_that_are_no_positive_int(arguments):
    with pytest.raises(ValueError, match=r"ResidualBlock expects \w+ to be a positive int"):
        ResidualBlock(*arguments)


def test_output_shape_of_unknown_sizes():
    assert ResidualBlock(8, 2).compute_output_shape((None, None, 7, 3)) == (None, None, 4, 8)
    assert BottleneckBlock(8, 2).compute_output_shape((None, 6, 7, 3)) == (None, 3, 4, 32)
