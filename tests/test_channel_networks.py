"""Channel pruning of every kind of layer; the backends run tests/pruning/test_channels.py."""

import importlib

import cut_networks
import keras
import pytest
from cut_networks import check_exact
from keras import layers

NETWORKS = """additions sums concatenations squeeze depthwise grouped shared_and_nested recurrent"""


@pytest.mark.parametrize("name", NETWORKS.split())
def test_exact(name):
    check_exact(getattr(cut_networks, name)())


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
