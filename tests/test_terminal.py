"""What a person sees: tables that fit the terminal, plain text elsewhere, errors of one line."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading

from kerasdnn import catalog, console, startup

import pytest

COMMAND = [sys.executable, "-m", "kerasdnn.cli"]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """The far end of a terminal of so many columns; `stream` is what a program writes to."""

    def __init__(self, columns):
        self.near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self.stream, self.parts = os.fdopen(far, "w"), []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while True:
            try:
                part = os.read(self.near, 65536)
            except OSError:  # the other end is closed
                return
            self.parts.append(part)

    def text(self):
        """Returns all that was written."""
        self.stream.close()
        self.reader.join(30)
        os.close(self.near)
        return b"".join(self.parts).decode()


def on_terminal(columns, arguments, **environment):
    """Returns what a command shows on a terminal of so many columns."""
    screen = Screen(columns)
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "TERM")}
    subprocess.run(
        [*COMMAND, *arguments],
        stdin=screen.stream,
        stdout=screen.stream,
        stderr=screen.stream,
        env={**kept, "TERM": "xterm-256color", **environment},
        timeout=120,
    )
    return screen.text()


@pytest.mark.parametrize(("columns", "shown"), [(80, "minutes"), (120, "concept")])
def test_the_list_fits_and_leaves_names_whole(columns, shown):
    lines = ESCAPE.sub("", on_terminal(columns, ["list"])).splitlines()
    assert max(map(len, lines)) <= columns
    assert shown in lines[1]
    cells = {word for line in lines for word in line.split()}
    assert {entry.name for entry in catalog.entries()} <= cells
    assert ("A wider terminal also shows: data, concept." in lines) == (columns == 80)


def test_a_wide_table_wraps_between_words(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = [{"name": "a row of a table with a long name", "kernel_distance": 0.25}]
    rows[0] |= {f"further_column_{letter}": 0.5 for letter in "abcd"}
    screen = Screen(80)
    console.print_table(rows, out=console.console(screen.stream))
    text = ESCAPE.sub("", screen.text())
    assert max(map(len, text.splitlines())) <= 80
    assert {"kernel", "distance", "0.2500"} <= set(text.split())


def test_the_data_sets_fit():
    lines = ESCAPE.sub("", on_terminal(80, ["data", "list"])).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("fashion_mnist_bundled" in line for line in lines)


def test_no_color_means_plain_text():
    assert ESCAPE.search(on_terminal(80, ["list"]))
    assert not ESCAPE.search(on_terminal(80, ["list"], NO_COLOR="1"))


def test_without_a_terminal_the_text_is_plain_and_as_wide_as_a_pipe_allows():
    done = subprocess.run([*COMMAND, "list"], capture_output=True, text=True, timeout=120)
    assert not ESCAPE.search(done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= console.PLAIN_WIDTH
    assert "concept" in done.stdout


def test_no_command_is_the_help():
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "diagnose" in done.stdout


def test_an_error_is_one_line_also_when_tensorflow_was_loaded():
    arguments = ["run", "mlp", "--data", "nothing"]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "nothing" in done.stderr


def test_only_chatter_is_kept_back(capfd):
    chatter = "I0000 00:00:17955.07 20514 port.cc:153] oneDNN custom operations are on.\n"
    with startup._without_chatter():
        os.write(2, (chatter + "E0000 00:00:17955.07 20514 x.cc:1] broken\nyours\n").encode())
    assert capfd.readouterr().err == "E0000 00:00:17955.07 20514 x.cc:1] broken\nyours\n"

    def fails():
        with startup._without_chatter():
            os.write(2, chatter.encode())
            raise ImportError

    with pytest.raises(ImportError):
        fails()
    assert capfd.readouterr().err == chatter  # it may say why


@pytest.mark.parametrize("count", [3, 7])
def test_the_lines_of_a_training_fit(count, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen(80)
    lines = console.EpochLines("a training", stream=screen.stream)
    lines.begin(2, 10)
    lines.epoch_begin()
    lines.drawn -= 1  # a second ago
    lines.batch_end(4)
    lines.epoch_end(0, {f"a_long_name_{i}": -0.000123456 for i in range(count - 1)})
    text = screen.text()
    assert "[===============...............] 5/10" in text
    written = [part for line in text.splitlines() for part in line.split("\r")]
    assert max(map(len, written)) <= 80
    cells = written[-1].split()
    assert len(cells) == count + 1  # the epoch, the values and the seconds, none touching
    assert float(cells[1]) == pytest.approx(-0.000123, rel=0.01)


def test_no_bar_with_no_color(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen(80)
    lines = console.EpochLines("a training", stream=screen.stream)
    lines.begin(1, 10)
    lines.epoch_begin()
    lines.drawn -= 1
    lines.batch_end(4)
    lines.epoch_end(0, {"loss": 1.0})
    assert "[=" not in screen.text()


def test_long_work_says_so_on_a_terminal_only(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for screen, seen in ((Screen(80), True), (None, False)):
        stream = screen.stream if screen else io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        with console.working("training a copy"):
            pass
        text = screen.text() if screen else stream.getvalue()
        assert ("training a copy" in text) == seen


def test_minutes_have_two_digits():
    assert console.cell("minutes", 0.07) == "0.07"
    assert console.cell("search_minutes", 1.0) == "1.00"
    assert console.cell("value", 0.07) == "0.0700"
