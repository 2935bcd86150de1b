"""The Transformer's decoder block, with a cache for decoding step by step."""

from kerasdnn.layers.attention import cross_attention_mask, padding_mask, self_attention_mask
from kerasdnn.layers.transformer import TransformerBlock, check_tokens

import keras
from keras import ops


class _KerasMask(keras.layers.Layer):
    """Hands out the Keras mask of its input.

    Keras passes masks by itself only under the name `<argument>_mask` where a layer has several
    inputs, so the decoder block is not given the one of `x`.
    """

    def call(self, x, mask=None):
        return mask

    def compute_mask(self, inputs, previous_mask=None):
        return None


@keras.saving.register_keras_serializable(package="kerasdnn")
class TransformerDecoderBlock(TransformerBlock):
    """Causal self-attention, attention on a memory, and an MLP, each with a residual connection.

    With `norm_first` put one `LayerNormalization` after the last block. Padding of either side
    is never seen by a real token.

    With a cache, `x` holds the new tokens only (one, or a whole prompt), and the outputs equal
    those of the full sequence, without computing it again. The cache is a dict of tensors of
    fixed shape, so that a compiled step is compiled once: `key`, `value` `(B, max_length, H,
    D / H)`, `seen` `(B, max_length)`, `memory_key`, `memory_value` `(B, S, H, D / H)`,
    `memory_seen` `(B, S)`, `length` `(B,)`, the number of tokens so far, the same for all
    samples. Every tensor has the batch first: `ops.take(tensor, beams, axis=0)` of each reorders
    beams. The memory is read from the cache. Past `max_length` the outputs are NaN.

    Args:
        num_heads: int, a divisor of the width.
        mlp_dim: int, width of the hidden layer of the MLP, often four times the token's.
        dropout: float, of attention weights and of the three branches. Defaults to 0.0.
        activation: of the MLP. Defaults to "gelu".
        norm_first: bool. Defaults to True.
        drop_path: float, share of samples that skip a whole branch in training. Defaults to 0.0.

    Call arguments:
        x: the target tokens.
        memory: the encoder's outputs `(B, S, M)`, of any width.
        mask: bool `(B, T)`, true for real target tokens; a Keras mask is used by itself.
        memory_mask: bool `(B, S)`, likewise for the memory.
        cache: what `make_cache` or the call before returned; the output is then `(y, cache)`.
        return_attention_scores: bool, also return `{"self": (B, H, T, T), "cross": (B, H, T, S)}`,
            float32 and as they are before dropout, right after the output. Defaults to False.

    Input shape: `(B, T, D)`. Output shape: the same.

    Raises:
        ValueError: if a rank is not 3, the width is not a multiple of `num_heads`, a mask has
            another shape, or a cache is used in training or for more tokens than it holds.

    Example:
    >>> block, memory = TransformerDecoderBlock(2, 16), np.ones((1, 4, 8))
    >>> x = np.random.default_rng(0).normal(size=(1, 3, 8))
    >>> full, steps = block(x, memory), []
    >>> cache = block.make_cache(memory, max_length=3)
    >>> for t in range(3):
    ...     y, cache = block(x[:, t : t + 1], memory, cache=cache)
    ...     steps.append(y)
    >>> bool(np.allclose(keras.ops.concatenate(steps, axis=1), full, atol=1e-5))
    True

    References:
        Vaswani et al. (2017), Attention Is All You Need, arXiv:1706.03762
    """

    def build(self, x_shape, memory_shape):
        check_tokens("TransformerDecoderBlock", "x", x_shape)
        check_tokens("TransformerDecoderBlock", "memory", memory_shape)
        self.keras_mask = _KerasMask()
        self.attention_norm = self._make_norm("attention_norm", x_shape)
        self.attention = self._make_attention("self_attention", x_shape, x_shape)
        self.cross_norm = self._make_norm("cross_norm", x_shape)
        self.cross_attention = self._make_attention("cross_attention", x_shape, memory_shape)
        self._build_mlp(x_shape)

    def call(
        self,
        x,
        memory,
        mask=None,
        memory_mask=None,
        cache=None,
        return_attention_scores=False,
        training=None,
    ):
        mask = padding_mask(self.keras_mask(x) if mask is None else mask)
        memory_mask = padding_mask(memory_mask, "memory_mask")
        x = ops.copy(x)  # without the Keras mask, see _attend
        if cache is None:
            branches = self._full(x, memory, mask, memory_mask, return_attention_scores, training)
        else:
            _check_cache(x, cache, training)
            cache = dict(cache)
            branches = self._cached(x, mask, cache, return_attention_scores)
        x, scores = self._residual(x, self.attention_norm, branches[0], training)
        x, cross_scores = self._residual(x, self.cross_norm, branches[1], training)
        x, _ = self._residual(x, self.mlp_norm, self._mlp, training)
        beside = [{"self": scores, "cross": cross_scores}] if return_attention_scores else []
        if cache is not None:
            full = cache["length"][0] > cache["seen"].shape[1]
            x = ops.where(full, ops.full_like(x, float("nan")), x)
            beside.append(cache)
        return (x, *beside) if beside else x

    def make_cache(self, memory, max_length, memory_mask=None):
        """An empty cache for at most `max_length` tokens that attend to `memory` `(B, S, M)`.

        Args:
            memory: the encoder's outputs.
            max_length: int, the greatest number of target tokens.
            memory_mask: bool `(B, S)`; a Keras mask of `memory` is used by itself.

        Returns:
            A dict of tensors, see the class.

        Raises:
            ValueError: if the block has not been built.
        """
        if not self.built:
            raise ValueError(
                "make_cache expects a block with weights; received one that was never called. "
                "Call it or its model once, or block.build(x_shape, memory_shape)."
            )
        memory = ops.convert_to_tensor(memory)
        memory_mask = self.keras_mask(memory) if memory_mask is None else memory_mask
        if memory_mask is None:
            memory_mask = ops.ones(ops.shape(memory)[:2], "bool")
        key, value = self.cross_attention.project(ops.copy(memory))
        batch = ops.shape(memory)[0]
        head = (self.num_heads, self.attention.key_dim)
        empty = ops.zeros((batch, max_length, *head), self.compute_dtype)
        return {
            "key": empty,
            "value": ops.copy(empty),
            "seen": ops.zeros((batch, max_length), "bool"),
            "memory_key": key,
            "memory_value": value,
            "memory_seen": padding_mask(ops.convert_to_tensor(memory_mask), "memory_mask"),
            "length": ops.zeros((batch,), "int32"),
        }

    def compute_output_shape(self, x_shape, memory_shape=None):
        return x_shape

    def compute_output_spec(
        self,
        x,
        memory,
        mask=None,
        memory_mask=None,
        cache=None,
        return_attention_scores=False,
        training=None,
    ):
        outputs = [keras.KerasTensor(x.shape, self.compute_dtype)]
        if return_attention_scores:
            length = x.shape[1] if cache is None else cache["seen"].shape[1]
            source = memory.shape[1] if cache is None else cache["memory_seen"].shape[1]
            rows = (x.shape[0], self.num_heads, x.shape[1])
            outputs.append(
                {
                    "self": keras.KerasTensor((*rows, length), "float32"),
                    "cross": keras.KerasTensor((*rows, source), "float32"),
                }
            )
        if cache is not None:
            outputs.append({k: keras.KerasTensor(v.shape, v.dtype) for k, v in cache.items()})
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def _full(self, x, memory, mask, memory_mask, scores, training):
        """The two attention branches over all tokens at once."""
        memory = ops.copy(memory)
        allowed = self_attention_mask(ops.shape(x)[1], mask, causal=True)
        visible = cross_attention_mask(memory_mask)
        return (
            lambda h: self._attend(self.attention, h, h, allowed, scores, training),
            lambda h: self._attend(self.cross_attention, h, memory, visible, scores, training),
        )

    def _cached(self, x, mask, cache, scores):
        """The two attention branches of new tokens; writes them into `cache`, a copy."""
        batch, length = ops.shape(x)[:2]
        # Clamped, because a write past the end raises on Torch only; the call then returns NaN.
        start = ops.minimum(cache["length"][0], cache["seen"].shape[1] - length)
        real = ops.ones((batch, length), "bool") if mask is None else mask
        cache["seen"] = _write(cache["seen"], start, real)
        cache["length"] = cache["length"] + length
        column = ops.arange(cache["seen"].shape[1], dtype="int32")
        row = start + ops.arange(length, dtype="int32")[:, None]
        past = ops.logical_and(cache["seen"][:, None, :], column <= row)
        allowed = ops.logical_or(past, column == row)  # (B, T, max_length); itself, as above
        visible = cross_attention_mask(cache["memory_seen"])

        def attend(h):
            key, value = self.attention.project(h)
            cache["key"] = _write(cache["key"], start, key)
            cache["value"] = _write(cache["value"], start, value)
            return self.attention.attend(h, cache["key"], cache["value"], allowed, scores)

        def attend_to_memory(h):
            key, value = cache["memory_key"], cache["memory_value"]
            return self.cross_attention.attend(h, key, value, visible, scores)

        return attend, attend_to_memory


def _write(tensor, start, update):
    """Puts `update` into `tensor` from index `start` of axis 1 on."""
    zero = ops.zeros_like(start)
    indices = (zero, start, *[zero] * (len(tensor.shape) - 2))
    return ops.slice_update(tensor, indices, ops.cast(update, tensor.dtype))


def _check_cache(x, cache, training):
    if training:
        raise ValueError(
            "TransformerDecoderBlock expects training=False with a cache; received training=True. "
            "Train on whole sequences: the causal mask keeps each token from seeing later ones."
        )
    held = cache["seen"].shape[1]
    if x.shape[1] is not None and x.shape[1] > held:
        raise ValueError(
            f"TransformerDecoderBlock expects at most {held} tokens with this cache; received "
            f"{x.shape[1]}. Make the cache with a greater max_length."
        )
