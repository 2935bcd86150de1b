"""What a recipe prints: tables, notes and one line an epoch; plain text when not a terminal."""

import contextlib
import os
import sys
import time

from rich.console import Console
from rich.table import Table

PLAIN_WIDTH = 120
NARROWEST = 22  # of a column whose words may be wrapped


def live(stream):
    """Returns whether a stream is a terminal that may be drawn on."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain


def console(stream=None):
    """Returns a console; without a terminal or with NO_COLOR it writes plain text."""
    stream = stream or sys.stdout
    if live(stream):
        return Console(file=stream, highlight=False)
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(file=stream, highlight=False, width=width, no_color=True, color_system=None)


@contextlib.contextmanager
def working(text):
    """Shows on a terminal that a silent piece of work goes on, and for how long."""
    stream = sys.stderr
    if not live(stream):
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console(stream), transient=True) as progress:
        progress.add_task(text, total=None)
        yield


def number(value, digits=4):
    """Formats a number for a table: an empty cell for None; too small for `digits`, as 3.0e-05."""
    if value is None:
        return ""
    if isinstance(value, float):
        tiny = 0 < abs(value) < 10**-digits
        return f"{value:.1e}" if tiny else f"{value:.{digits}f}"
    return str(value)


def cell(column, value):
    """Formats the value of a column: times have two digits, everything else as `number`."""
    return number(value, 2 if column.endswith(("minutes", "seconds")) else 4)


def print_table(rows, title=None, out=None, *, whole=(), optional=()):
    """Prints rows (dictionaries) as a table; columns are the union of their keys, in order.

    Args:
        rows: list of dictionaries.
        title: shown above.
        out: a console; default standard output.
        whole: columns that are never wrapped, so that a name can be copied.
        optional: columns that a narrow terminal leaves out, the first one first; a line says so.
    """
    out = out or console()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    left_out = []
    while len(left_out) < len(optional) and _least_width(rows, columns, whole) > out.width:
        left_out.append(optional[len(left_out)])
        columns.remove(left_out[-1])
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        numeric = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(
            column.replace("_", " "),  # which may be wrapped
            justify="right" if numeric and index else "left",
            overflow="fold",
            no_wrap=column in whole,
        )
    for row in rows:
        table.add_row(*(cell(column, row.get(column)) for column in columns))
    out.print(table)
    if left_out:
        out.print(f"A wider terminal also shows: {', '.join(reversed(left_out))}.")


def _least_width(rows, columns, whole):
    widths = []
    for column in columns:
        longest = max(len(text) for text in [column, *(cell(column, r.get(column)) for r in rows)])
        widths.append(longest if column in whole else min(longest, NARROWEST))
    return sum(widths) + 3 * len(widths) + 1


class EpochLines:
    """Prints one fixed-width line an epoch, and on a terminal a progress bar within it.

    Used as a Keras callback through `epoch_lines()`; kept apart from Keras so that this module
    imports without it.
    """

    def __init__(self, label, stream=None):
        self.label = label
        self.stream = stream or sys.stdout
        self.live = live(self.stream)

    def begin(self, epochs, steps):
        """Starts a training of `epochs` epochs of `steps` steps (None when unknown)."""
        self.epochs, self.steps = epochs, steps
        self.header = None

    def epoch_begin(self):
        """Starts the clock of one epoch."""
        self.start = self.drawn = time.perf_counter()

    def batch_end(self, batch):
        """Redraws the bar, at most five times a second."""
        now = time.perf_counter()
        if self.live and self.steps and now - self.drawn > 0.2:
            self.drawn = now
            filled = 30 * (batch + 1) // self.steps
            bar = "=" * filled + "." * (30 - filled)
            self.stream.write(f"\r  [{bar}] {batch + 1}/{self.steps}")
            self.stream.flush()

    def epoch_end(self, epoch, values):
        """Prints the line of one epoch; `values` are name and number pairs."""
        values = {**values, "seconds": time.perf_counter() - self.start}
        if self.header != list(values):
            self.header = list(values)
            names = "".join(f"{name[: self._width() - 1]:>{self._width()}}" for name in values)
            self._line(f"{self.label}\n{'epoch':>8}{names}")
        digits = min(5, self._width() - 7)  # of -0.00012, with a space before it
        cells = "".join(f"{value:{self._width()}.{digits}g}" for value in values.values())
        self._line(f"{f'{epoch + 1}/{self.epochs}':>8}{cells}")

    def _width(self):
        """Returns the width of a column: as many as there are have to fit on the terminal."""
        return min(13, max(10, (console(self.stream).width - 8) // len(self.header)))

    def _line(self, text):
        clear = "\r" + " " * 60 + "\r" if self.live else ""
        self.stream.write(f"{clear}{text}\n")
        self.stream.flush()


def epoch_lines(label):
    """Returns a Keras callback that prints one line an epoch under the heading `label`."""
    import keras

    lines = EpochLines(label)

    class _Lines(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            lines.begin(self.params.get("epochs"), self.params.get("steps"))

        def on_epoch_begin(self, epoch, logs=None):
            lines.epoch_begin()

        def on_epoch_end(self, epoch, logs=None):
            values = dict(logs or {})
            rate = getattr(self.model.optimizer, "learning_rate", None)  # MultiOptimizer has none
            if rate is not None:
                values = {"rate": float(keras.ops.convert_to_numpy(rate)), **values}
            lines.epoch_end(epoch, values)

    class _LinesAndBar(_Lines):
        # A batch hook makes JAX and Torch wait for every step, so only a terminal has one.
        def on_train_batch_end(self, batch, logs=None):
            lines.batch_end(batch)

    return _LinesAndBar() if lines.live else _Lines()
