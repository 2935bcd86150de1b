from kerasdnn.layers import TokenEmbedding
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest

TOKENS = ["[PAD]", "[UNK]", "good", "bad"]


# The harness flattens what a layer returns, and the mask that this one makes ends there.
@pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning")
def test_layer():
    check_layer(
        TokenEmbedding,
        {"tokens": TOKENS, "output_dim": 5},
        np.array([[2, 3, 0], [1, 2, 3]], "int32"),
        expected_output_shape=(2, 3, 5),
        expected_weights=(1, 0, 0),
    )


def test_row_i_belongs_to_token_i_and_padding_is_masked():
    layer = TokenEmbedding(TOKENS, 5)
    y = keras.ops.convert_to_numpy(layer(np.array([[3, 0]])))
    table = keras.ops.convert_to_numpy(layer.embeddings)
    np.testing.assert_array_equal(y[0, 0], table[TOKENS.index("bad")])
    mask = keras.ops.convert_to_numpy(layer.compute_mask(np.array([[3, 0]])))
    assert mask.tolist() == [[True, False]]


@pytest.mark.parametrize("tokens", [["a"], ["a", "b", "a"]])
def test_refuses_tokens_that_cannot_be_numbered(tokens):
    with pytest.raises(ValueError, match="at least two different tokens"):
        TokenEmbedding(tokens, 5)
