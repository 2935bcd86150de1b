from collections import Counter

from kerasdnn.data import load, validation_split
from kerasdnn.data.base import Dataset
from kerasdnn.data.splits import (
    fixed_order,
    limited,
    objects,
    stratified_indices,
    train_test_indices,
)
from kerasdnn.errors import InputError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def small(n=100, classes=4, task="text"):
    x = objects([f"text {i}" for i in range(n)])
    y = np.arange(n, dtype=np.int32) % classes
    names = tuple("abcdefgh"[:classes])
    return Dataset(x, y, x[:20], y[:20], names, "here", "none", "small", task)


def test_the_order_is_a_fixed_permutation():
    assert fixed_order(8, 0).tolist() == [3, 7, 5, 2, 4, 1, 6, 0]
    assert fixed_order(8, 1).tolist() != fixed_order(8, 0).tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=6, max_size=80), st.data())
def test_a_stratified_choice_has_every_class_in_proportion(labels, data):
    classes = len(set(labels))
    size = data.draw(st.integers(classes, len(labels)))
    chosen = stratified_indices(labels, size, seed=3)
    assert len(set(chosen.tolist())) == size
    counts, picked = Counter(labels), Counter(labels[i] for i in chosen)
    assert set(picked) == set(labels)
    for label, count in counts.items():
        exact = count * size / len(labels)
        assert picked[label] <= max(np.ceil(exact), 1)
        # A class gives way only where the minimum of one overdrew for the others.
        assert picked[label] >= min(np.floor(exact), exact - classes + 1)


def test_a_stratified_choice_is_shuffled_not_sorted_by_class():
    labels = np.repeat([0, 1], 50)
    assert sorted(labels[stratified_indices(labels, 60, 0)].tolist()) != (
        labels[stratified_indices(labels, 60, 0)].tolist()
    )


def test_train_and_test_are_disjoint_and_complete():
    labels = np.arange(50) % 3
    train, test = train_test_indices(labels, 0.2, seed=1, what=str)
    assert sorted([*train, *test]) == list(range(50))
    assert len(test) == 10
    other = train_test_indices(labels, 0.2, seed=2, what=str)[1]
    assert set(test.tolist()) != set(other.tolist())


def test_a_class_of_one_sample_cannot_be_split():
    with pytest.raises(InputError, match=r"at least 2 samples.*class 1 has 1.*Add samples"):
        train_test_indices([0, 0, 1], 0.2, 0, lambda label: f"class {label}")


def test_a_limit_is_stratified_and_said():
    data = limited(small(), 40, seed=0)
    assert Counter(data.y_train.tolist()) == dict.fromkeys(range(4), 10)
    assert len(data.x_test) == 20
    assert data.notes == ("subset: 40 of 100 training texts (limit=40, seed 0)",)
    assert all(text == f"text {i}" for text, i in zip(data.x_train, positions(data)))
    assert limited(small(), 40, seed=1).x_train.tolist() != data.x_train.tolist()


def positions(data):
    return [int(text.split()[1]) for text in data.x_train]


def test_a_limit_that_keeps_everything_says_nothing():
    assert limited(small(), 100, seed=0).notes == ()


def test_a_limit_below_the_number_of_classes_is_refused():
    with pytest.raises(InputError, match=r"each of the 4 classes.*limit=3.*Give 4 or more"):
        limited(small(), 3, seed=0)


@pytest.mark.parametrize("size", [20, 0.2])
def test_validation_comes_out_of_the_training_part_only(size):
    data = small()
    (x, _), (x_val, y_val) = validation_split(data, size, seed=0)
    assert sorted([*x, *x_val]) == sorted(data.x_train)
    assert len(x) == 80
    assert not set(x) & set(x_val)
    assert Counter(y_val.tolist()) == dict.fromkeys(range(4), 5)
    assert all(int(text.split()[1]) % 4 == label for text, label in zip(x_val, y_val))


def test_validation_of_pairs_keeps_words_whole():
    words = objects(["a", "b", "c", "d"])
    answers = objects([(("x",),), (("y",), ("z",)), (("v",),), (("w",),)])
    data = Dataset(words, answers, words, answers, (), "", "", "pairs", "pairs")
    (x, _), (x_val, y_val) = validation_split(data, 1)
    assert len(x) == 3
    assert y_val[0] == answers[list(words).index(x_val[0])]


@pytest.mark.parametrize("size", [3, 97, 0.0, 1.0])
def test_an_impossible_validation_size_is_refused(size):
    with pytest.raises(InputError, match="between 4 and 96 samples"):
        validation_split(small(), size)


def test_the_subset_of_a_seed_never_changes():
    data = load("digits", limit=20)
    assert data.y_train.tolist() == [7, 8, 7, 3, 4, 2, 2, 1, 1, 9, 0, 3, 6, 6, 5, 4, 5, 9, 0, 8]
