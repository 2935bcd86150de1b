"""Exported files predict what Keras predicts, and what cannot be exported says why."""

import importlib

from kerasdnn import cli
from kerasdnn.errors import InputError
from kerasdnn.export import export, onnx_milliseconds
from kerasdnn.layers import TransformerEncoderBlock

import keras
import numpy as np
import pytest
from keras import layers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="export runs on TensorFlow"
)
# Of the converters and of what they import.
warnings_of_others = pytest.mark.filterwarnings("ignore")


def need(format):
    for name in {"onnx": ("tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}.get(format, ()):
        pytest.importorskip(name, reason="installed with the extra 'export'")


def cnn():
    return importlib.import_module("recipes.vision.cnn_augmentation").build()


def mixed():
    inputs = [keras.Input((6, 8), name="tokens"), keras.Input((3,), name="extra")]
    x = TransformerEncoderBlock(2, 16)(inputs[0])
    x = layers.GRU(4, unroll=True)(x)
    x = layers.Concatenate()([x, inputs[1]])
    return keras.Model(inputs, [layers.Dense(2)(x), layers.Dense(3, activation="softmax")(x)])


@warnings_of_others
@pytest.mark.parametrize("format", ["onnx", "litert", "saved_model"])
@pytest.mark.parametrize("build", [cnn, mixed], ids=["cnn", "attention and recurrence"])
def test_predicts_the_same(build, format, tmp_path):
    need(format)
    keras.config.set_dtype_policy("mixed_bfloat16" if build is cnn else "float32")
    written = export(build(), tmp_path / "model", format=format)
    assert written["bytes"] > 1000
    assert written["difference"] < 1e-4  # and export itself refuses more


@warnings_of_others
def test_a_file_that_predicts_otherwise_is_refused(tmp_path, monkeypatch):
    need("onnx")
    module = importlib.import_module("kerasdnn.export")
    right = module.runner

    def wrong(path, format="onnx"):
        return lambda inputs: [1.01 * out for out in right(path, format)(inputs)]

    monkeypatch.setattr(module, "runner", wrong)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(InputError, match="predicts otherwise than Keras"):
        export(model, tmp_path / "model")


@warnings_of_others
def test_command_line(tmp_path, capsys):
    need("onnx")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.save(tmp_path / "small.keras")
    out = tmp_path / "small.onnx"
    assert cli.main(["export", str(tmp_path / "small.keras"), "--out", str(out)]) == 0
    assert "largest difference to Keras" in capsys.readouterr().out
    assert out.stat().st_size > 100
    assert cli.main(["export", str(tmp_path / "none.keras")]) == 2
    assert "does not exist" in capsys.readouterr().err


@warnings_of_others
def test_milliseconds_of_two_models(tmp_path):
    need("onnx")

    def net(width):
        inputs = keras.Input((64,))
        return keras.Model(inputs, layers.Dense(8)(layers.Dense(width)(inputs)))

    times = onnx_milliseconds([net(4), net(8)], 2, tmp_path)
    assert len(times) == 2
    assert np.all(np.array(times) > 0)


@pytest.mark.parametrize(
    ("build", "format", "message"),
    [
        (
            lambda: keras.Sequential([keras.Input((8, 8, 1)), layers.RandomFlip(name="flip")]),
            "onnx",
            "without random augmentation; received flip",
        ),
        (
            lambda: keras.Sequential([keras.Input((2,)), layers.Dense(1)]),
            "torchscript",
            "received 'torchscript'",
        ),
    ],
)
def test_bad_input(build, format, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export(build(), tmp_path / "model", format=format)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    module = importlib.import_module("kerasdnn.export")
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    with pytest.raises(InputError, match=r'onnx and tf2onnx.* pip install "kerasdnn\[export\]"'):
        export(model, tmp_path / "model")
