"""NT-Xent at a batch of 4,096: kerasdnn against the usual ways to write it, time and memory.

python benchmarks/losses.py --batch 4096 --rounds 5 --seconds 3
"""

import os
import resource
import sys

from kerasdnn import bench

import keras
import numpy as np
from keras import ops

WIDTH, TEMPERATURE = 128, 0.2


def four_blocks(a, b):
    """Four blocks, the diagonals of two pushed down, as in SimCLR's published code."""
    a, b = ops.normalize(a), ops.normalize(b)  # (N, D)
    count = ops.shape(a)[0]
    diagonal, labels = ops.eye(count) * 1e9, ops.arange(count)
    total = 0.0
    for x, y in ((a, b), (b, a)):
        other = ops.matmul(x, ops.transpose(y)) / TEMPERATURE
        own = ops.matmul(x, ops.transpose(x)) / TEMPERATURE - diagonal
        logits = ops.concatenate([other, own], axis=1)  # (N, 2 N)
        total += ops.mean(
            keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        )
    return total / 2


def one_matrix(a, b):
    """One matrix of all pairs, its diagonal pushed down, one cross-entropy."""
    z = ops.normalize(ops.concatenate([a, b], axis=0))  # (2 N, D)
    count = ops.shape(a)[0]
    logits = ops.matmul(z, ops.transpose(z)) / TEMPERATURE - ops.eye(2 * count) * 1e9
    labels = (ops.arange(2 * count) + count) % (2 * count)
    return ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def ours():
    from kerasdnn.losses import NTXent

    return NTXent(TEMPERATURE)


CANDIDATES = {
    "one matrix of all pairs": lambda: one_matrix,
    "four blocks": lambda: four_blocks,
    "kerasdnn NTXent": ours,
}


def work_of(name, batch):
    """Returns `(work, facts)`: training steps of one dense layer under the loss."""
    loss = CANDIDATES[name]()
    inputs = keras.Input((2, WIDTH))  # both views
    model = keras.Model(inputs, keras.layers.Dense(WIDTH, use_bias=False)(inputs))
    x = np.random.default_rng(0).normal(size=(batch, 2, WIDTH)).astype("float32")
    target = np.zeros((batch, 1), "float32")
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile("sgd", lambda _, z: loss(z[:, 0], z[:, 1]), jit_compile=jit)
    model.fit(x[:64], target[:64], batch_size=64, verbose=0)  # loading does not count as memory
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def work():
        model.fit(x, target, batch_size=batch, verbose=0)
        return batch

    work()
    value = model.evaluate(x[:256], target[:256], batch_size=256, verbose=0)
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return work, {"MB": round(megabytes), "loss": round(value, 3)}


def main(argv=None):
    flags = bench.parser(__doc__, rounds=5, seconds=3.0)
    flags.add_argument("--batch", type=int, default=4096)
    args = flags.parse_args(argv)
    if args.worker:
        name, batch = args.worker.rsplit(":", 1)
        return bench.serve(lambda: work_of(name, int(batch)))
    tables = {}
    for backend in ("tensorflow", "jax", "torch"):
        env = {**os.environ, "KERAS_BACKEND": backend}
        starts = {
            name: lambda name=name, env=env: bench.Process(__file__, f"{name}:{args.batch}", env)
            for name in CANDIDATES
        }
        rates, facts, skipped = bench.interleave(starts, rounds=args.rounds, seconds=args.seconds)
        rows = bench.ratio_rows(rates, facts, skipped, next(iter(CANDIDATES)), "pairs/s")
        tables[f"NT-Xent, batch {args.batch} x {WIDTH}, forward and back, {backend}"] = rows
    bench.publish("losses", tables, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
