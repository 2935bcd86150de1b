"""Writing a sequence token by token: greedy and beam search."""

import keras
import numpy as np
from keras import ops


def beam_search(step, state, *, batch, start_id, end_id, max_length, beams=1):
    """Finds sequences of a high probability, keeping the best `beams` beginnings at each step.

    The score of a sequence is `sum_t log p(token_t | tokens before)`. With one beam this is greedy
    decoding. The search ends when every beam has written `end_id`.

    Args:
        step: function `(tokens (N, 1), state, position) -> (logits (N, 1, C), state)` that writes
            one more token; N is `batch * beams`.
        state: nested structure of tensors with the batch first, such as the caches of decoder
            blocks; it is repeated for the beams and reordered as they are.
        batch: int, the number of sequences.
        start_id: int, the first token of each, which is not returned.
        end_id: int, the token after which a sequence is finished, which is not returned either.
        max_length: int, the most tokens to write.
        beams: int. Defaults to 1.

    Returns:
        int32 `(batch, beams, max_length)`, best first and filled up with 0, and the float32 scores
        `(batch, beams)`.

    Example:
    >>> logits = np.log([[0.1, 0.6, 0.3], [0.1, 0.2, 0.7]])    # of tokens 0, 1, 2 at two positions
    >>> step = lambda tokens, state, t: (np.tile(logits[t], (len(tokens), 1, 1)), state)
    >>> ids, scores = beam_search(
    ...     step, {}, batch=1, start_id=1, end_id=0, max_length=2, beams=2
    ... )
    >>> ids.tolist(), np.exp(scores).astype("float64").round(2).tolist()
    ([[[1, 2], [2, 2]]], [[0.42, 0.21]])

    References:
        Sutskever et al. (2014), Sequence to Sequence Learning with Neural Networks, arXiv:1409.3215
    """
    state = _rows(state, np.repeat(np.arange(batch), beams))
    tokens = np.full((batch, beams), start_id, np.int32)
    written = np.zeros((batch, beams, max_length), np.int32)
    finished = np.zeros((batch, beams), bool)
    scores = np.full((batch, beams), -np.inf, np.float32)
    scores[:, 0] = 0.0  # at first all beams are the same: only one may be continued
    for position in range(max_length):
        logits, state = step(tokens.reshape(-1, 1), state, position)
        log_p = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        log_p = np.array(ops.convert_to_numpy(log_p)).reshape(batch, beams, -1)
        log_p[finished] = -np.inf
        log_p[finished, end_id] = 0.0  # a finished sequence stays as it is, at no cost
        total = (scores[:, :, None] + log_p).reshape(batch, -1)
        best = np.argsort(-total, axis=1, kind="stable")[:, :beams]
        scores = np.take_along_axis(total, best, axis=1)
        parent, tokens = np.divmod(best, log_p.shape[-1])
        written = np.take_along_axis(written, parent[:, :, None], axis=1)
        finished = np.take_along_axis(finished, parent, axis=1) | (tokens == end_id)
        written[:, :, position] = np.where(finished, 0, tokens)
        tokens = tokens.astype(np.int32)
        if finished.all():
            break
        if beams > 1:
            state = _rows(state, (np.arange(batch)[:, None] * beams + parent).reshape(-1))
    return written, scores


def _rows(state, rows):
    """Picks rows of every tensor of the state."""
    return keras.tree.map_structure(lambda tensor: ops.take(tensor, rows, axis=0), state)
