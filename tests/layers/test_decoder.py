from kerasdnn.layers import SinePositionEncoding, TransformerDecoderBlock
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest

JIT = keras.backend.backend() == "jax"  # elsewhere compiling takes longer than it saves
MEMORY_MASK = np.array([[True] * 3 + [False] * 4, [False] * 7])
MASK = np.array([[True] * 5, [True] * 3 + [False] * 2])


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def tokens(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def decode(block, x, memory, cache, mask=None, step=1):
    """Feeds x piece by piece and joins the outputs."""
    outputs = []
    for t in range(0, x.shape[1], step):
        piece = None if mask is None else mask[:, t : t + step]
        y, cache = block(x[:, t : t + step], memory, mask=piece, cache=cache)
        outputs.append(to_numpy(y))
    return np.concatenate(outputs, axis=1)


@pytest.mark.parametrize("norm_first", [True, False])
def test_layer(norm_first):
    check_layer(
        TransformerDecoderBlock,
        {
            "num_heads": 2,
            "mlp_dim": 12,
            "dropout": 0.1,
            "activation": "relu",
            "norm_first": norm_first,
            "drop_path": 0.1,
        },
        (tokens(4, 5, 8), tokens(4, 7, 6)),
        expected_output_shape=(4, 5, 8),
        expected_weights=(26, 0, 4),
        supports_masking=True,
    )


@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_does_not_leak(scores, dropout):
    first, memory = tokens(16, 6, 8), tokens(16, 7, 8, seed=1)
    second = first.copy()
    second[:, 4:] = 9.0
    block = TransformerDecoderBlock(2, 16, dropout=dropout, drop_path=dropout)
    block(first, memory)
    seeds = [v for v in block.non_trainable_variables if "seed" in v.path]
    states = [keras.ops.convert_to_numpy(v) for v in seeds]
    outputs = []
    for x in (first, second):
        for variable, state in zip(seeds, states):
            variable.assign(state)
        keras.utils.set_random_seed(0)  # Torch drops by its global generator
        y = block(x, memory, return_attention_scores=scores, training=dropout > 0)
        outputs.append(to_numpy(keras.tree.flatten(y)[0]))
    np.testing.assert_array_equal(outputs[0][:, :4], outputs[1][:, :4])
    assert np.abs(outputs[0][:, 4:] - outputs[1][:, 4:]).max() > 0.1


def test_padding_of_either_side_does_not_change_real_tokens():
    x, memory = tokens(2, 4, 8), tokens(2, 3, 6, seed=1)
    long_x = np.concatenate([x, np.full((2, 2, 8), 9.0, "float32")], axis=1)
    long_memory = np.concatenate([memory, np.full((2, 4, 6), 9.0, "float32")], axis=1)
    mask, memory_mask = np.ones((2, 6), bool), np.ones((2, 7), bool)
    mask[:, 4:], memory_mask[:, 3:] = False, False
    block = TransformerDecoderBlock(2, 16)
    alone = to_numpy(block(x, memory))
    among = to_numpy(block(long_x, long_memory, mask=mask, memory_mask=memory_mask))
    np.testing.assert_allclose(among[:, :4], alone, atol=1e-5)
    assert np.abs(to_numpy(block(long_x, long_memory))[:, :4] - alone).max() > 1e-2  # control


def test_left_padding_of_the_target_is_not_seen():
    x, memory = tokens(1, 4, 8), tokens(1, 3, 8, seed=1)
    padded = np.concatenate([np.full((1, 2, 8), 9.0, "float32"), x], axis=1)
    mask = np.array([[False, False, True, True, True, True]])
    block = TransformerDecoderBlock(2, 16)
    among = to_numpy(block(padded, memory, mask=mask))
    np.testing.assert_allclose(among[:, 2:], to_numpy(block(x, memory)), atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_rows_sum_to_one_whatever_is_masked(policy):
    block = TransformerDecoderBlock(2, 16, dropout=0.5, dtype=policy)
    y, scores = block(
        tokens(2, 5, 8),
        tokens(2, 7, 6),
        mask=MASK,
        memory_mask=MEMORY_MASK,
        return_attention_scores=True,
        training=True,
    )
    assert {k: tuple(v.shape) for k, v in scores.items()} == {
        "self": (2, 2, 5, 5),
        "cross": (2, 2, 5, 7),
    }
    for rows in scores.values():
        assert keras.backend.standardize_dtype(rows.dtype) == "float32"
        np.testing.assert_allclose(to_numpy(rows).sum(axis=-1), 1.0, atol=1e-5)
    assert np.abs(to_numpy(scores["cross"])[0, :, :, 3:]).max() == 0.0
    assert np.isfinite(to_numpy(y)).all()


def test_keras_masks_of_both_sides_reach_every_block():
    """MultiHeadAttention takes the mask off its inputs: a second block must still see it."""
    source, target = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    memory = keras.layers.Embedding(9, 6, mask_zero=True)(source)
    x = keras.layers.Embedding(9, 8, mask_zero=True)(target)
    for _ in range(2):
        x = TransformerDecoderBlock(2, 16)(x, memory)
    model = keras.Model([source, target], [x, keras.layers.GlobalAveragePooling1D()(x)])
    y, mean = model.predict_on_batch([np.array([[3, 1, 0, 0]]), np.array([[0, 0, 7, 8, 2]])])
    alone, mean_alone = model.predict_on_batch([np.array([[3, 1]]), np.array([[7, 8, 2]])])
    np.testing.assert_allclose(y[:, 2:], alone, atol=1e-5)
    np.testing.assert_allclose(mean, mean_alone, atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_cached_decoding_equals_full_decoding(policy, norm_first, masked):
    x, memory = tokens(2, 5, 8), tokens(2, 7, 6, seed=1)
    mask, memory_mask = (MASK, MEMORY_MASK) if masked else (None, None)
    block = TransformerDecoderBlock(2, 16, dropout=0.1, norm_first=norm_first, dtype=policy)
    full = to_numpy(block(x, memory, mask=mask, memory_mask=memory_mask))
    tolerance = {"float32": 1e-5, "mixed_bfloat16": 0.06, "mixed_float16": 0.01}[policy]
    for step in (1, 2, 5):  # a token, a few, a whole prompt
        cache = block.make_cache(memory, 5, memory_mask)
        steps = decode(block, x, memory, cache, mask, step)
        np.testing.assert_allclose(steps, full, atol=tolerance)


def test_cached_scores_are_rows_of_the_full_ones():
    x, memory = tokens(2, 5, 8), tokens(2, 7, 6, seed=1)
    block = TransformerDecoderBlock(2, 16)
    _, full = block(x, memory, return_attention_scores=True)
    _, cache = block(x[:, :4], memory, cache=block.make_cache(memory, 6))
    _, scores, cache = block(x[:, 4:], memory, cache=cache, return_attention_scores=True)
    assert tuple(scores["self"].shape) == (2, 2, 1, 6)
    last = {k: to_numpy(v)[:, :, 4:] for k, v in full.items()}
    np.testing.assert_allclose(to_numpy(scores["self"])[..., :5], last["self"], atol=1e-6)
    np.testing.assert_allclose(to_numpy(scores["cross"]), last["cross"], atol=1e-6)
    assert to_numpy(cache["length"]).tolist() == [5, 5]


def test_greedy_decoding_with_a_compiled_step_gives_the_same_tokens():
    """Two blocks, positions, a vocabulary of 20: the step is one model, compiled once."""
    embed, positions = keras.layers.Embedding(20, 16), SinePositionEncoding()
    blocks = [TransformerDecoderBlock(2, 32) for _ in range(2)]
    head = keras.layers.Dense(20)
    memory = tokens(3, 4, 16)

    def full(ids):
        x = embed(ids)
        x = x + positions(x)
        for block in blocks:
            x = block(x, memory)
        return to_numpy(head(x)).argmax(axis=-1)

    ids = np.zeros((3, 8), "int32")
    ids[:, 0] = [1, 2, 3]
    for t in range(7):
        ids[:, t + 1] = full(ids)[:, t]  # the block is causal: what follows t is not seen

    caches = [block.make_cache(memory, 8) for block in blocks]
    caches = keras.tree.map_structure(keras.ops.convert_to_numpy, caches)
    inputs = {
        "ids": keras.Input((1,), dtype="int32", name="ids"),
        "memory": keras.Input((4, 16), name="memory"),
        "caches": [
            {k: keras.Input(tuple(v.shape[1:]), dtype=v.dtype) for k, v in cache.items()}
            for cache in caches
        ],
    }
    x = embed(inputs["ids"])
    x = x + positions(x, start_index=inputs["caches"][0]["length"][0])
    grown = []
    for block, cache in zip(blocks, inputs["caches"]):
        x, cache = block(x, inputs["memory"], cache=cache)
        grown.append(cache)
    step = keras.Model(inputs, {"logits": head(x), "caches": grown})

    token, decoded = ids[:, :1], [ids[:, :1]]
    for _ in range(7):
        result = step.predict_on_batch({"ids": token, "memory": memory, "caches": caches})
        token, caches = result["logits"][:, -1].argmax(axis=-1)[:, None], result["caches"]
        decoded.append(token)
    np.testing.assert_array_equal(np.concatenate(decoded, axis=1), ids)
    assert len(np.unique(ids)) > 4  # not one token over and over


def test_beams_are_reordered_by_taking_rows_of_every_tensor():
    x, memory = tokens(3, 3, 8), tokens(3, 4, 8, seed=1)
    block = TransformerDecoderBlock(2, 16)
    block(x, memory)
    _, cache = block(x[:, :2], memory, cache=block.make_cache(memory, 3))
    beams = np.array([2, 0, 0])
    cache = {k: keras.ops.take(v, beams, axis=0) for k, v in cache.items()}
    y, _ = block(x[beams, 2:], memory[beams], cache=cache)
    np.testing.assert_allclose(to_numpy(y), to_numpy(block(x, memory))[beams, 2:], atol=1e-5)


def test_a_cache_is_not_changed_in_place():
    x, memory = tokens(1, 2, 8), tokens(1, 4, 8, seed=1)
    block = TransformerDecoderBlock(2, 16)
    block(x, memory)
    cache = block.make_cache(memory, 2)
    before = {k: to_numpy(v) for k, v in cache.items()}
    block(x, memory, cache=cache)
    for name, value in cache.items():
        np.testing.assert_array_equal(to_numpy(value), before[name])


def test_past_the_end_of_the_cache_the_outputs_are_nan():
    x, memory = tokens(1, 3, 8), tokens(1, 4, 8, seed=1)
    block = TransformerDecoderBlock(2, 16)
    block(x, memory)
    y, cache = block(x[:, :2], memory, cache=block.make_cache(memory, 2))
    assert np.isfinite(to_numpy(y)).all()
    y, _ = block(x[:, 2:], memory, cache=cache)
    assert np.isnan(to_numpy(y)).all()


@pytest.mark.parametrize("norm_first", [True, False])
def test_every_weight_learns(norm_first):
    x, memory = keras.Input((5, 8)), keras.Input((7, 6))
    block = TransformerDecoderBlock(2, 16, norm_first=norm_first)
    model = keras.Model([x, memory], block(x, memory))
    before = [to_numpy(w) for w in model.trainable_weights]
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=JIT)
    for _ in range(2):
        model.train_on_batch([tokens(4, 5, 8), tokens(4, 7, 6)], tokens(4, 5, 8, seed=1))
    for weight, old in zip(model.trainable_weights, before):
        change = np.abs(to_numpy(weight) - old).max()
        # A bias of the keys shifts all logits of a row alike, so it has no gradient.
        assert change > 1e-3 or weight.path.endswith("key/bias"), weight.path


def test_rejects():
    x, memory = tokens(2, 5, 8), tokens(2, 7, 6)
    block = TransformerDecoderBlock(2, 16)
    with pytest.raises(ValueError, match=r"never called\. Call it"):
        block.make_cache(memory, 3)
    with pytest.raises(ValueError, match=r"memory of shape \(B, T, D\).*received \(2, 6\)"):
        TransformerDecoderBlock(2, 16)(x, memory[:, 0])
    with pytest.raises(ValueError, match=r"memory_mask expects one bool per token"):
        block(x, memory, memory_mask=np.ones((2, 7, 1), bool))
    block(x, memory)
    with pytest.raises(ValueError, match="at most 3 tokens with this cache; received 5"):
        block(x, memory, cache=block.make_cache(memory, 3))
    with pytest.raises(ValueError, match="training=False with a cache; received training=True"):
        block(x, memory, cache=block.make_cache(memory, 5), training=True)
