from kerasdnn.layers import AttentionPooling
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest

JIT = keras.backend.backend() == "jax"  # elsewhere compiling takes longer than it saves


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def tokens(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_layer():
    check_layer(
        AttentionPooling,
        {"num_heads": 2},
        tokens(3, 5, 6),
        expected_output_shape=(3, 6),
        expected_weights=(1, 0, 0),
    )


def test_starts_as_the_mean_of_the_real_tokens():
    x = tokens(2, 5, 6)
    mask = np.array([[True] * 3 + [False] * 2, [False] * 5])
    y = to_numpy(AttentionPooling(3)(x, mask=mask))
    np.testing.assert_allclose(y[0], x[0, :3].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(y[1], x[1].mean(axis=0), atol=1e-6)  # nothing but padding


def test_against_numpy():
    x, query = tokens(2, 5, 6), np.random.default_rng(1).normal(size=(6, 2)).astype("float32")
    layer = AttentionPooling(2)
    layer.build(x.shape)
    layer.query.assign(query)
    y, scores = layer(x, return_attention_scores=True)
    expected = np.exp(np.einsum("btd,dh->bht", x, query) / np.sqrt(6))
    expected /= expected.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(to_numpy(scores), expected, atol=1e-6)
    pooled = [np.einsum("bt,btd->bd", expected[:, h], x[:, :, 3 * h : 3 * h + 3]) for h in (0, 1)]
    np.testing.assert_allclose(to_numpy(y), np.concatenate(pooled, axis=-1), atol=1e-5)


def test_the_mask_of_an_embedding_is_used_and_not_handed_on():
    ids = np.array([[3, 1, 0, 0], [2, 0, 0, 0]])
    inputs = keras.Input((4,), dtype="int32")
    embedding = keras.layers.Embedding(5, 6, mask_zero=True)
    pooled, scores = AttentionPooling()(embedding(inputs), return_attention_scores=True)
    model = keras.Model(inputs, [pooled, scores])
    y, weights = model.predict_on_batch(ids)
    np.testing.assert_allclose(weights[:, 0], [[0.5, 0.5, 0, 0], [1, 0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(y[1], to_numpy(embedding.embeddings)[2], atol=1e-6)
    assert getattr(pooled, "_keras_mask", None) is None


def test_learns_to_look_where_the_label_is():
    """One marked token of twelve carries the label: the mean drowns it, attention finds it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 12, 4)).astype("float32")
    place = rng.integers(0, 12, 256)
    x[..., 3] = 0.0
    x[np.arange(256), place, 3] = 4.0
    y = x[np.arange(256), place, 0]

    def error(trainable):
        pooling = AttentionPooling(trainable=trainable)
        model = keras.Sequential([keras.Input((12, 4)), pooling, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=JIT)
        model.fit(np.tile(x, (60, 1, 1)), np.tile(y, 60), batch_size=256, verbose=0)
        return model.evaluate(x, y, verbose=0)

    assert error(trainable=True) < 0.2
    assert error(trainable=False) > 0.6


def test_rejects():
    with pytest.raises(ValueError, match="num_heads=4 divides; received width 6"):
        AttentionPooling(4)(tokens(2, 5, 6))
    with pytest.raises(ValueError, match=r"expects \(B, T, D\); received \(2, 6\)"):
        AttentionPooling()(tokens(2, 6))
    with pytest.raises(ValueError, match=r"one bool per token.*received shape \(2, 5, 1\)"):
        AttentionPooling()(tokens(2, 5, 6), mask=np.ones((2, 5, 1), bool))
