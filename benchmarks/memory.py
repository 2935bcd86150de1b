"""Peak memory of a training by batch size: Keras' defaults against kerasdnn's choice.

python benchmarks/memory.py --batches 64 256 1024
"""

import json
import resource
import subprocess
import sys

from kerasdnn import bench

from _models import keras_model  # beside this script

STEPS = 3


def peak(policy, ours, batch):
    """Returns the megabytes that the training adds to a process that has loaded Keras."""
    import keras
    import numpy as np

    keras.config.set_dtype_policy(policy)
    model = keras_model("cnn", ours)
    if keras.backend.backend() == "tensorflow":
        model.jit_compile = False
    random = np.random.default_rng(0)
    x = random.normal(size=(batch, 28, 28, 1)).astype("float32")
    y = random.integers(0, 10, batch)
    model.fit(x[:8], y[:8], verbose=0)  # what loading and compiling takes does not count
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.fit(x, y, batch_size=batch, epochs=STEPS, verbose=0)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


WAYS = {
    "Keras defaults, float32": ("float32", False),
    "fused batch norm, float32": ("float32", True),
    "Keras batch norm, bfloat16": ("mixed_bfloat16", False),
    "fused batch norm, bfloat16": ("mixed_bfloat16", True),
}


def main(argv=None):
    flags = bench.parser(__doc__)
    flags.add_argument("--batches", nargs="*", type=int, default=[64, 256, 1024])
    args = flags.parse_args(argv)
    if args.worker:
        name, batch = args.worker.rsplit(":", 1)
        print("BENCH " + json.dumps(peak(*WAYS[name], int(batch))))
        return 0
    tables = {}
    for batch in args.batches:
        rows = []
        for name in WAYS:
            command = [sys.executable, __file__, "--worker", f"{name}:{batch}"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            (line,) = [x for x in done.stdout.splitlines() if x.startswith("BENCH ")]
            rows.append({"candidate": name, "MB": round(json.loads(line.removeprefix("BENCH ")))})
        for row in rows:
            row["ratio"] = round(row["MB"] / rows[0]["MB"], 3) if rows[0]["MB"] else None
        tables[f"peak memory of the CNN's training, batch {batch}"] = rows
    bench.publish("memory", tables, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
