"""Networks to be cut, and the property that makes surgery right."""

from kerasdnn.layers import (
    BottleneckBlock,
    FusedBatchNormalization,
    LayerScale,
    PatchEmbedding,
    ResidualBlock,
    SinePositionEncoding,
    SqueezeExcite,
    Swish,
    TransformerEncoderBlock,
)
from kerasdnn.pruning import surgery
from kerasdnn.pruning.importance import choose, magnitude_scores
from kerasdnn.pruning.joins import RULES
from kerasdnn.pruning.trace import Trace

import keras
import numpy as np
from keras import layers


def check_exact(model, ratio=0.5, *, round_to=4, ignored=()):
    """Cuts the model, zeroes the same channels in the original, and compares the outputs."""
    random = np.random.default_rng(0)
    for weight in model.weights:  # nothing may hide behind the zeros and ones of a fresh model
        if len(weight.shape) == 1:
            weight.assign(random.uniform(0.3, 1.0, tuple(weight.shape)))
    trace = Trace(model, RULES, ignored)
    choice = choose(trace, ratio, round_to, magnitude_scores(trace))
    smaller = surgery.cut(model, trace, choice)
    x = [random.normal(size=(2, *t.shape[1:])).astype("float32") for t in model.inputs]
    x = x[0] if len(x) == 1 else x
    before = outputs(model, x)
    surgery.zero_removed(model, trace, choice)
    zeroed, cut = outputs(model, x), outputs(smaller, x)
    for whole, large, small in zip(before, zeroed, cut, strict=True):
        assert np.abs(whole - large).max() > 1e-4  # it mattered
        np.testing.assert_allclose(small, large, rtol=1e-3, atol=1e-5)
    assert smaller.count_params() < model.count_params()
    names = [layer.name for layer in model.layers]
    assert [layer.name for layer in smaller.layers] == names
    return smaller, trace, choice


def outputs(model, x):
    return keras.tree.flatten(model.predict(x, verbose=0))  # compiled: JAX is slow op by op


def conv(x, width, size=3, **options):
    return layers.Conv2D(width, size, padding="same", **options)(x)


def head(inputs, x, classes=3):
    x = layers.GlobalAveragePooling2D()(x) if len(x.shape) == 4 else x
    return keras.Model(inputs, layers.Dense(classes, name="head")(x))


def plain():
    inputs = keras.Input((8, 8, 2))
    x = layers.ReLU()(FusedBatchNormalization()(conv(inputs, 8, name="first")))
    x = layers.MaxPooling2D()(conv(x, 12, activation="gelu"))
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return head(inputs, layers.Dense(16, activation="relu")(x))


def additions():
    inputs = keras.Input((8, 8, 2))
    x = conv(inputs, 8)
    padded = layers.Cropping2D(1)(layers.ZeroPadding2D()(conv(inputs, 8)))
    y = layers.Maximum()([conv(x, 8), padded])
    return head(inputs, layers.Average()([x, y]) * 2.0)


def sums():
    inputs = keras.Input((8, 8, 2))
    x = conv(inputs, 8)
    x = layers.Add()([x, layers.PReLU(shared_axes=[1, 2])(conv(x, 8))])
    return head(inputs, Swish()(x + conv(x, 8)))


def concatenations():
    inputs = keras.Input((8, 8, 2))
    x = conv(inputs, 8)
    for _ in range(2):  # as in DenseNet
        y = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Concatenate()([x, conv(y, 4)])
    return head(inputs, conv(x, 8))


def squeeze():
    inputs = keras.Input((8, 8, 2))
    x = conv(inputs, 16)
    gate = layers.Reshape((1, 1, 16))(layers.GlobalAveragePooling2D()(x))
    gate = conv(conv(gate, 8, 1, activation="relu"), 16, 1, activation="sigmoid")
    return head(inputs, SqueezeExcite(4)(layers.Multiply()([x, gate])))


def depthwise():
    inputs = keras.Input((8, 8, 2))
    x = conv(inputs, 8)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu")(x)
    x = layers.SeparableConv2D(8, 3)(x)
    return head(inputs, conv(x, 8, groups=8))


def grouped():
    inputs = keras.Input((8, 8, 2))
    x = conv(conv(inputs, 16), 24, groups=2, activation="relu")
    return head(inputs, layers.Conv2DTranspose(8, 2, strides=2)(x))


def blocks():
    inputs = keras.Input((8, 8, 2))
    x = ResidualBlock(8)(inputs)
    x = ResidualBlock(16, 2, squeeze_excite=4, norm_first=True, use_batch_norm=False)(x)
    x = BottleneckBlock(8, expansion=2, groups=2)(x)
    return head(inputs, layers.ReLU()(x))


def transformer():
    inputs = keras.Input((8, 8, 1))
    x = PatchEmbedding(4, 16)(inputs)
    x = x + SinePositionEncoding()(x)
    x = TransformerEncoderBlock(4, 32)(x)
    x = x + layers.MultiHeadAttention(4, 4)(x, x)
    x = LayerScale(0.5)(x)
    return head(inputs, layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x)))


def shared_and_nested():
    inputs = [keras.Input((8, 8, 2)), keras.Input((8, 8, 2))]
    inner_input = keras.Input((8, 8, 8))
    inner = keras.Model(inner_input, conv(inner_input, 8, activation="relu"), name="inner")
    tail = keras.Sequential([keras.Input((8, 8, 8)), layers.Conv2D(8, 1)], name="tail")
    both = layers.Conv2D(8, 3, padding="same", name="both")
    a, b = (tail(inner(both(x))) for x in inputs)
    x = layers.GlobalAveragePooling2D()(layers.Concatenate()([a, conv(b, 8)]))
    return keras.Model(inputs, [layers.Dense(3)(x), layers.Dense(2)(layers.Dense(8)(x))])


def recurrent():
    inputs = keras.Input((6, 4))
    x = layers.Conv1D(8, 3, padding="same", activation="relu")(inputs)
    return head(inputs, layers.GRU(5)(x))
