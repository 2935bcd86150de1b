from kerasdnn.layers import (
    LearnedPositionEmbedding,
    RotaryEmbedding,
    SinePositionEncoding,
    TransformerEncoderBlock,
)
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def paper_table(length, width):
    """Section 3.5 of Attention Is All You Need, entry by entry."""
    table = np.zeros((length, width))
    for position in range(length):
        for channel in range(width):
            angle = position / 10000 ** (2 * (channel // 2) / width)
            table[position, channel] = np.cos(angle) if channel % 2 else np.sin(angle)
    return table


@pytest.mark.parametrize("shape", [(2, 7, 6), (2, 3, 5, 8)])
def test_sine_layer(shape):
    check_layer(
        SinePositionEncoding,
        {"max_wavelength": 1000.0},
        np.random.default_rng(0).normal(size=shape).astype("float32"),
        expected_output_shape=shape,
        expected_weights=(0, 0, 0),
        supports_masking=True,
    )


@pytest.mark.parametrize("width", [1, 5, 8])
def test_sine_table_is_the_papers(width):
    y = to_numpy(SinePositionEncoding()(np.zeros((2, 50, width), "float32")))
    np.testing.assert_allclose(y, np.stack([paper_table(50, width)] * 2), atol=2e-5)


def test_sine_grid_has_rows_in_the_first_half_and_columns_in_the_second():
    y = to_numpy(SinePositionEncoding()(np.zeros((2, 4, 6, 8), "float32")))
    table = paper_table(6, 4)
    for row in range(4):
        for column in range(6):
            expected = np.concatenate([table[row], table[column]])
            np.testing.assert_allclose(y[1, row, column], expected, atol=1e-5)


@pytest.mark.parametrize("start", [3, np.int32(3), "tensor"])
def test_start_index_continues_the_table(start):
    start = keras.ops.convert_to_tensor(3, "int32") if start == "tensor" else start
    whole, learned = np.ones((1, 9, 6), "float32"), LearnedPositionEmbedding(9)
    for layer in (SinePositionEncoding(), learned):
        part = layer(whole[:, 3:7], start_index=start)
        np.testing.assert_allclose(to_numpy(part), to_numpy(layer(whole))[:, 3:7], atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("width", [32, 64])
def test_no_two_of_8192_positions_are_alike_in_half_precision(policy, width):
    layer = SinePositionEncoding(dtype=policy)
    y = layer(np.zeros((1, 8192, width), "float32"))
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    assert len(np.unique(to_numpy(y)[0], axis=0)) == 8192


def test_positions_cast_before_the_table_would_collide():
    """The control of the test above: what a compute-dtype position loses."""
    early = keras.ops.cast(keras.ops.cast(np.arange(8192), "bfloat16"), "float32")
    assert len(np.unique(keras.ops.convert_to_numpy(early))) < 2000
    x = np.zeros((1, 1, 64), "float32")
    layer = SinePositionEncoding(dtype="mixed_bfloat16")
    a, b = (layer(x, start_index=keras.ops.convert_to_tensor(i, "int32")) for i in (4097, 4098))
    assert np.abs(to_numpy(a) - to_numpy(b)).max() > 0.1


def test_positions_let_an_encoder_tell_one_order_from_another():
    """Without them the block commutes with any permutation of its tokens."""
    x = np.random.default_rng(0).normal(size=(1, 6, 8)).astype("float32")
    order = np.array([3, 1, 5, 0, 2, 4])
    block, encoding = TransformerEncoderBlock(2, 16), SinePositionEncoding()
    without = to_numpy(block(x))[:, order] - to_numpy(block(x[:, order]))
    positions = to_numpy(encoding(x))
    with_them = to_numpy(block(x + positions))[:, order] - to_numpy(block(x[:, order] + positions))
    assert np.abs(without).max() < 1e-5
    assert np.abs(with_them).max() > 0.1


@pytest.mark.parametrize(
    ("shape", "start", "message"),
    [
        ((2, 6), 0, r"\(B, T, D\) or \(B, H, W, D\); received \(2, 6\)"),
        ((2, 3, 4, 5), 0, "even number of channels for a grid; received 5"),
        ((2, 3, 4, 6), 1, "no start_index for a grid; received 1"),
        ((2, 3, 4), 1.0, "integer; received 1.0"),
    ],
)
def test_sine_rejects(shape, start, message):
    with pytest.raises(ValueError, match=message):
        SinePositionEncoding()(np.zeros(shape, "float32"), start_index=start)


def test_learned_layer():
    check_layer(
        LearnedPositionEmbedding,
        {"max_length": 9, "initializer": "ones"},
        np.random.default_rng(0).normal(size=(2, 7, 6)).astype("float32"),
        expected_output_shape=(2, 7, 6),
        expected_weights=(1, 0, 0),
        supports_masking=True,
    )


def test_learned_rows_are_those_of_the_table_and_learn():
    x = np.zeros((2, 4, 3), "float32")
    inputs = keras.Input((4, 3))
    layer = LearnedPositionEmbedding(6)
    model = keras.Model(inputs, layer(inputs))
    before = to_numpy(layer.table)
    np.testing.assert_allclose(to_numpy(layer(x)), np.stack([before[:4]] * 2))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.train_on_batch(x, np.ones((2, 4, 3)))
    moved = np.abs(to_numpy(layer.table) - before).max(axis=1)
    assert (moved[:4] > 1e-3).all()
    assert (moved[4:] == 0).all()


@pytest.mark.parametrize(("length", "start"), [(7, 0), (3, 4)])
def test_learned_rejects_a_sequence_past_its_end(length, start):
    with pytest.raises(ValueError, match=r"at most 6 positions; received .* ends at 7"):
        LearnedPositionEmbedding(6)(np.zeros((1, length, 2), "float32"), start_index=start)


def test_learned_rejects_grids_and_no_length():
    with pytest.raises(ValueError, match=r"expects \(B, T, D\); received \(1, 2, 2, 4\)"):
        LearnedPositionEmbedding(6)(np.zeros((1, 2, 2, 4), "float32"))
    with pytest.raises(ValueError, match="positive integer; received 0"):
        LearnedPositionEmbedding(0)


def test_rotary_layer():
    check_layer(
        RotaryEmbedding,
        {"max_wavelength": 100.0},
        np.random.default_rng(0).normal(size=(2, 7, 3, 6)).astype("float32"),
        expected_output_shape=(2, 7, 3, 6),
        expected_weights=(0, 0, 0),
        supports_masking=True,
    )


def test_rotary_turns_each_pair_as_a_complex_number():
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 8)).astype("float32")
    y = to_numpy(RotaryEmbedding()(x, start_index=2))
    angles = np.arange(2, 7)[:, None] * 10000.0 ** (-2 * np.arange(4) / 8)
    turned = (x[..., :4] + 1j * x[..., 4:]) * np.exp(1j * angles)[:, None]
    np.testing.assert_allclose(y, np.concatenate([turned.real, turned.imag], -1), atol=1e-5)


def test_rotary_products_depend_on_the_distance_only():
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 1, 1, 1, 16)).astype("float32")
    rotary = RotaryEmbedding()

    def product(i, j):
        return float(
            np.sum(to_numpy(rotary(query, start_index=i)) * to_numpy(rotary(key, start_index=j)))
        )

    for i, j in ((0, 3), (5, 1), (7, 7)):
        assert abs(product(i, j) - product(i + 50, j + 50)) < 1e-4
    assert abs(product(0, 3) - product(0, 9)) > 1e-2  # and it does depend on it
    assert abs(product(7, 7) - float(np.sum(query * key))) < 1e-4


def test_rotary_keeps_far_neighbours_apart_in_bfloat16():
    layer = RotaryEmbedding(dtype="mixed_bfloat16")
    x = np.ones((1, 1, 1, 16), "float32")
    a, b = (
        to_numpy(layer(x, start_index=keras.ops.convert_to_tensor(i, "int32")))
        for i in (4097, 4098)
    )
    assert np.abs(a - b).max() > 0.1


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5)])
def test_rotary_rejects(shape):
    with pytest.raises(ValueError, match=r"with an even D; received"):
        RotaryEmbedding()(np.zeros(shape, "float32"))
