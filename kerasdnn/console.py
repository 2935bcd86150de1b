"""What a recipe prints: tables, notes and one line an epoch; plain text when not a terminal."""

import sys
import time

from rich.console import Console
from rich.table import Table

PLAIN_WIDTH = 120


def console(stream=None):
    """Returns a console that writes plain, uncoloured text when the stream is not a terminal."""
    stream = stream or sys.stdout
    if stream.isatty():
        return Console(file=stream, highlight=False)
    return Console(file=stream, highlight=False, width=PLAIN_WIDTH, no_color=True)


def number(value, digits=4):
    """Formats a number for a table: an empty cell for None; too small for `digits`, as 3.0e-05."""
    if value is None:
        return ""
    if isinstance(value, float):
        tiny = 0 < abs(value) < 10**-digits
        return f"{value:.1e}" if tiny else f"{value:.{digits}f}"
    return str(value)


def print_table(rows, title=None, out=None):
    """Prints rows (dictionaries) as a table; columns are the union of their keys, in order."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        numeric = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(column, justify="right" if numeric and index else "left", overflow="fold")
    for row in rows:
        table.add_row(*(number(row.get(column)) for column in columns))
    (out or console()).print(table)


class EpochLines:
    """Prints one fixed-width line an epoch, and on a terminal a progress bar within it.

    Used as a Keras callback through `epoch_lines()`; kept apart from Keras so that this module
    imports without it.
    """

    def __init__(self, label, stream=None):
        self.label = label
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()

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
            names = "".join(f"{name[:12]:>13}" for name in values)
            self._line(f"{self.label}\n{'epoch':>8}{names}")
        cells = "".join(f"{value:13.5g}" for value in values.values())
        self._line(f"{f'{epoch + 1}/{self.epochs}':>8}{cells}")

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
