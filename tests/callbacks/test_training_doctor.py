from kerasdnn.callbacks import TrainingDoctor

import keras
import numpy as np
import pytest
from keras import layers, ops

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 6)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("int32")


def network(*, last="sigmoid", optimizer=None, loss="binary_crossentropy", activation="relu"):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(16, activation, name="first"),
            layers.Dropout(0.1, seed=1),
            layers.Dense(16, activation, name="second"),
            layers.Dense(1, last, dtype="float32", name="third"),
        ]
    )
    model.compile(optimizer or keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    return model


def report_of(model, x=X, y=Y, epochs=4, **options):
    doctor = TrainingDoctor()
    model.fit(x, y, batch_size=16, epochs=epochs, verbose=0, callbacks=[doctor], **options)
    return doctor.report


def everything(model):
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_it_changes_no_bit_of_the_training(policy):
    keras.config.set_dtype_policy(policy)
    plain, watched = network(), network()
    options = {"batch_size": 16, "epochs": 2, "verbose": 0, "validation_split": 0.2}
    expected = plain.fit(X, Y, **options).history
    after = keras.random.normal((2,), seed=None)
    watched = network()
    history = watched.fit(X, Y, callbacks=[TrainingDoctor()], **options).history
    assert history == expected
    for a, b in zip(everything(plain), everything(watched), strict=True):
        np.testing.assert_array_equal(a, b)
    # What is drawn next without a seed is the same, too.
    np.testing.assert_array_equal(
        ops.convert_to_numpy(after), ops.convert_to_numpy(keras.random.normal((2,), seed=None))
    )


def test_a_healthy_training_is_left_in_peace():
    report = report_of(network(), epochs=12)
    assert report.warnings == []
    assert report.evidence.run.skill > 0.8
    assert len(report.curves["loss"]) == 12
    assert report.layers["names"] == ["first", "second", "third"]
    assert len(report.layers["gradient_norm"]) == len(report.layers["time"])
    assert report.layers["dead_share"][0][0] is not None  # before the first step
    assert "256 rows" in " ".join(report.notes)


@pytest.mark.filterwarnings("ignore:.*softmax over axis")
def test_a_wrong_output_is_named():
    assert report_of(network(last="softmax"), epochs=1).top.id == "output.softmax_one_unit"


def test_steps_that_move_nothing_are_a_low_rate():
    report = report_of(network(optimizer=keras.optimizers.SGD(1e-6)))
    assert report.top.id == "lr.low"
    ratio = report.top.evidence["update_over_weight"]
    assert 0 < ratio < report.top.evidence["threshold"]


def test_a_loss_that_is_no_number_is_a_high_rate():
    model = network(last="linear", loss="mean_squared_error", optimizer=keras.optimizers.SGD(1e4))
    found = {finding.id for finding in report_of(model, epochs=2).findings}
    assert {"lr.high", "loss.nan"} <= found


def test_data_that_are_no_numbers_are_named():
    x = X.copy()
    x[3, 2] = np.nan
    model = network(last="linear", loss="mean_squared_error")
    assert report_of(model, x, epochs=1).top.id == "data.nan"


def test_the_report_can_be_read_while_the_training_runs():
    doctor, seen = TrainingDoctor(), []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(doctor.report.curves["loss"])
    )
    network().fit(X, Y, epochs=2, verbose=0, callbacks=[doctor, spy])
    assert [len(loss) for loss in seen] == [1, 2]


def test_there_is_no_report_before_a_training():
    with pytest.raises(RuntimeError, match="no training yet; pass it to fit"):
        _ = TrainingDoctor().report


class Adversaries(keras.Model):
    """A generator and a discriminator in one model, each with its own optimizer."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([layers.Dense(6, name="make")], name="generator")
        self.discriminator = keras.Sequential(
            [layers.Dense(8, "relu", name="look"), layers.Dense(1, name="judge")],
            name="discriminator",
        )
        self.seed = keras.random.SeedGenerator(1)

    def build(self, shape):
        self.generator.build((None, 2))
        self.discriminator.build((None, 6))

    def call(self, x):
        return self.generator(keras.random.normal((ops.shape(x)[0], 2), seed=self.seed))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        real, fake = self.discriminator(x), self.discriminator(ops.stop_gradient(y_pred))
        frozen = [ops.stop_gradient(v) for v in self.discriminator.trainable_variables]
        judged, _ = self.discriminator.stateless_call(
            frozen, self.discriminator.non_trainable_variables, y_pred
        )
        loss = ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))
        return loss + ops.mean(ops.softplus(-judged))


def test_adversaries_with_two_optimizers():
    def make():
        keras.utils.set_random_seed(0)
        model = Adversaries()
        parts = {".*discriminator.*": keras.optimizers.Adam(1e-3)}
        both = keras.optimizers.OptimizerMap(keras.optimizers.Adam(1e-4), parts)
        model.compile(keras.optimizers.MultiOptimizer(both))
        return model

    plain, watched, doctor = make(), make(), TrainingDoctor()
    plain.fit(X, batch_size=32, epochs=2, shuffle=False, verbose=0)
    watched.fit(X, batch_size=32, epochs=2, shuffle=False, verbose=0, callbacks=[doctor])
    for a, b in zip(everything(plain), everything(watched), strict=True):
        np.testing.assert_array_equal(a, b)
    assert {"make", "look", "judge"} <= set(doctor.report.layers["names"])
    assert doctor.report.warnings == []


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="a step on JAX has another form")
def test_a_training_step_of_ones_own_that_uses_no_optimizer_is_said_to_be_dark():
    class Still(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            return {"loss": ops.mean((self(x, training=True)[:, 0] - ops.cast(y, "float32")) ** 2)}

    model = Still()
    model.compile("sgd", "mse")
    report = report_of(model, epochs=1)
    notes = " ".join(report.notes)
    assert "gradients were not seen" in notes
    assert len(report.curves["loss"]) == 1
