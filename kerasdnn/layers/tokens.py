"""An embedding that knows its tokens, so that a saved text model is complete."""

import keras


@keras.saving.register_keras_serializable(package="kerasdnn")
class TokenEmbedding(keras.layers.Embedding):
    """`keras.layers.Embedding` of a list of tokens, which is saved with the model.

    Row i of the table belongs to `tokens[i]`. Row 0 is padding and is masked. A text model loaded
    from its file then says itself how its numbers were made: `Vocabulary.restore(layer.tokens)`.

    Args:
        tokens: sequence of `str`, the first one for padding.
        output_dim: int, width of the vectors.
        **kwargs: as of `keras.layers.Embedding`, without `input_dim` and `mask_zero`.

    Input shape: `(B, T)` integers. Output shape: `(B, T, D)`.

    Raises:
        ValueError: if tokens are repeated or fewer than two.

    Example:
    >>> layer = TokenEmbedding(["[PAD]", "[UNK]", "good", "bad"], 8)
    >>> layer(np.array([[2, 3, 0]])).shape == (1, 3, 8)
    True
    >>> TokenEmbedding.from_config(layer.get_config()).tokens
    ('[PAD]', '[UNK]', 'good', 'bad')
    """

    def __init__(self, tokens, output_dim, **kwargs):
        tokens = tuple(tokens)
        if len(tokens) < 2 or len(set(tokens)) < len(tokens):
            raise ValueError(
                f"TokenEmbedding expects at least two different tokens; received {len(tokens)}, "
                f"{len(set(tokens))} of them different. Give Vocabulary(...).tokens."
            )
        super().__init__(len(tokens), output_dim, mask_zero=True, **kwargs)
        self.tokens = tokens

    def get_config(self):
        config = {**super().get_config(), "tokens": list(self.tokens)}
        for key in ("input_dim", "mask_zero"):
            del config[key]
        return config
