"""The Transformer's encoder block, and what it shares with the decoder block."""

import functools

from kerasdnn.layers.attention import (
    Attention,
    check_heads,
    padding_mask,
    self_attention_mask,
)
from kerasdnn.layers.regularization import DropPath

import keras
from keras import ops


class TransformerBlock(keras.layers.Layer):
    """The residual branches, dropout and the MLP, which both blocks have."""

    def __init__(
        self,
        num_heads,
        mlp_dim,
        *,
        dropout=0.0,
        activation="gelu",
        norm_first=True,
        drop_path=0.0,
        key_dim=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.key_dim = key_dim
        for name, number in (("num_heads", num_heads), ("mlp_dim", mlp_dim)):
            if not isinstance(number, int) or number <= 0:
                raise ValueError(
                    f"{type(self).__name__} expects {name} as a positive integer; received "
                    f"{number!r}. Give how many heads, and how wide the hidden layer of the MLP."
                )
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.dropout = dropout
        self.activation = keras.activations.get(activation)
        self.norm_first = norm_first
        self.drop_path = drop_path
        self.supports_masking = True
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.drop_path_layer = DropPath(drop_path, dtype=self.dtype_policy)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "norm_first": self.norm_first,
            "drop_path": self.drop_path,
            "key_dim": self.key_dim,
        }

    def _make_attention(self, name, shape, memory_shape):
        if self.key_dim is None:
            check_heads(type(self).__name__, self.num_heads, shape[-1])
        attention = Attention(
            self.num_heads,
            self.key_dim or shape[-1] // self.num_heads,
            dropout=self.dropout,
            dtype=self.dtype_policy,
            name=name,
        )
        attention.build(shape, memory_shape)
        return attention

    def _make_norm(self, name, shape):
        # 1e-6 as in the Transformer and the ViT; Keras' 1e-3 is that of batch normalization.
        norm = keras.layers.LayerNormalization(epsilon=1e-6, dtype=self.dtype_policy, name=name)
        norm.build(shape)
        return norm

    def _build_mlp(self, shape):
        dense = functools.partial(keras.layers.Dense, dtype=self.dtype_policy)
        self.mlp_norm = self._make_norm("mlp_norm", shape)
        self.mlp_hidden = dense(self.mlp_dim, activation=self.activation, name="mlp_hidden")
        self.mlp_hidden.build(shape)
        self.mlp_output = dense(shape[-1], name="mlp_output")
        self.mlp_output.build((*shape[:-1], self.mlp_dim))

    def _attend(self, attention, x, memory, allowed, scores, training):
        """Calls `attention` with `allowed` as its one mask.

        `x` and `memory` must be copies that carry no Keras mask: MultiHeadAttention takes masks
        off its inputs, also for whoever uses them next, and lets padded tokens see nothing.
        """
        result = attention(
            x,
            memory,
            attention_mask=allowed,
            return_attention_scores=scores,
            training=training,
        )
        return result if scores else (result, None)

    def _mlp(self, x):
        return self.mlp_output(self.mlp_hidden(x)), None

    def _residual(self, x, norm, branch, training):
        """`x + f(norm(x))`, or `norm(x + f(x))`; `branch` returns f and something beside it."""
        change, beside = branch(norm(x) if self.norm_first else x)
        change = self.dropout_layer(change, training=training)
        change = self.drop_path_layer(change, training=training)
        x = x + change
        return (x if self.norm_first else norm(x)), beside


def check_tokens(name, argument, shape):
    """Raises ValueError unless `shape` is that of tokens of a known width."""
    if len(shape) != 3 or shape[-1] is None:
        raise ValueError(
            f"{name} expects {argument} of shape (B, T, D) with a known width; received "
            f"{tuple(shape)}. Flatten a grid to one axis of tokens first."
        )


@keras.saving.register_keras_serializable(package="kerasdnn")
class TransformerEncoderBlock(TransformerBlock):
    """Self-attention and an MLP, each with a residual connection and a layer normalization.

    With `norm_first` (as in the ViT and GPT-2) the residual path is never normalized: put one
    `LayerNormalization` after the last block. Without it (as in the first Transformer and BERT)
    each sum is normalized. A padded token is never seen by a real one; its own output means
    nothing. With `causal` this is the block of a decoder-only model.

    Args:
        num_heads: int, a divisor of the width.
        mlp_dim: int, width of the hidden layer of the MLP, often four times the token's.
        dropout: float, of attention weights and of both branches. Defaults to 0.0.
        activation: of the MLP. Defaults to "gelu".
        norm_first: bool. Defaults to True.
        drop_path: float, share of samples that skip a whole branch in training. Defaults to 0.0.
        key_dim: int or None, width of a head; None is `D / num_heads`.

    Call arguments:
        x: the tokens.
        mask: bool `(B, T)`, true for real tokens; a Keras mask is used by itself.
        causal: bool, no token sees a later one. Defaults to False.
        return_attention_scores: bool, also return the float32 weights `(B, H, T, T)`, as they
            are before dropout. Defaults to False.

    Input shape: `(B, T, D)`. Output shape: the same.

    Raises:
        ValueError: if the rank is not 3, the width is not a multiple of `num_heads`, or the mask
            is not `(B, T)`.

    Example:
    >>> block = TransformerEncoderBlock(2, 16)
    >>> y, scores = block(np.ones((1, 3, 8)), causal=True, return_attention_scores=True)
    >>> keras.ops.convert_to_numpy(scores)[0, 0].astype("float64").round(2).tolist()
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.33, 0.33, 0.33]]

    References:
        Vaswani et al. (2017), Attention Is All You Need, arXiv:1706.03762
        Xiong et al. (2020), On Layer Normalization in the Transformer, arXiv:2002.04745
    """

    def build(self, input_shape):
        check_tokens("TransformerEncoderBlock", "x", input_shape)
        self.attention_norm = self._make_norm("attention_norm", input_shape)
        self.attention = self._make_attention("self_attention", input_shape, input_shape)
        self._build_mlp(input_shape)

    def call(self, x, mask=None, causal=False, return_attention_scores=False, training=None):
        mask = padding_mask(mask)
        x = ops.copy(x)  # without the Keras mask, see _attend
        allowed = self_attention_mask(ops.shape(x)[1], mask, causal)

        def attend(h):
            return self._attend(self.attention, h, h, allowed, return_attention_scores, training)

        x, scores = self._residual(x, self.attention_norm, attend, training)
        x, _ = self._residual(x, self.mlp_norm, self._mlp, training)
        return (x, scores) if return_attention_scores else x

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(
        self, x, mask=None, causal=False, return_attention_scores=False, training=None
    ):
        outputs = keras.KerasTensor(x.shape, self.compute_dtype)
        if not return_attention_scores:
            return outputs
        batch, length = x.shape[:2]
        return outputs, keras.KerasTensor((batch, self.num_heads, length, length), "float32")
