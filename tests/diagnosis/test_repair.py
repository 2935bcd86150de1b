from benchmarks import programs
from benchmarks.programs.parts import adam, dense, program, sequential
from kerasdnn.diagnosis import diagnose, repair
from kerasdnn.diagnosis.edits import CannotChangeError, apply

import keras
import numpy as np
import pytest

CASES = programs.load()


def test_wrong_head_is_repaired_and_measured():
    faulty = CASES["42800203"].make(0)
    report = diagnose(faulty, passes=("structure",))
    result = repair(faulty, report, seconds=12)
    assert result.helped
    assert result.before.score < 0.2
    assert result.after.score > 0.7
    assert result.applied[0]["id"] == "output.softmax_one_unit"
    head = result.program.build().layers[-1]
    assert head.activation is keras.activations.sigmoid
    assert faulty.build().layers[-1].activation is keras.activations.softmax


def regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3)) * 100
    stack = lambda: [dense(8, "tanh"), keras.layers.Dropout(0.5), dense(1)]  # noqa: E731
    return program(sequential((3,), stack, adam(0.01), "mse"), x, x.sum(1) * 50, epochs=2)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"kind": "optimizer", "rate": 0.5}, lambda m: float(m.optimizer.learning_rate) == 0.5),
        (
            {"kind": "optimizer", "factor": 0.1},
            lambda m: np.isclose(float(m.optimizer.learning_rate), 1e-3),
        ),
        ({"kind": "clip", "norm": 2.0}, lambda m: m.optimizer.clipnorm == 2.0),
        ({"kind": "dropout", "rate": 0.1}, lambda m: m.layers[1].rate == 0.1),
        (
            {"kind": "widen", "factor": 4},
            lambda m: [m.layers[0].units, m.layers[-1].units] == [32, 1],
        ),
        ({"kind": "batch_norm"}, lambda m: type(m.layers[1]).__name__ == "BatchNormalization"),
        (
            {"kind": "head", "activation": "tanh", "units": 2, "loss": "mae"},
            lambda m: m.layers[-1].units == 2 and m.loss == "mae",
        ),
    ],
)
def test_change_makes_a_new_model_and_leaves_the_old(change, check):
    old = regression()
    new = apply(old, change)
    assert check(new.build()), change
    assert not check(old.build()), change


def test_removed_layer_and_scaled_data():
    old = regression()
    model = old.build()  # the same one again, so that the name of the layer stays
    old = old.replace(build=lambda: model)
    less = apply(old, {"kind": "remove", "layers": [1]}).build()
    assert [layer.name for layer in less.layers] == [model.layers[0].name, model.layers[2].name]
    scaled = apply(apply(old, {"kind": "scale_x"}), {"kind": "scale_y"})
    np.testing.assert_allclose(scaled.x.std(0), 1, atol=1e-5)
    np.testing.assert_allclose(scaled.y.mean(), 0, atol=1e-5)
    assert np.abs(old.x).max() > 50


def test_layers_of_a_subclass_cannot_be_exchanged():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.d = dense(1)

        def call(self, x):
            return self.d(x)

    def build():
        model = Own()
        model.compile("sgd", "mse")
        return model

    with pytest.raises(CannotChangeError, match="subclass"):
        apply(program(build, np.zeros((4, 2)), np.zeros(4)), {"kind": "batch_norm"})


def test_a_softmax_layer_behind_the_head_goes_with_it():
    def build():
        inputs = keras.Input((3,))
        outputs = keras.layers.Softmax()(dense(1)(dense(4, "relu")(inputs)))
        model = keras.Model(inputs, outputs)
        model.compile("adam", "binary_crossentropy")
        return model

    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    faulty = program(build, x, (x[:, 0] > 0) * 1.0)
    report = diagnose(faulty, passes=("structure",))
    mended = apply(faulty, report.top.change).build()
    outputs = keras.ops.convert_to_numpy(mended(x))
    assert outputs.std() > 1e-3
    assert diagnose(apply(faulty, report.top.change), passes=("structure",)).warnings == []
