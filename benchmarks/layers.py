"""Each layer against Keras' own or against the same thing composed from Keras layers.

python benchmarks/layers.py --rounds 5 --seconds 1
"""

import functools
import sys

from kerasdnn import bench
from kerasdnn import layers as ours

import keras
import numpy as np
from _models import feed  # beside this script
from keras import layers

BATCHES = 4


def pairs():
    """Yields (title, batch shape, dict from candidate to a function that makes its layers)."""
    image, tokens = (128, 14, 14, 64), (32, 128, 128)
    yield (
        "batch normalization",
        image,
        {
            "keras BatchNormalization": layers.BatchNormalization,
            "FusedBatchNormalization": ours.FusedBatchNormalization,
        },
    )
    yield (
        "residual block",
        image,
        {
            "composed from Keras layers": lambda: _residual,
            "ResidualBlock": functools.partial(ours.ResidualBlock, 64),
            "ResidualBlock, fused": functools.partial(
                ours.ResidualBlock, 64, fused_batch_norm=True
            ),
        },
    )
    yield (
        "Transformer encoder block",
        tokens,
        {
            "composed from Keras layers": lambda: _encoder,
            "TransformerEncoderBlock": functools.partial(ours.TransformerEncoderBlock, 4, 512),
        },
    )
    yield (
        "stochastic depth",
        image,
        {
            "keras Dropout, noise shape (B, 1, 1, 1)": lambda: layers.Dropout(
                0.2, noise_shape=(image[0], 1, 1, 1)
            ),
            "DropPath": functools.partial(ours.DropPath, 0.2),
        },
    )
    yield (
        "gated MLP",
        tokens,
        {
            "composed from Keras layers": lambda: _gated,
            "SwiGLU": functools.partial(ours.SwiGLU, 256),
        },
    )
    yield (
        "random crop",
        (128, 32, 32, 3),
        {
            "keras RandomCrop": functools.partial(layers.RandomCrop, 28, 28),
            "RandomResizedCrop": functools.partial(ours.RandomResizedCrop, 28, 28),
        },
    )


def _residual(x):
    y = layers.Conv2D(64, 3, padding="same", use_bias=False)(x)
    y = layers.Activation("relu")(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(64, 3, padding="same", use_bias=False)(y))
    return layers.Activation("relu")(layers.Add()([x, y]))


def _encoder(x):
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.Add()([x, layers.MultiHeadAttention(4, 32)(y, y)])
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    return layers.Add()([x, layers.Dense(128)(layers.Dense(512, activation="gelu")(y))])


def _gated(x):
    gate = layers.Dense(256, activation="silu", use_bias=False)(x)
    value = layers.Dense(256, use_bias=False)(x)
    return layers.Dense(x.shape[-1], use_bias=False)(layers.Multiply()([gate, value]))


def candidate(shape, make):
    """Returns the training of a model that is little more than the layer."""
    inputs = keras.Input(shape[1:])
    x = layers.Dense(shape[-1])(inputs)  # so that a gradient must go through the layer
    x = make()(x)
    x = layers.Flatten()(x) if len(x.shape) == 2 else layers.Lambda(_mean)(x)
    model = keras.Model(inputs, layers.Dense(1)(x))
    model.compile("sgd", "mse", jit_compile=False)
    data = np.random.default_rng(0).normal(size=(BATCHES * shape[0], *shape[1:])).astype("float32")
    target = np.zeros((len(data), 1), "float32")

    arrays = feed(data, target, shape[0])

    def work():
        model.fit(**arrays, verbose=0)
        return len(data)

    return bench.Local(work)


def _mean(x):
    return keras.ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)))


def main(argv=None):
    args = bench.parser(__doc__, rounds=5, seconds=1.0).parse_args(argv)
    tables = {}
    for title, shape, makers in pairs():
        starts = {name: functools.partial(candidate, shape, make) for name, make in makers.items()}
        rates, facts, skipped = bench.interleave(starts, rounds=args.rounds, seconds=args.seconds)
        rows = bench.ratio_rows(rates, facts, skipped, next(iter(makers)), "samples/s")
        tables[f"{title}, {shape}, float32, {keras.backend.backend()}"] = rows
    bench.publish("layers", tables, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
