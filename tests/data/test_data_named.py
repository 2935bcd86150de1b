import hashlib
import random

from kerasdnn.data import chinese_reviews, digits, load, mnist1d, strip_stress
from kerasdnn.data import one_row_per_pronunciation as one_row
from kerasdnn.errors import InputError

import numpy as np
import pytest


def test_digits_are_scaled_and_split():
    data = load("digits")
    assert data.x_train.shape == (1438, 8, 8, 1)
    assert data.x_test.shape == (359, 8, 8, 1)
    assert (data.x_train.min(), data.x_train.max()) == (0, 255)
    assert sorted(set(data.y_test.tolist())) == list(range(10))
    assert data.task == "image"


def test_patches_of_photographs_are_in_one_part_only():
    data = load("photographs")
    assert data.x_train.shape == (3550, 32, 32, 3)
    assert data.x_test.shape == (1250, 32, 32, 3)
    assert (
        sorted(set(data.y_test.tolist())) == list(range(12)) == sorted(set(data.y_train.tolist()))
    )
    assert np.abs(data.x_train[..., 0].astype(int) - data.x_train[..., 2]).mean() > 10  # colours
    rows = [
        {patch[i].tobytes() for patch in part for i in range(0, 32, 8)}
        for part in (data.x_train, data.x_test)
    ]
    assert not rows[0] & rows[1]


def test_mnist1d_is_the_set_of_the_paper():
    data = load("mnist1d")
    assert data.x_train.shape == (4000, 40, 1)
    assert data.x_test.shape == (1000, 40, 1)
    assert data.x_train.dtype == np.float32
    both = np.concatenate([data.x_train, data.x_test])
    assert abs(both.mean()) < 1e-4  # the generator standardises all 5,000 together
    assert abs(both.std() - 1) < 1e-4


def test_mnist1d_leaves_the_global_generators_alone():
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    expected = random.random(), np.random.rand()  # noqa: NPY002
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    load("mnist1d")
    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002


@pytest.mark.parametrize("module", [digits, mnist1d])
def test_other_data_under_the_same_name_are_noticed(module, monkeypatch):
    monkeypatch.setattr(module, "SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"checksum differs\. Install"):
        module.load()


@pytest.fixture(scope="module")
def words():
    return load("cmudict")


def test_cmudict_is_split_by_word(words):
    assert not set(words.x_train) & set(words.x_test)
    total = len(words.x_train) + len(words.x_test)
    assert total == 126_052
    assert abs(len(words.x_test) / total - 0.1) < 0.002
    assert len(set(words.x_train)) == len(words.x_train)


def test_a_word_stays_in_its_part_by_its_letters(words):
    for word in (words.x_train[1000], words.x_test[1000]):
        number = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        assert (number % 10 == 0) == (word in set(words.x_test))


def test_a_word_keeps_all_its_pronunciations(words):
    spoken = dict(zip(words.x_train, words.y_train)) | dict(zip(words.x_test, words.y_test))
    assert spoken["tomato"] == (
        ("T", "AH0", "M", "EY1", "T", "OW2"),
        ("T", "AH0", "M", "AA1", "T", "OW2"),
    )
    assert all(len(set(variants)) == len(variants) for variants in words.y_test)


def test_rows_for_training_have_one_pronunciation_each(words):
    x, y = one_row(words.x_train, words.y_train)
    assert len(x) == len(y) == sum(map(len, words.y_train))
    assert len(x) > len(words.x_train)
    assert (x[5], y[5]) in [(w, v) for w, vs in zip(words.x_train[:6], words.y_train) for v in vs]


def test_stress_is_taken_off_only_when_asked(words):
    assert any(phoneme[-1] == "1" for phoneme in words.y_train[0][0])
    phonemes = {p for variants in words.y_train for v in variants for p in strip_stress(v)}
    assert len(phonemes) == 39


def test_reviews_have_no_duplicate_and_no_leak():
    data = load("chinese_reviews")
    every = [*data.x_train, *data.x_test]
    assert len(every) == len(set(every)) == 17_363
    assert len(data.x_test) == 3_472
    assert np.bincount(np.concatenate([data.y_train, data.y_test])).tolist() == [9_031, 8_332]
    bare = [{"".join(text.split()) for text in part} for part in (data.x_train, data.x_test)]
    assert not bare[0] & bare[1]
    share = data.y_train.mean(), data.y_test.mean()
    assert abs(share[0] - share[1]) < 0.001
    assert data.class_names == ("negative", "positive")


@pytest.mark.parametrize("damage", ["truncated", "other text", "missing"])
def test_damaged_reviews_are_one_sentence(tmp_path, monkeypatch, damage):
    path = tmp_path / "reviews.tsv.xz"
    if damage == "truncated":
        path.write_bytes(chinese_reviews.FILE.read_bytes()[:100_000])
    elif damage == "other text":
        import lzma

        path.write_bytes(lzma.compress(b"train\t0\ttext\n"))
    monkeypatch.setattr(chinese_reviews, "FILE", path)
    with pytest.raises(
        InputError, match=r"should hold the bundled reviews.*Install kerasdnn again"
    ):
        load("chinese_reviews")
