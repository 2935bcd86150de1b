import json
import textwrap

from kerasdnn import cli
from kerasdnn.diagnosis import Program
from kerasdnn.diagnosis.user_file import read_program
from kerasdnn.errors import InputError

import pytest

MODEL = """
import keras
import numpy as np

def build():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "softmax")])
    model.compile("adam", "binary_crossentropy")
    return model
"""
DATA = """
def data():
    x = np.random.default_rng(0).normal(size=(64, 3))
    return x, (x[:, 0] > 0).astype("float32")
"""


def written(tmp_path, *parts):
    path = tmp_path / "mine.py"
    path.write_text("\n".join(textwrap.dedent(part) for part in parts))
    return path


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        (DATA + "\nfit = {'epochs': 3}", ":build"),
        (DATA + "\nFIT = {'epochs': 3}", ""),
        (
            "def both():\n    return build(), np.zeros((4, 3)), np.zeros(4)\nfit = {'epochs': 3}",
            ":both",
        ),
        (
            DATA + "\nfrom kerasdnn.diagnosis import Program\n"
            "program = Program(build, *data(), fit={'epochs': 3})",
            "",
        ),
        (
            DATA + "\nfrom kerasdnn.diagnosis import Program\n"
            "def make():\n    return Program(build, *data(), fit={'epochs': 3})",
            ":make",
        ),
    ],
)
def test_a_file_describes_a_program(tmp_path, extra, name):
    program = read_program(f"{written(tmp_path, MODEL, extra)}{name}")
    assert isinstance(program, Program)
    assert program.epochs == 3
    assert program.x.shape[1] == 3
    assert program.build().compiled
    assert program.build() is not program.build()


def test_flags_count_for_more_than_the_file(tmp_path):
    path = written(tmp_path, MODEL, DATA, "fit = {'epochs': 3, 'batch_size': 8}")
    program = read_program(f"{path}:build", epochs=5, batch_size=None)
    assert (program.epochs, program.option("batch_size")) == (5, 8)


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        (None, "", "there is no file"),
        ("x = 1", ":build", "has no 'build'; it has no function"),
        ("def other():\n    pass", ":build", "it has other"),
        ("build = 3", ":build", "must be a function or a Program; it is a int"),
        ("def build():\n    return 1 / 0", ":build", r"ZeroDivisionError: .* \(line 2\)"),
        ("import nothing_of_that_name", ":build", "ModuleNotFoundError"),
        ("def build(:", ":build", r"SyntaxError: .* \(line 1\)"),
        (
            "def build():\n    return 1, 2",
            ":build",
            "returns 2 things; expected the model, x and y",
        ),
        ("def build():\n    return 1", ":build", "has no function 'data'"),
        ("def build():\n    return 1\ndef data():\n    return 1, 2, 3", ":build", "data returns 3"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(tmp_path, text, name, sentence):
    path = tmp_path / "none.py" if text is None else written(tmp_path, text)
    with pytest.raises(InputError, match=sentence) as caught:
        read_program(f"{path}{name}")
    assert "\n" not in str(caught.value)


def test_the_command_prints_and_writes_the_report(tmp_path, capsys):
    path = written(tmp_path, MODEL, DATA)
    html, data = tmp_path / "report.html", tmp_path / "report.json"
    command = ["diagnose", f"{path}:build", "--seconds", "1", "--epochs", "1"]
    assert cli.main([*command, "--html", str(html), "--json", str(data)]) == 1
    printed = capsys.readouterr().out
    assert "output.softmax_one_unit" in printed
    assert "output.softmax_one_unit" in html.read_text(encoding="utf-8")
    assert json.loads(data.read_text())["findings"][0]["id"] == "output.softmax_one_unit"


def test_bad_input_is_exit_code_2(tmp_path, capsys):
    assert cli.main(["diagnose", str(tmp_path / "none.py")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["diagnose", str(tmp_path / "none.py"), "--epochs", "0"]) == 2
    assert "--epochs expects at least 1; received 0" in capsys.readouterr().err
