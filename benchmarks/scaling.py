"""Data-parallel training on JAX: speed and bytes of 1 and 2 processes, and a model up to 64.

python benchmarks/scaling.py

Measured on the loopback of this machine, whose cores the processes share: that shows what a step
costs and exchanges, not how much faster several machines would be. Each process has ROWS rows a
step. The bytes are those of the loopback device during the steps, so nothing else should use it.

The model, for N workers of the speed that one process has here:

    T(N) = T(1) + 2 (N - 1) / N * G / BANDWIDTH + 2 (N - 1) * LATENCY

with the gradients of G bytes summed by a ring after the whole backward pass (nothing overlaps), a
network of 10 Gbit/s, 50 microseconds a message, and workers that are equally fast.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from kerasdnn import bench

ROWS, STEPS = 128, 40  # a process and step; steps an epoch
EPOCHS = 4  # the first one compiles and is not counted
BANDWIDTH, LATENCY = 10e9 / 8, 50e-6  # bytes a second, seconds a message
WORKERS = (2, 4, 8, 16, 32, 64)


def loopback():
    """Returns the bytes that the loopback device has received."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        if line.strip().startswith("lo:"):
            return int(line.split(":")[1].split()[0])
    return 0


def worker(path):
    """Trains as one of the processes; the first one writes what it has measured."""
    from kerasdnn import distributed

    import keras
    import numpy as np

    team = distributed.join()
    with team.scope():
        layers = [keras.layers.Dense(512, "relu") for _ in range(2)]
        model = keras.Sequential([keras.Input((784,)), *layers, keras.layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01), loss)
    rows = ROWS * team.count
    random = np.random.default_rng(0)
    x = random.normal(size=(rows * STEPS, 784)).astype("float32")
    y = random.integers(10, size=len(x))
    marks = []

    class Marks(keras.callbacks.Callback):
        def get_state(self):
            pass

        def set_state(self, state):
            pass

        def on_epoch_begin(self, epoch, logs=None):
            marks.append((time.perf_counter(), loopback()))

        on_epoch_end = on_epoch_begin

    team.fit(model, x, y, epochs=EPOCHS, batch_size=rows, callbacks=[Marks()])
    if team.rank == 0:
        epochs = list(zip(marks[2::2], marks[3::2], strict=True))  # begin and end of each
        fastest = min(end[0] - begin[0] for begin, end in epochs) / STEPS
        sent = min(end[1] - begin[1] for begin, end in epochs) / STEPS
        content = {"seconds": fastest, "bytes": sent, "parameters": model.count_params()}
        Path(path).write_text(json.dumps(content))


def measured(count):
    """Returns what the processes of one training find."""
    from kerasdnn.launch import run_together

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        command = [sys.executable, __file__, "--worker", str(path)]
        with open(os.devnull, "w") as out:
            code = run_together(command, count, deadline=900, max_restarts=0, out=out)
        if code:
            raise RuntimeError(f"{count} processes ended with {code}")
        return json.loads(path.read_text())


def main(argv=None):
    args = bench.parser(__doc__).parse_args(argv)
    if args.worker:
        worker(args.worker)
        return 0
    os.environ["KERAS_BACKEND"] = "jax"
    found = {count: measured(count) for count in (1, 2)}
    one = found[1]["seconds"]
    rows = [
        {
            "candidate": f"{count} process{'es' if count > 1 else ''}",
            "ms a step": round(1000 * each["seconds"], 2),
            "rows/s": round(count * ROWS / each["seconds"]),
            "MB a step": round(each["bytes"] / 1e6, 3),
            "MB of gradients": round(4 * each["parameters"] / 1e6, 3),
            "ratio": round(count * one / each["seconds"], 3),
        }
        for count, each in found.items()
    ]
    size = 4 * found[1]["parameters"]
    modelled = []
    for count in WORKERS:
        transfer = 2 * (count - 1) / count * size / BANDWIDTH
        waiting = 2 * (count - 1) * LATENCY
        total = one + transfer + waiting
        modelled.append(
            {
                "candidate": f"{count} workers",
                "ms a step": round(1000 * total, 2),
                "ms of transfer": round(1000 * transfer, 2),
                "ms of messages": round(1000 * waiting, 2),
                "rows/s": round(count * ROWS / total),
                "efficiency": round(one / total, 3),
                "ratio": round(count * one / total, 2),
            }
        )
    tables = {
        f"measured: {ROWS} rows a process and step, one machine": rows,
        "modelled: a worker a machine, 10 Gbit/s, 50 microseconds a message": modelled,
    }
    bench.publish("scaling", tables, args, {"bandwidth": BANDWIDTH, "latency": LATENCY})
    return 0


if __name__ == "__main__":
    sys.exit(main())
