"""Files that a monitor writes: CSV, and event files that TensorBoard reads."""

import csv
import math
import time
from pathlib import Path


class CSVFile:
    """A row for each layer and time of observation: step, epoch, layer, then the numbers."""

    def __init__(self, path):
        self.path = Path(path)

    def start(self, keys):
        """Makes the file anew with a header."""
        self.keys = list(keys)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(["step", "epoch", "layer", *self.keys])

    def add(self, rows):
        """Appends rows, dictionaries with "step", "time" and "layers"."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            for row in rows:
                for layer, numbers in row["layers"].items():
                    cells = [_cell(numbers.get(key)) for key in self.keys]
                    writer.writerow([row["step"], f"{row['time']:.4f}", layer, *cells])


class EventFile:
    """Scalars named `<number>/<layer>` over the steps of the training."""

    def __init__(self, folder):
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ImportError(
                "tensorboard= expects the package tensorboard, which is not installed; run "
                "`pip install tensorboard`, or write a file with csv=."
            ) from error
        self.folder = Path(folder)
        self._event, self._summary, self._writer = event_pb2, summary_pb2, EventFileWriter

    def start(self, keys):
        """Begins a new event file in the folder."""
        self.keys = list(keys)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.writer = self._writer(str(self.folder))

    def add(self, rows):
        """Appends rows, dictionaries with "step", "time" and "layers"."""
        for row in rows:
            values = [
                self._summary.Summary.Value(tag=f"{key}/{layer}", simple_value=float(number))
                for layer, numbers in row["layers"].items()
                for key, number in numbers.items()
                if key in self.keys and number is not None and math.isfinite(number)
            ]
            self.writer.add_event(
                self._event.Event(
                    wall_time=time.time(),
                    step=row["step"],
                    summary=self._summary.Summary(value=values),
                )
            )
        self.writer.flush()


def _cell(number):
    return "" if number is None else f"{number:.6g}"
