"""Where a training step spends its time: kinds of operations of the three models on TensorFlow.

python benchmarks/hotspots.py

Shares of the time inside operations, of all threads, as TensorFlow's profiler sees them in a
training with Keras' defaults. What is not a matrix product or a convolution gains nothing from
bfloat16's arithmetic; small products gain little.
"""

import collections
import sys
import tempfile
from pathlib import Path

from kerasdnn import bench

import keras
from _models import batch_size, data, feed, keras_model  # beside this script

MODELS = ("cnn", "lstm", "transformer")
SHOWN = 8  # kinds of operations; the rest is one row
# What encloses or schedules operations, or waits.
NOT_AN_OPERATION = {"Run", "Process", "FunctionRun", "Prefetch", "Start", "RootDataset"}


def operations(name):
    """Returns seconds and calls by kind of operation, in one epoch of a few steps."""
    import tensorflow as tf

    x, y = data(name)
    model, arrays = keras_model(name, ours=False), feed(x, y, batch_size(name))
    for _ in range(2):  # compiled and warm
        model.fit(**arrays, verbose=0)
    levels = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder, options=levels)
        model.fit(**arrays, verbose=0)
        tf.profiler.experimental.stop()
        (path,) = Path(folder).rglob("*.xplane.pb")
        return summed(path.read_bytes())


def summed(content):
    """Returns seconds, without those of what an event encloses, and calls by kind of operation."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(content)
    seconds, calls = collections.Counter(), collections.Counter()
    for plane in space.planes:
        names = {number: kind(entry.name) for number, entry in plane.event_metadata.items()}
        for line in plane.lines:
            open_events = []  # those that enclose the next one: (end, name)
            for event in sorted(line.events, key=lambda e: (e.offset_ps, -e.duration_ps)):
                while open_events and open_events[-1][0] <= event.offset_ps:
                    open_events.pop()
                name = names[event.metadata_id]
                if open_events:
                    seconds[open_events[-1][1]] -= event.duration_ps / 1e12
                seconds[name] += event.duration_ps / 1e12
                calls[name] += 1
                open_events.append((event.offset_ps + event.duration_ps, name))
    return seconds, calls


def kind(name):
    """Returns the kind of an event: "model/dense/MatMul:_MklMatMul#id=3#" is MatMul."""
    return name.split("#")[0].rsplit(":", 1)[-1].removeprefix("_Mkl").removeprefix("Native")


def is_operation(name):
    """Whether this is computing, not what is around it."""
    around = ("Dataset", "Executor", "TFE_", "multi_step", "ParallelMap", "Task")
    return name not in NOT_AN_OPERATION and not any(word in name for word in around)


def main(argv=None):
    args = bench.parser(__doc__).parse_args(argv)
    if keras.backend.backend() != "tensorflow":
        print("skipped: the profile is TensorFlow's")
        return 0
    tables = {}
    for name in MODELS:
        seconds, calls = operations(name)
        seconds = {key: value for key, value in seconds.items() if is_operation(key)}
        total = sum(seconds.values())
        first = sorted(seconds, key=seconds.get, reverse=True)[:SHOWN]
        rows = [
            {
                "candidate": key,
                "ratio": round(seconds[key] / total, 3),
                "calls": calls[key],
                "ms": round(1000 * seconds[key], 1),
            }
            for key in first
        ]
        rest = total - sum(seconds[key] for key in first)
        rows.append(
            {
                "candidate": "all others",
                "ratio": round(rest / total, 3),
                "ms": round(1000 * rest, 1),
            }
        )
        tables[f"{name}: share of the time, float32, batch {batch_size(name)}"] = rows
    bench.publish("hotspots", tables, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
