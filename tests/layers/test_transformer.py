from kerasdnn.layers import TransformerEncoderBlock
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest

JIT = keras.backend.backend() == "jax"  # elsewhere compiling takes longer than it saves


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def tokens(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def run_twice(block, first, second, **kwargs):
    """The outputs for two inputs under the same random numbers."""
    block(first)  # builds
    seeds = [v for v in block.non_trainable_variables if "seed" in v.path]
    states = [keras.ops.convert_to_numpy(v) for v in seeds]
    outputs = []
    for x in (first, second):
        for variable, state in zip(seeds, states):
            variable.assign(state)
        keras.utils.set_random_seed(0)  # Torch drops by its global generator
        outputs.append(keras.tree.map_structure(to_numpy, block(x, **kwargs)))
    return outputs


@pytest.mark.parametrize("norm_first", [True, False])
def test_layer(norm_first):
    check_layer(
        TransformerEncoderBlock,
        {
            "num_heads": 2,
            "mlp_dim": 12,
            "dropout": 0.1,
            "activation": "relu",
            "norm_first": norm_first,
            "drop_path": 0.1,
        },
        tokens(4, 5, 8),
        expected_output_shape=(4, 5, 8),
        expected_weights=(16, 0, 3),
        supports_masking=True,
    )


def test_weights_are_named_as_in_keras():
    block = TransformerEncoderBlock(2, 16)
    block.build((None, 5, 8))
    assert isinstance(block.attention, keras.layers.MultiHeadAttention)
    names = {w.path.split("/")[-2] for w in block.attention.weights}
    assert names == {"query", "key", "value", "attention_output"}


def reference(block, x, norm_first):
    """The block in NumPy, from its weights by name."""
    w = {"/".join(v.path.split("/")[1:]): to_numpy(v) for v in block.weights}

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * w[f"{name}/gamma"] + w[f"{name}/beta"]

    def heads(x, name):
        kernel, bias = w[f"self_attention/{name}/kernel"], w[f"self_attention/{name}/bias"]
        return np.einsum("btd,dhk->bhtk", x, kernel) + bias[:, None]

    def attention(x):
        q, k, v = (heads(x, name) for name in ("query", "key", "value"))
        weights = np.exp(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
        context = weights / weights.sum(-1, keepdims=True) @ v
        kernel = w["self_attention/attention_output/kernel"]
        return (
            np.einsum("bhtk,hkd->btd", context, kernel) + w["self_attention/attention_output/bias"]
        )

    def mlp(x):
        hidden = np.maximum(x @ w["mlp_hidden/kernel"] + w["mlp_hidden/bias"], 0)
        return hidden @ w["mlp_output/kernel"] + w["mlp_output/bias"]

    for name, branch in (("attention_norm", attention), ("mlp_norm", mlp)):
        x = x + branch(norm(x, name)) if norm_first else norm(x + branch(x), name)
    return x


@pytest.mark.parametrize("norm_first", [True, False])
def test_against_numpy(norm_first):
    x, rng = tokens(2, 5, 8), np.random.default_rng(1)
    block = TransformerEncoderBlock(2, 16, activation="relu", norm_first=norm_first)
    block.build(x.shape)
    for weight in block.weights:  # no zeros or ones that would hide a missing term
        weight.assign(rng.normal(size=weight.shape) * 0.5)
    np.testing.assert_allclose(to_numpy(block(x)), reference(block, x, norm_first), atol=2e-4)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_causal_does_not_leak(norm_first, scores, dropout):
    """Also with dropout in training and with scores requested, where Keras once leaked."""
    first = tokens(16, 6, 8)  # so many that drop path leaves some branches
    second = first.copy()
    second[:, 4:] = 9.0
    block = TransformerEncoderBlock(
        2, 16, norm_first=norm_first, dropout=dropout, drop_path=dropout
    )
    kwargs = {"training": dropout > 0, "return_attention_scores": scores}
    a, b = run_twice(block, first, second, causal=True, **kwargs)
    if scores:
        upper = np.triu_indices(6, k=1)
        assert np.abs(a[1][..., upper[0], upper[1]]).max() == 0.0
        a, b = a[0], b[0]
    np.testing.assert_array_equal(a[:, :4], b[:, :4])
    assert np.abs(a[:, 4:] - b[:, 4:]).max() > 0.1
    a, b = run_twice(block, first, second, causal=False, **kwargs)
    a, b = (a[0], b[0]) if scores else (a, b)
    assert np.abs(a[:, :4] - b[:, :4]).max() > 1e-3  # the control: without it they see


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("scores", [True, False])
def test_padding_does_not_change_real_tokens(causal, scores):
    short = tokens(2, 4, 8)
    padded = np.concatenate([short, np.full((2, 3, 8), 9.0, "float32")], axis=1)
    mask = np.arange(7) < 4
    block = TransformerEncoderBlock(2, 16)
    kwargs = {"causal": causal, "return_attention_scores": scores}
    alone, among, unmasked = (
        to_numpy(keras.tree.flatten(block(x, mask=m, **kwargs))[0])
        for x, m in ((short, None), (padded, np.stack([mask, mask])), (padded, None))
    )
    np.testing.assert_allclose(among[:, :4], alone, atol=1e-5)
    if not causal:
        assert np.abs(unmasked[:, :4] - alone).max() > 1e-2  # the control


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_rows_sum_to_one_whatever_is_masked(policy):
    """Also those of padded tokens and of a text that is empty; float32 under every policy."""
    mask = np.array([[True, True, False, False, False], [False] * 5])
    block = TransformerEncoderBlock(2, 16, dropout=0.5, dtype=policy)
    for causal in (True, False):
        y, scores = block(
            tokens(2, 5, 8), mask=mask, causal=causal, return_attention_scores=True, training=True
        )
        assert keras.backend.standardize_dtype(scores.dtype) == "float32"
        np.testing.assert_allclose(to_numpy(scores).sum(axis=-1), 1.0, atol=1e-5)
        assert np.abs(to_numpy(scores)[0, :, :2, 2:]).max() == 0.0
        # The tokens of an empty text see themselves only, so causal holds for them as well.
        np.testing.assert_allclose(to_numpy(scores)[1, 0], np.eye(5), atol=1e-6)
        assert np.isfinite(to_numpy(y)).all()


def test_keras_masks_are_used_and_kept():
    ids = np.array([[3, 1, 2, 0, 0], [2, 4, 0, 0, 0]])
    inputs = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(5, 8, mask_zero=True)
    x = embedding(inputs)
    for _ in range(2):
        x = TransformerEncoderBlock(2, 16)(x)
    model = keras.Model(inputs, [x, keras.layers.GlobalAveragePooling1D()(x)])
    y, mean = model.predict_on_batch(ids)
    alone, mean_alone = model.predict_on_batch(ids[:1, :3])
    np.testing.assert_allclose(y[0, :3], alone[0], atol=1e-5)
    np.testing.assert_allclose(mean[0], mean_alone[0], atol=1e-5)  # the mask has come through


def test_the_callers_tensor_keeps_its_mask():
    x = keras.layers.Embedding(5, 8, mask_zero=True)(np.array([[3, 1, 0]]))
    block = TransformerEncoderBlock(2, 16, norm_first=False)
    np.testing.assert_array_equal(to_numpy(block(x)), to_numpy(block(x)))


@pytest.mark.parametrize("norm_first", [True, False])
def test_every_weight_learns(norm_first):
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, TransformerEncoderBlock(2, 16, norm_first=norm_first)(inputs))
    before = [to_numpy(w) for w in model.trainable_weights]
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=JIT)
    for _ in range(2):
        model.train_on_batch(tokens(4, 5, 8), tokens(4, 5, 8, seed=1))
    for weight, old in zip(model.trainable_weights, before):
        change = np.abs(to_numpy(weight) - old).max()
        # A bias of the keys shifts all logits of a row alike, so it has no gradient.
        assert change > 1e-3 or weight.path.endswith("key/bias"), weight.path


