"""Tables of numbers: scikit-learn's, and a user's CSV file."""

from kerasdnn import data
from kerasdnn.errors import InputError

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("name", "shape", "tests", "classes"),
    [("breast_cancer", (455, 30), 114, 2), ("wine", (142, 13), 36, 3)],
)
def test_named_tables(name, shape, tests, classes):
    table = data.load(name)
    assert table.x_train.shape == shape
    assert len(table.x_test) == tests
    assert len(table.class_names) == classes
    assert set(table.y_test.tolist()) == set(range(classes))
    assert table.task == "numbers"
    again = data.load(name)
    np.testing.assert_array_equal(again.x_test, table.x_test)


def test_a_table_of_ones_own(tmp_path):
    path = tmp_path / "mine.csv"
    rows = [f"{i}, {i % 3},{'yes' if i % 2 else 'no'}" for i in range(20)]
    rows[4] = "4,,no"
    path.write_text("length, width, Label\n" + "\n".join(rows) + "\n\n")
    table = data.load(path)
    assert table.class_names == ("no", "yes")
    assert table.x_train.shape == (16, 2)
    both = np.concatenate([table.x_train, table.x_test])
    labels = np.concatenate([table.y_train, table.y_test])
    assert np.isnan(both[both[:, 0] == 4][0, 1])
    np.testing.assert_array_equal(labels, both[:, 0] % 2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,label\n1,x\n2,y,3\n", "line 3 has 3"),
        ("a,label\n1,x\ntwo,y\n", "line 3 has 'two'"),
        ("a,label\n1,x\n2,x\n", "at least two classes"),
        ("a,label\n1,x\n2,\n3,y\n", "empty ones"),
        ("a,b\n1,2\n", "text and label"),
        ("length,label\nlong,x\n", "text and label"),
    ],
)
def test_what_cannot_be_used(content, words, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        data.load(path)
