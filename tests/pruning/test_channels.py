"""Channel pruning: the smaller model computes what the large one does without the channels."""

import importlib

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
from kerasdnn.pruning import prune_channels, surgery
from kerasdnn.pruning.importance import choose, magnitude_scores
from kerasdnn.pruning.joins import RULES
from kerasdnn.pruning.trace import Trace

import keras
import numpy as np
import pytest
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


NETWORKS = [
    plain,
    additions,
    sums,
    concatenations,
    squeeze,
    depthwise,
    grouped,
    blocks,
    transformer,
    shared_and_nested,
    recurrent,
]


@pytest.mark.parametrize("build", NETWORKS, ids=lambda f: f.__name__)
def test_exact(build):
    check_exact(build())


def test_sequential():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(8, 3, name="a"),
            layers.BatchNormalization(),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3),
        ]
    )
    smaller, _, _ = check_exact(model)
    assert smaller.get_layer("a").filters == 4
    assert isinstance(smaller, keras.Sequential)


def test_the_cnn_of_the_catalog():
    build = importlib.import_module("recipes.vision.cnn_augmentation").build
    model = build()
    smaller, _, _ = check_exact(model, round_to=8)
    assert smaller.count_params() <= 0.3 * model.count_params()


def test_the_vision_transformer_of_the_catalog():
    build = importlib.import_module("recipes.compression.attention_distillation").build
    smaller, _, _ = check_exact(build(width=32, heads=4, blocks=2), round_to=8)
    block = smaller.get_layer("block_1")
    assert (block.num_heads, block.key_dim, block.mlp_dim) == (2, 8, 32)


def test_what_is_removed_is_what_weighs_least():
    inputs = keras.Input((8, 8, 1))
    model = head(inputs, conv(inputs, 8, name="conv"))
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., [0, 3, 5, 6]] *= 0.01
    model.get_layer("conv").set_weights([kernel, bias])
    result = prune_channels(model, 0.5, round_to=4)
    assert result.removed == {"conv": [0, 3, 5, 6]}
    kept = result.model.get_layer("conv").get_weights()[0]
    np.testing.assert_array_equal(kept, kernel[..., [1, 2, 4, 7]])


def test_taylor_removes_what_the_loss_does_not_need():
    inputs = keras.Input((4,))
    x = layers.Dense(8, name="hidden")(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="out")(x))
    out = np.zeros((8, 1), "float32")
    out[[1, 2, 4, 7]] = 1.0  # the others have large weights, but nobody listens
    kernel = np.full((4, 8), 0.1, "float32")
    kernel[:, [0, 3, 5, 6]] = 1.0
    model.set_weights([kernel, np.zeros(8), out, np.zeros(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((16, 4), "float32"), np.full((16, 1), 9.0, "float32")
    by_size = prune_channels(model, 0.5, round_to=4)
    by_loss = prune_channels(model, 0.5, round_to=4, importance="taylor", data=(x, y))
    assert by_size.removed["hidden"] == [1, 2, 4, 7]
    assert by_loss.removed["hidden"] == [0, 3, 5, 6]
    before = model.evaluate(x, y, verbose=0)
    by_loss.model.compile("sgd", "mse")
    assert by_loss.model.evaluate(x, y, verbose=0) == pytest.approx(before)


def test_round_to_ignored_and_the_table():
    model = plain()
    result = prune_channels(model, 0.5, round_to=8, ignored=("first",))
    rows = {row["layer"]: row for row in result.table}
    assert (rows["first"]["before"], rows["first"]["after"]) == (8, 8)
    assert rows["first"]["left"] == "ignored"
    assert rows["dense"]["after"] == 8
    assert rows["head"]["left"] == "output of the model"
    assert rows["parameters"]["after"] == result.model.count_params()
    assert rows["multiply-adds"]["after"] < rows["multiply-adds"]["before"]
    assert "ignored" in str(result)


def test_multiply_adds_are_those_of_the_formula():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(inputs)  # 4 x 4 places
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    model = keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))
    assert Trace(model, RULES).macs == 16 * 9 * 2 * 4 + 16 * 9 * 4 + 64 * 5


def test_latency_is_measured_when_asked_for():
    rows = prune_channels(plain(), 0.5, round_to=4, latency_batch=2).table
    assert rows[-1]["layer"] == "milliseconds"
    assert rows[-1]["before"] > 0 < rows[-1]["after"]


def test_the_model_stays_as_it_is_and_the_smaller_one_trains():
    model = blocks()
    before, config = model.get_weights(), model.get_config()
    smaller = prune_channels(model, 0.5, round_to=4).model
    smaller.compile(keras.optimizers.Adam(0.01), "mse")
    x, y = np.ones((8, 8, 8, 2), "float32"), np.ones((8, 3), "float32")
    losses = smaller.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.get_config() == config
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_saves_and_loads(tmp_path):
    from kerasdnn.saving import load_model

    smaller = prune_channels(blocks(), 0.5, round_to=4).model
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 2))
    smaller.save(tmp_path / "small.keras")
    again = load_model(tmp_path / "small.keras")
    np.testing.assert_allclose(
        again.predict(x, verbose=0), smaller.predict(x, verbose=0), rtol=1e-5, atol=1e-6
    )