def test_dropout_and_drop_path_act_in_training_only():
    x = tokens(8, 5, 8)
    for kwargs in ({"dropout": 0.5}, {"drop_path": 0.5}):
        block = TransformerEncoderBlock(2, 16, **kwargs)
        quiet = to_numpy(block(x, training=False))
        np.testing.assert_array_equal(quiet, to_numpy(block(x, training=False)))
        loud = to_numpy(block(x, training=True))
        assert np.abs(loud - quiet).max() > 0.1
        if "drop_path" in kwargs:  # some samples skip both branches and come out as they were
            untouched = np.abs(loud - x).max(axis=(1, 2)) < 1e-6
            assert 0 < untouched.sum() < 8


def test_symbolic_scores_have_the_shape_of_the_real_ones():
    inputs = keras.Input((5, 8))
    outputs = TransformerEncoderBlock(2, 16)(inputs, causal=True, return_attention_scores=True)
    model = keras.Model(inputs, outputs)
    y, scores = model.predict_on_batch(tokens(3, 5, 8))
    assert [t.shape for t in outputs] == [(None, 5, 8), (None, 2, 5, 5)]
    assert (y.shape, scores.shape) == ((3, 5, 8), (3, 2, 5, 5))


def test_rejects():
    with pytest.raises(ValueError, match="num_heads=3 divides; received width 8"):
        TransformerEncoderBlock(3, 16)(tokens(2, 5, 8))
    with pytest.raises(ValueError, match=r"x of shape \(B, T, D\).*received \(2, 3, 4, 8\)"):
        TransformerEncoderBlock(2, 16)(tokens(2, 3, 4, 8))
    with pytest.raises(ValueError, match="mlp_dim as a positive integer; received 0"):
        TransformerEncoderBlock(2, 0)
    with pytest.raises(ValueError, match=r"one bool per token.*received shape \(2, 5, 5\)"):
        TransformerEncoderBlock(2, 16)(tokens(2, 5, 8), mask=np.ones((2, 5, 5), bool))
