"""Tokens, vocabularies, and batches of sequences of similar length."""

from kerasdnn.data import (
    Dataset,
    LengthBatches,
    Vocabulary,
    encode_texts,
    one_row_per_pronunciation,
    tokenize,
)
from kerasdnn.data.splits import objects
from kerasdnn.errors import InputError

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It's a Test.", ["it's", "a", "test", "."]),
        ("很好ok 100分！", ["很", "好", "ok", "100", "分", "！"]),
        ("naïve ça", ["naïve", "ça"]),
        ("Привет, мир", ["привет", ",", "мир"]),
        ("สวัสดี", list("สวัสดี")),
        ("👍🏽", ["👍", "🏽"]),
        (" \n\t", []),
        ("", []),
    ],
)
def test_tokenize(text, tokens):
    assert tokenize(text) == tokens


def test_vocabulary_ranks_by_count_then_alphabet():
    vocabulary = Vocabulary.of(["banana", "bc"], min_count=2)
    assert vocabulary.tokens == ("[PAD]", "[UNK]", "a", "b", "n")
    assert Vocabulary.of(["banana", "bc"], most=1).tokens[2:] == ("a",)
    assert Vocabulary.restore(vocabulary.tokens).tokens == vocabulary.tokens


def test_encode_counts_what_is_lost():
    encoded = Vocabulary("ab").encode(["abx", "", "xyab"], length=3)
    assert encoded.ids.tolist() == [[2, 3, 1], [0, 0, 0], [1, 1, 2]]
    assert (encoded.tokens, encoded.unknown, encoded.cut) == (7, 3, 1)
    notes = encoded.notes("words", "letters")
    assert notes[0].startswith("cut: 1 of 3 words are longer than 3 letters")
    assert notes[1].startswith("[UNK]: 3 of 7 letters")
    assert Vocabulary("ab").encode(["ab"]).notes() == []


def test_decode_is_the_inverse():
    vocabulary = Vocabulary(["AA", "B"])
    assert vocabulary.decode(vocabulary.encode([["B", "AA"]], 5).ids[0]) == ["B", "AA"]


@pytest.mark.parametrize("tokens", [["a", "a"], ["[UNK]"]])
def test_vocabulary_refuses_repeated_tokens(tokens):
    with pytest.raises(InputError, match=r"every token once; received '.*' twice"):
        Vocabulary(tokens)


def test_the_vocabulary_is_of_the_training_part_only():
    texts = objects(["a a b b"]), objects(["a c c"])
    labels = np.zeros(1, np.int32)
    dataset = Dataset(texts[0], labels, texts[1], labels, ("x", "y"), "", "", "d", "text")
    vocabulary, train, test, notes = encode_texts(dataset, 4)
    assert vocabulary.tokens[2:] == ("a", "b")
    assert train.tolist() == [[2, 2, 3, 3]]
    assert test.tolist() == [[2, 1, 1, 0]]
    assert notes == ["[UNK]: 2 of 7 tokens are not in the vocabulary"]


def _batches(count=50, **options):
    lengths = np.random.default_rng(0).integers(1, 11, count)
    x = np.where(np.arange(10) < lengths[:, None], np.arange(1, count + 1)[:, None], 0)
    settings = {"buckets": (4, 7, 10), "batch_size": 8, **options}
    return LengthBatches((x, x), np.arange(count), lengths, **settings), lengths


def test_every_sample_is_seen_whole_and_batches_are_full():
    batches, lengths = _batches()
    seen = []
    for (x, also), y in (batches[i] for i in range(len(batches))):
        assert x.shape[0] == y.shape[0] == 8
        assert x.shape[1] in (4, 7, 10)
        assert (x == also).all()
        assert ((x != 0).sum(axis=1) == lengths[y]).all()
        seen += y.tolist()
    assert set(seen) == set(range(50))
    assert len(seen) == 56


def test_the_order_is_a_function_of_seed_and_epoch():
    def order(batches):
        return [batches[i][1].tolist() for i in range(len(batches))]

    first, again, other = _batches(seed=1)[0], _batches(seed=1)[0], _batches(seed=2)[0]
    assert order(first) == order(again) != order(other)
    before = order(first)
    first.on_epoch_end()
    assert order(first) != before
    again.on_epoch_end()
    assert order(first) == order(again)


@pytest.mark.parametrize("seed", range(10))
def test_the_first_two_batches_show_that_the_length_varies(seed):
    batches, _ = _batches(count=200, seed=seed)
    for _ in range(5):
        assert batches[0][1].shape == batches[1][1].shape
        assert batches[0][0][0].shape[1] != batches[1][0][0].shape[1]
        batches.on_epoch_end()


def test_less_is_computed_than_with_one_length():
    batches, _ = _batches(count=400)
    computed = sum(batches[i][0][0].size for i in range(len(batches)))
    assert computed < 0.8 * 400 * 10


def test_batches_refuse_what_no_bucket_holds():
    with pytest.raises(ValueError, match=r"increasing buckets.*received \(4, 7\) for lengths"):
        _batches(buckets=(4, 7))


def test_pronunciations_that_differ_in_stress_only_are_one_row():
    spoken = (("AH0", "B"), ("AH1", "B"), ("EY1", "B"))
    assert len(one_row_per_pronunciation(["ab"], [spoken])[0]) == 3
    words, rows = one_row_per_pronunciation(["ab"], [spoken], stress=False)
    assert words == ["ab", "ab"]
    assert rows == [("AH", "B"), ("EY", "B")]
