import csv

from kerasdnn.data import load
from kerasdnn.errors import InputError

import numpy as np
import pytest

ROWS = "".join(f"text {i},{'good' if i % 2 else 'bad'}\n" for i in range(20))


def table(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "reviews.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def refused(tmp_path, content, message, **options):
    with pytest.raises(InputError, match=message) as caught:
        load(table(tmp_path, content), **options)
    assert "\n" not in str(caught.value)


def test_texts_and_labels_are_split_by_class(tmp_path):
    data = load(table(tmp_path, "text,label\n" + ROWS))
    assert data.class_names == ("bad", "good")
    assert (len(data.x_train), len(data.x_test)) == (16, 4)
    assert np.bincount(data.y_test).tolist() == [2, 2]
    assert data.y_train.dtype == np.int32
    assert all(int(text.split()[1]) % 2 == y for text, y in zip(data.x_train, data.y_train))
    assert data.notes == ("split: 4 of 20 rows are held out for testing (stratified, seed 0)",)
    assert (data.name, data.task) == ("reviews", "text")
    assert sorted([*data.x_train, *data.x_test]) == sorted(f"text {i}" for i in range(20))


def test_the_split_is_fixed_by_the_seed(tmp_path):
    path = table(tmp_path, "text,label\n" + ROWS)
    assert load(path).x_test.tolist() == load(path).x_test.tolist()
    assert load(path, seed=1).x_test.tolist() != load(path).x_test.tolist()


def test_what_a_spreadsheet_writes_is_read(tmp_path):
    rows = "".join(f'{i},"多, ""a""\r\n{i}",{i % 3 + 8}\r\n' for i in range(9))
    data = load(table(tmp_path, "id, Text ,LABEL\r\n" + rows, "utf-8-sig"))
    assert data.class_names == ("8", "9", "10")  # as numbers
    assert data.x_train[0].startswith('多, "a"\r\n')


def test_empty_and_repeated_rows_are_left_out_and_counted(tmp_path):
    data = load(table(tmp_path, f"text,label\n{ROWS}  ,good\n,bad\n\ntext 3,good\ntext 3,bad\n"))
    assert data.notes[:2] == (
        "left out: 2 of 24 rows without a text",
        "left out: 1 rows that repeat an earlier one",
    )
    assert len(data.x_train) + len(data.x_test) == 21


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"name the columns text and label.* has: nothing\. Add the header"),
        ("review,label\na,b\n", r"text and label.* has: review, label\. Add the header"),
        ("text;label\na;b\n", r"text and label.* has: text;label\."),
        ("text,label,text\na,b,c\n", r"once each; that of .* has: text, label, text"),
        ("text,label\n", r"should have rows below its header; it has none\. Add rows"),
        ("text,label\n,a\n ,b\n", r"should hold texts; every row is empty\. Fill it in"),
        ("text,label\nx,a\ny,a\n", r"at least two classes; it has only 'a'\. Add rows"),
        ("text,label\nx,a\ny,b\nz,b\n", r"at least 2 samples.*class 'a' in .* has 1"),
        ("text,label\nx,a\ny, \n", r"should have a label; line 3 has none\. Fill it in"),
        ("text,label\nx,a\ny,z,b\n", r"should have 2 columns.*line 3 has 3\. Put texts"),
        ("text,label\nx,a\ny\n", r"should have 2 columns.*line 3 has 1\."),
        ('text,label\nx,a\n"y,b\n', r"line 3 cannot be read \(unexpected end of data\)\. Correct"),
        ('text,label\n"x"y,a\n', r"line 2 cannot be read \(.*expected after.*\)\. Correct"),
        (b"text,label\n\xff\xfe,a\n", r"encoded in UTF-8; byte 11 is not\. Save it as UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path, content, message):
    refused(tmp_path, content, message)


def test_a_field_that_is_too_large(tmp_path):
    content = "text,label\n" + "x" * 1_000_001 + ",a\n"
    refused(tmp_path, content, r"line 2 cannot be read \(a field of more than 1,000,000 char")


def test_long_fields_are_allowed_and_the_limit_of_others_is_restored(tmp_path):
    before = csv.field_size_limit()
    long = "x" * 200_000  # more than the default of Python's reader
    rows = "".join(f"{long}{i},{i % 2}\n" for i in range(4))
    assert len(load(table(tmp_path, "text,label\n" + rows)).x_train[0]) == 200_001
    assert csv.field_size_limit() == before


def test_an_image_size_for_texts_is_refused(tmp_path):
    refused(
        tmp_path, "text,label\n" + ROWS, r"images; reviews holds 'text' data", image_size=(8, 8)
    )


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    from kerasdnn.data import table as module

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "open", denied, raising=False)
    refused(tmp_path, "text,label\n", r"can be read; it cannot \(Permission denied\)")


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    from kerasdnn.data import table as module

    monkeypatch.setattr(module, "MOST_BYTES", 10)
    refused(tmp_path, "text,label\n" + ROWS, r"kept in memory.*is larger\. Give a part of it")