@keras.saving.register_keras_serializable(package="tests")
class Twist(keras.layers.Layer):
    """Something that surgery cannot know."""

    def call(self, x):
        return x[..., ::-1]


def test_what_is_not_understood_is_left_whole_and_named():
    inputs = keras.Input((8, 8, 2))
    x = Twist(name="twist")(conv(inputs, 8, name="before"))
    model = head(inputs, conv(x, 8, name="behind"))
    smaller, _, _ = check_exact(model)
    assert smaller.get_layer("before").filters == 8
    assert smaller.get_layer("behind").filters == 4
    rows = {row["layer"]: row for row in prune_channels(model, 0.5, round_to=4).table}
    assert rows["before"]["left"] == "twist (Twist) needs its whole input"


def test_an_activation_that_is_not_zero_at_zero_keeps_its_channels():
    inputs = keras.Input((8, 8, 2))
    x = conv(inputs, 8, activation="sigmoid", name="sigmoid")
    smaller, _, _ = check_exact(head(inputs, conv(x, 8, name="behind")))
    assert smaller.get_layer("sigmoid").filters == 8


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ratio": 0.0}, ValueError, r"ratio in \(0, 1\), the share removed; received 0.0"),
        ({"ratio": 1.5}, ValueError, "received 1.5"),
        ({"ratio": 0.5, "round_to": 0}, ValueError, "round_to of at least 1; received 0"),
        ({"ratio": 0.5, "importance": "size"}, ValueError, "received 'size'"),
        ({"ratio": 0.5, "importance": "taylor"}, ValueError, "expects a compiled model and data"),
        ({"ratio": 0.5, "ignored": ("nose",)}, ValueError, "received 'nose'. The model has"),
        ({"ratio": 0.5, "model": Subclassed()}, TypeError, "expects a functional model"),
    ],
)
def test_bad_input(arguments, error, message):
    arguments = {"model": plain(), **arguments}
    with pytest.raises(error, match=message):
        prune_channels(**arguments)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("MobileNetV2"),
        pytest.param("ResNet50V2", marks=pytest.mark.slow),
        pytest.param("DenseNet121", marks=pytest.mark.slow),
        pytest.param("EfficientNetV2B0", marks=pytest.mark.slow),
        pytest.param("ConvNeXtTiny", marks=pytest.mark.slow),
    ],
)
def test_keras_applications(name):
    options = {"alpha": 0.35} if name == "MobileNetV2" else {}
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(32, 32, 3), classes=7, classifier_activation=None, **options
    )
    smaller, _, choice = check_exact(model, round_to=8)
    assert smaller.count_params() < 0.65 * model.count_params()
    assert choice.removed
