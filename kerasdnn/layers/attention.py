"""Attention: the masks, the multi-head layer inside the Transformer blocks, and pooling."""

import keras
from keras import ops

# Low enough that its softmax is exactly 0 beside any real logit, and finite: no NaN in a row
# where nothing may be seen.
_UNSEEN = -1e9


def padding_mask(mask, name="mask"):
    """Checks and casts a `(B, T)` mask, true for real tokens; None stays None."""
    if mask is None:
        return None
    if len(mask.shape) != 2:
        raise ValueError(
            f"{name} expects one bool per token, (batch, length); received shape "
            f"{tuple(mask.shape)}. Leave out the attention axes: causal is an argument of its own."
        )
    return ops.cast(mask, "bool")


def self_attention_mask(length, mask, causal):
    """Which token may see which, `(B or 1, T, T)`, or None when all see all.

    A padded token sees itself as well, so that no row is empty; no real token sees a padded one.
    """
    position = ops.arange(length, dtype="int32")
    allowed = None if mask is None else mask[:, None, :]
    if causal:
        past = (position[:, None] >= position[None, :])[None]
        allowed = past if allowed is None else ops.logical_and(allowed, past)
    if mask is not None:
        itself = (position[:, None] == position[None, :])[None]
        allowed = ops.logical_or(allowed, itself)
    return allowed


def cross_attention_mask(mask):
    """Which part of the memory may be seen, `(B, 1, S)`; all of it where all of it is padding."""
    if mask is None:
        return None
    nothing = ops.logical_not(ops.any(mask, axis=-1, keepdims=True))
    return ops.logical_or(mask, nothing)[:, None, :]


class Attention(keras.layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention` with a float32 softmax and a way in for cached keys.

    Keras computes the softmax in the compute dtype whenever it cannot use the fused kernel (with
    dropout, or when the scores are asked for), and switches to that path for dropout also at
    inference. Here the fused kernel serves all calls that neither drop nor return weights.
    """

    def project(self, x):
        """Keys and values of tokens `(B, S, D)`, each `(B, S, H, D / H)`, to be cached."""
        return self.key_dense(x), self.value_dense(x)

    def attend(self, x, keys, values, mask, return_attention_scores):
        """Attention of tokens `x` on cached keys and values: outputs, and scores or None."""
        outputs, scores = self._compute_attention(
            self.query_dense(x),
            keys,
            values,
            attention_mask=mask,
            return_attention_scores=return_attention_scores,
        )
        return self.output_dense(outputs), scores

    def _compute_attention(
        self,
        query,
        key,
        value,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
    ):
        # Keras names this method as the one to override.
        if attention_mask is not None:
            attention_mask = attention_mask[:, None]  # (B, 1, T, S)
        scale = float(self.key_dim) ** -0.5
        drops = self.dropout > 0.0 and training
        if not drops and not return_attention_scores:
            outputs = ops.dot_product_attention(query, key, value, mask=attention_mask, scale=scale)
            return outputs, None
        logits = ops.einsum("bthd,bshd->bhts", query, key)
        logits = ops.cast(logits, keras.backend.result_type(logits.dtype, "float32")) * scale
        if attention_mask is not None:
            logits = ops.where(attention_mask, logits, _UNSEEN)
        scores = _softmax(logits, axis=-1)  # (B, H, T, S)
        weights = self._dropout_layer(ops.cast(scores, value.dtype), training=training)
        return ops.einsum("bhts,bshd->bthd", weights, value), scores


def _softmax(logits, axis):
    """Softmax; over a single token, where Keras would warn, the 1 that it is."""
    return ops.exp(logits - logits) if logits.shape[axis] == 1 else ops.softmax(logits, axis=axis)


@keras.saving.register_keras_serializable(package="kerasdnn")
class AttentionPooling(keras.layers.Layer):
    """A learned weighted mean of the tokens: one vector for a whole sequence.

    `softmax(x q / sqrt(D)) x`, with one learned query q for each head; head h pools its own
    `D / num_heads` channels. The queries start at zero, which is the plain mean of the real
    tokens; training then moves weight to the tokens that matter. A sequence of padding only gives
    the mean of all its tokens.

    Args:
        num_heads: int, a divisor of the width. Defaults to 1.

    Call arguments:
        x: the tokens.
        mask: bool `(B, T)`, true for real tokens; a Keras mask is used by itself.
        return_attention_scores: bool, also return the weights, `(B, H, T)`. Defaults to False.

    Input shape: `(B, T, D)`. Output shape: `(B, D)`.

    Raises:
        ValueError: if the rank is not 3 or the width is not a multiple of `num_heads`.

    Example:
    >>> x = np.array([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]])
    >>> pooled = AttentionPooling()(x, mask=np.array([[True, True, False]]))
    >>> keras.ops.convert_to_numpy(pooled).tolist()
    [[2.0, 3.0]]

    References:
        Lin et al. (2017), A Structured Self-attentive Sentence Embedding, arXiv:1703.03130
        Safari, India, Hernando (2020), Self-Attention Encoding and Pooling, arXiv:2008.01077
    """

    def __init__(self, num_heads=1, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(
                f"AttentionPooling expects (B, T, D); received {tuple(input_shape)}. "
                "Flatten a grid to one axis of tokens first."
            )
        check_heads("AttentionPooling", self.num_heads, input_shape[-1])
        self.query = self.add_weight(
            name="query", shape=(input_shape[-1], self.num_heads), initializer="zeros"
        )

    def call(self, x, mask=None, return_attention_scores=False):
        mask = padding_mask(mask)
        width = x.shape[-1]
        logits = ops.matmul(x, ops.cast(self.query, x.dtype))  # (B, T, H)
        logits = ops.cast(logits, keras.backend.result_type(x.dtype, "float32")) * width**-0.5
        if mask is not None:
            logits = ops.where(mask[:, :, None], logits, _UNSEEN)
        scores = ops.transpose(_softmax(logits, axis=1), (0, 2, 1))  # (B, H, T)
        heads = ops.reshape(x, (*ops.shape(x)[:2], self.num_heads, width // self.num_heads))
        pooled = ops.einsum("bht,bthd->bhd", ops.cast(scores, x.dtype), heads)
        pooled = ops.reshape(pooled, (-1, width))
        return (pooled, scores) if return_attention_scores else pooled

    def compute_mask(self, inputs, previous_mask=None):
        return None  # no axis of tokens is left

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def compute_output_spec(self, x, mask=None, return_attention_scores=False):
        pooled = keras.KerasTensor(self.compute_output_shape(x.shape), self.compute_dtype)
        if not return_attention_scores:
            return pooled
        return pooled, keras.KerasTensor((x.shape[0], self.num_heads, x.shape[1]), "float32")

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}


def check_heads(name, num_heads, width):
    """Raises ValueError unless `num_heads` divides `width`."""
    if width is None or width % num_heads:
        raise ValueError(
            f"{name} expects a width that num_heads={num_heads} divides; received width {width}. "
            "Choose another number of heads or another width."
        )
