import csv

from kerasdnn.callbacks import GradientMonitor
from kerasdnn.callbacks.activations import Activations, describe, leaves
from kerasdnn.optimizers import Observed

import keras
import numpy as np
import pytest
from keras import layers, ops

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 6)).astype("float32")
Y = X[:, :1] * 2 + 1


def make(optimizer=None, run_eagerly=False):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu", name="first"),
            layers.BatchNormalization(),
            layers.Dropout(0.1, seed=1),
            layers.Dense(4, activation="tanh", name="second"),
            layers.Dense(1, dtype="float32", name="third"),
        ]
    )
    optimizer = optimizer or keras.optimizers.Adam(1e-2, clipnorm=1e-3)
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=run_eagerly)
    return model


def fit(model, callbacks=(), epochs=2, **options):
    options = {"batch_size": 16, "shuffle": True, "verbose": 0, **options}
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **options).history


def everything(model):
    """All that a training leaves behind, random states included."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_it_changes_no_bit_of_the_training(policy):
    keras.config.set_dtype_policy(policy)
    plain = make()
    expected = fit(plain, validation_split=0.1)
    after = RNG.bit_generator.state, np.random.get_state()[1].sum()  # noqa: NPY002
    watched, monitor = make(), GradientMonitor(every=2)
    assert fit(watched, [monitor], validation_split=0.1) == expected
    for a, b in zip(everything(plain), everything(watched), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (RNG.bit_generator.state, np.random.get_state()[1].sum()) == after  # noqa: NPY002
    assert [row["step"] for row in monitor.rows] == [0, 1, 2, 4, 6, 8, 10]
    assert type(watched.optimizer) is type(plain.optimizer)
    assert watched.train_function is not monitor._steps
    fit(watched, epochs=1)  # and it goes on without


def test_the_numbers_are_those_of_the_observed_optimizer():
    """Every step seen by a wrapper in place all the time, and by the monitor."""
    optimizer = Observed(keras.optimizers.Adam(1e-2, clipnorm=1e-3))
    monitor = GradientMonitor(every=1)
    fit(make(), [monitor], epochs=1)
    reference = make(optimizer)
    fit(reference, epochs=1)
    seen = optimizer.statistics()
    row = monitor.rows[-1]["layers"]
    assert list(row) == ["first", "second", "third"]
    index = [i for i, size in enumerate(seen["size"]) if seen["path"][i].endswith("kernel")]
    for number, name in zip(index, row):
        assert row[name]["update_ratio"] == pytest.approx(seen["update_ratio"][number], rel=1e-5)
        assert row[name]["gradient_norm"] >= seen["gradient_norm"][number] * (1 - 1e-5)
        assert row[name]["clip_rate"] == 1.0
    assert row["first"]["dead"] is not None
    assert row["second"]["saturated"] is not None
    assert row["third"]["dead"] is None


def test_the_loss_curve_within_an_epoch_is_the_mean_between_its_points():
    monitor = GradientMonitor()
    history = fit(make(), [monitor], epochs=2, batch_size=10)
    assert len(monitor.step_loss) == 20
    for epoch in (0, 1):
        losses = [loss for at, loss in monitor.step_loss if epoch < at <= epoch + 1]
        assert np.mean(losses) == pytest.approx(history["loss"][epoch], rel=1e-3)


def test_dead_and_saturated_units_are_found():
    model = make()
    model.get_layer("first").set_weights([np.zeros((6, 8)), np.array([-1.0] * 3 + [1.0] * 5)])
    model.get_layer("second").set_weights([np.full((8, 4), 100.0), np.zeros(4)])
    found, output = Activations(model).read(X)
    assert found["first"]["dead"] == pytest.approx(3 / 8)
    assert found["second"]["saturated"] == 1.0
    assert found["third"]["saturated"] is None
    np.testing.assert_allclose(output, model.predict(X, verbose=0), rtol=1e-5)


def test_a_unit_is_dead_only_if_no_sample_switches_it_on():
    values = np.zeros((5, 3, 4))
    values[4, 2, 0] = 1e-3
    assert describe(values, "relu")["dead"] == 0.75
    assert describe(values, "gelu")["dead"] is None
    assert describe(np.full((2, 2), np.nan), "relu")["finite"] is False


def test_reading_leaves_seeds_and_layers_alone():
    class Noisy(layers.Layer):
        def __init__(self):
            super().__init__()
            self.seed = keras.random.SeedGenerator(3)
            self.calls = self.add_weight(shape=(), trainable=False, initializer="zeros")

        def call(self, x):
            self.calls.assign_add(1.0)
            return x + keras.random.normal(ops.shape(x), seed=self.seed)

    noisy = Noisy()
    model = keras.Sequential([keras.Input((6,)), noisy, layers.Dense(3, "relu", name="dense")])
    before = [np.array(ops.convert_to_numpy(v)) for v in model.variables]
    found, _ = Activations(model).read(X)
    assert found["dense"]["std"] > 0
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)
    assert "call" not in vars(model.get_layer("dense"))


def test_files_hold_the_rows(tmp_path):
    monitor = GradientMonitor(every=3, csv=tmp_path / "a" / "m.csv", tensorboard=tmp_path / "tb")
    fit(make(), [monitor])
    with open(tmp_path / "a" / "m.csv") as file:
        lines = list(csv.DictReader(file))
    first = [line for line in lines if line["step"] == "3" and line["layer"] == "first"]
    row = next(row for row in monitor.rows if row["step"] == 3)["layers"]["first"]
    assert float(first[0]["gradient_norm"]) == pytest.approx(row["gradient_norm"], rel=1e-4)
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(tmp_path / "tb")).Reload()
    scalar = [e for e in events.Scalars("gradient_norm/first") if e.step == 3]
    assert scalar[0].value == pytest.approx(row["gradient_norm"], rel=1e-4)


class OwnStep(keras.Model):
    """A model made of layers of its own, with a loss of its own in two parts."""

    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(5, activation="relu", name="hidden")
        self.heads = [layers.Dense(1, name="head"), layers.Dense(1, name="other")]

    def call(self, x):
        x = self.hidden(x)
        return {"a": self.heads[0](x), "b": self.heads[1](x)}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean((y_pred["a"] - y) ** 2) + ops.mean((y_pred["b"] + y) ** 2)


def test_a_subclass_with_two_outputs_and_a_generator():
    def batches():
        while True:
            for start in range(0, 96, 16):
                yield X[start : start + 16], Y[start : start + 16]

    def trained(*callbacks):
        keras.utils.set_random_seed(0)
        model = OwnStep()  # on TensorFlow without weights until its first step
        model.compile("adam")
        options = {"steps_per_epoch": 6, "epochs": 2, "shuffle": False, "verbose": 0}
        model.fit(batches(), callbacks=list(callbacks), **options)
        return everything(model)

    monitor = GradientMonitor(every=2)
    for a, b in zip(trained(), trained(monitor), strict=True):
        np.testing.assert_array_equal(a, b)
    assert monitor.notes == []
    assert set(monitor.rows[-1]["layers"]) == {"hidden", "head", "other"}
    assert monitor.rows[-1]["layers"]["hidden"]["dead"] is not None


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        return X[rows], Y[rows]


def sources():
    yield "pydataset", Batches
    try:
        import tensorflow as tf
    except ImportError:
        pass
    else:
        yield "tf.data", lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    try:
        import torch
    except ImportError:
        pass
    else:
        pairs = list(zip(X, Y))
        yield "loader", lambda: torch.utils.data.DataLoader(pairs, batch_size=16)


@pytest.mark.parametrize("source", [pytest.param(make, id=name) for name, make in sources()])
def test_sources_of_batches(source):
    expected = make()
    expected.fit(source(), epochs=1, verbose=0, shuffle=False)
    model, monitor = make(), GradientMonitor(every=2, probe_size=32)
    model.fit(source(), epochs=1, verbose=0, shuffle=False, callbacks=[monitor])
    for a, b in zip(everything(expected), everything(model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(monitor.rows) >= 3
    assert monitor._probe.shape == (32, 6)
    np.testing.assert_array_equal(monitor._probe, X[:32])


def test_gradient_accumulation_is_seen_where_the_weights_move():
    monitor = GradientMonitor(every=1)
    model = make(keras.optimizers.SGD(1e-2, gradient_accumulation_steps=3))
    fit(model, [monitor], epochs=1, batch_size=10)
    assert [row["step"] for row in monitor.rows] == [2, 5, 8]
    assert all(row["layers"]["first"]["update_ratio"] > 0 for row in monitor.rows)


def test_a_fit_that_breaks_off_leaves_a_model_that_trains():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("stop here")

    model, monitor = make(), GradientMonitor()
    with pytest.raises(RuntimeError, match="stop here"):
        fit(model, [monitor, Stop()])
    assert not isinstance(model.optimizer, Observed)
    fit(model, epochs=1)
    fit(model, [monitor], epochs=1)
    assert model.train_function is not monitor._steps


def test_leaves_are_taken_out_of_nested_models_in_order():
    inner = keras.Sequential([layers.Dense(2, name="one"), layers.ReLU(name="two")], name="inner")
    model = keras.Sequential([keras.Input((6,)), inner, layers.LSTM(2, name="three")][:2])
    assert [layer.name for layer in leaves(model)] == ["one", "two"]


def test_a_wrong_cadence_is_refused():
    with pytest.raises(ValueError, match="'auto' or an int from 1; received 0"):
        GradientMonitor(every=0)
