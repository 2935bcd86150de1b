"""Gradients of the compiled loss agree with finite differences and leave the model as it was."""

from kerasdnn import backend

import keras
import numpy as np
import pytest
from keras import layers

X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
Y = np.array([0, 1, 2, 0, 1, 2])
WEIGHT = np.array([1.0, 2.0, 0.5, 1.0, 0.0, 3.0], dtype="float32")


def classifier(*, dropout=0.0, penalty=0.0):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(4, "tanh", activity_regularizer=keras.regularizers.L2(penalty)),
            layers.BatchNormalization(),
            layers.Dropout(dropout, seed=3),
            layers.Dense(3, kernel_regularizer=keras.regularizers.L2(penalty)),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def state(model):
    """Every number that training changes."""
    variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def by_differences(model, x, y, **options):
    """Central differences of the loss that `loss_gradients` itself returns."""
    gradients, step = [], 1e-2
    for variable in model.trainable_variables:
        value = np.array(keras.ops.convert_to_numpy(variable))
        gradient = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            losses = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * step
                variable.assign(moved)
                losses.append(backend.current().loss_gradients(model, x, y, **options)[0])
            gradient[index] = (losses[0] - losses[1]) / (2 * step)
        variable.assign(value)
        gradients.append(gradient)
    return gradients


def test_gradients_are_those_of_the_loss_with_weights_and_penalties():
    model = classifier(penalty=0.02)
    model.fit(X, Y, epochs=1, verbose=0)
    loss, gradients = backend.current().loss_gradients(model, X, Y, WEIGHT)
    evaluated = model.evaluate(X, Y, batch_size=6, sample_weight=WEIGHT, verbose=0)[0]
    assert loss == pytest.approx(evaluated, rel=1e-4)
    assert all(isinstance(g, np.ndarray) for g in gradients)
    expected = by_differences(model, X, Y, sample_weight=WEIGHT)
    for got, want in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(got, want, atol=2e-3)


def test_one_plain_step_moves_the_weights_by_these_gradients():
    model = classifier()
    model.compile(keras.optimizers.SGD(0.5), model.loss)
    loss, gradients = backend.current().loss_gradients(model, X, Y, training=True)
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in model.trainable_variables]
    assert model.fit(X, Y, batch_size=6, verbose=0).history["loss"][0] == pytest.approx(
        loss, rel=1e-4
    )
    for variable, old, gradient in zip(model.trainable_variables, before, gradients, strict=True):
        new = keras.ops.convert_to_numpy(variable)
        np.testing.assert_allclose(new, old - 0.5 * gradient, atol=1e-5)


def test_nothing_of_the_model_changes():
    model = classifier(dropout=0.5, penalty=0.01)
    model.fit(X, Y, epochs=2, verbose=0)
    before = state(model)
    first = backend.current().loss_gradients(model, X, Y, training=True)
    for old, new in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(old, new)
    # Also the next random numbers are those that they would have been.
    again = backend.current().loss_gradients(model, X, Y, training=True)
    assert first[0] == again[0]
    assert first[0] != backend.current().loss_gradients(model, X, Y, training=False)[0]


class OwnLoss(keras.Model):
    """Counts its steps, and has its own loss, in the older form without `training`."""

    def __init__(self):
        super().__init__()
        self.dense, self.unused = layers.Dense(2), layers.Dense(2)
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.tracker = keras.metrics.Mean("size")

    def call(self, x):
        self.unused(x)
        self.steps.assign_add(1.0)
        return self.dense(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        loss = keras.ops.mean(keras.ops.square(y_pred))
        self.tracker.update_state(loss)
        return loss


def test_a_model_with_its_own_loss_and_no_targets():
    model = OwnLoss()
    model.compile("sgd")
    with pytest.raises(ValueError, match="built model"):
        backend.current().loss_gradients(model, X, None)
    model(X[:1])
    model.steps.assign(0.0)
    loss, gradients = backend.current().loss_gradients(model, X, None)
    kernel, bias = model.dense.get_weights()
    output = X @ kernel + bias
    expected = {"kernel": X.T @ output / 6, "bias": output.sum(0) / 6}
    assert loss == pytest.approx(np.mean(output**2), rel=1e-4)
    assert len(gradients) == 4
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        used = any(variable is v for v in model.dense.trainable_variables)
        want = expected[variable.name] if used else np.zeros(variable.shape)
        np.testing.assert_allclose(gradient, want, atol=1e-4)
    assert float(keras.ops.convert_to_numpy(model.steps)) == 0
    assert float(model.tracker.result()) == 0


def test_several_inputs_and_outputs_before_the_first_training():
    one, two = keras.Input((5,), name="one"), keras.Input((4,), dtype="int32", name="two")
    words = layers.Flatten()(layers.Embedding(7, 3)(two))
    outputs = {"a": layers.Dense(1, name="a")(words), "b": layers.Dense(2, name="b")(one)}
    model = keras.Model({"one": one, "two": two}, outputs)
    model.compile("adam", {"a": "mse", "b": "mse"})
    x = {"one": X, "two": np.arange(24).reshape(6, 4) % 5}
    y = {"a": np.ones((6, 1), "float32"), "b": np.zeros((6, 2), "float32")}
    loss, gradients = backend.current().loss_gradients(model, x, y)
    prediction = model.predict(x, verbose=0)
    errors = [np.mean((prediction[k] - y[k]) ** 2) for k in "ab"]
    assert loss == pytest.approx(sum(errors), rel=1e-4)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient.shape == variable.shape
        assert np.abs(gradient).sum() > 0
    assert all(float(m.result()) == 0 for m in model.metrics)
