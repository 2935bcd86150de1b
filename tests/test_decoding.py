"""Beam search against every sequence there is."""

import itertools

from kerasdnn.decoding import beam_search

import numpy as np
import pytest

END, LENGTH, TOKENS = 2, 4, 4


def _chain(seed):
    """A Markov chain as a step: the state holds the token before, one row a sequence."""
    table = np.random.default_rng(seed).normal(size=(2, TOKENS, TOKENS)).astype("float32") * 2

    def step(tokens, state, position):
        before, which = np.asarray(state["before"]), np.asarray(state["which"])
        tokens = np.asarray(tokens)[:, 0]
        # The token that was written and the one that the state kept differ by one position.
        logits = table[which, tokens] + 0.5 * table[which, before]
        return logits[:, None], {"before": tokens, "which": which}

    def score(sequence, which):
        total, tokens, before = 0.0, 1, 0
        for token in sequence:
            logits = table[which, tokens] + 0.5 * table[which, before]
            total += logits[token] - np.log(np.exp(logits).sum())
            tokens, before = token, tokens
            if token == END:
                break
        return total

    return step, score


def _search(seed, beams):
    step, score = _chain(seed)
    state = {"before": np.zeros(2, int), "which": np.arange(2)}
    options = {"batch": 2, "start_id": 1, "end_id": END, "max_length": LENGTH, "beams": beams}
    return *beam_search(step, state, **options), score


def _best(score, which):
    """The best sequence of all, as `beam_search` returns it: cut before the end, 0 after it."""
    scored = {}
    for sequence in itertools.product(range(TOKENS), repeat=LENGTH):
        cut = sequence[: sequence.index(END)] if END in sequence else sequence
        # "0, end" and "end" look alike once filled up: the better one of them counts.
        key = (*cut, *[0] * (LENGTH - len(cut)))
        scored[key] = max(score(sequence, which), scored.get(key, -np.inf))
    best = max(scored, key=scored.get)
    return list(best), scored[best]


@pytest.mark.parametrize("seed", range(5))
def test_wide_beams_find_the_best_sequence_of_all(seed):
    ids, scores, score = _search(seed, beams=TOKENS**3)
    for which in range(2):
        best, expected = _best(score, which)
        assert scores[which, 0] == pytest.approx(expected, abs=1e-4)
        assert ids[which, 0].tolist() == best


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_the_sequences_and_fall(seed):
    ids, scores, score = _search(seed, beams=3)
    assert (np.diff(scores, axis=1) <= 0).all()
    for which in range(2):
        for sequence, found in zip(ids[which], scores[which]):
            written = [int(i) for i in sequence]
            options = {score([*written[:n], END], which) for n in range(LENGTH)}
            options.add(score(written, which))
            assert min(abs(found - option) for option in options) < 1e-4


def test_one_beam_is_greedy():
    ids, _, _ = _search(0, beams=1)
    step, _ = _chain(0)
    for which in range(2):
        state, tokens, written = {"before": np.zeros(1, int), "which": np.array([which])}, 1, []
        for position in range(LENGTH):
            logits, state = step(np.array([[tokens]]), state, position)
            tokens = int(logits[0, 0].argmax())
            if tokens == END:
                break
            written.append(tokens)
        assert ids[which, 0].tolist() == written + [0] * (LENGTH - len(written))


def test_more_beams_are_better_on_the_whole():
    greedy, wide = (
        [float(score) for seed in range(20) for score in _search(seed, beams)[1][:, 0]]
        for beams in (1, 8)
    )
    assert np.mean(wide) > np.mean(greedy) + 0.01
