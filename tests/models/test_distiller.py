"""Distiller: the defects of Keras' own, mended, and the effect of a teacher."""

from kerasdnn.layers import TransformerEncoderBlock
from kerasdnn.losses import AttentionMapKL, AttentionTransfer, SoftTargets
from kerasdnn.models import Distiller
from kerasdnn.saving import load_model
from kerasdnn.testing import check_model

import keras
import numpy as np
import pytest
from keras import layers

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 8)).astype("float32")
Y = (X[:, 0] > 0).astype("int32") + (X[:, 1] > 0)


def mlp(width, *, softmax=False, norm=False, **options):
    parts = [keras.Input((8,)), layers.Dense(width, activation="relu", name="hidden", **options)]
    parts += [layers.BatchNormalization(name="norm"), layers.Dropout(0.5)] if norm else []
    return keras.Sequential([*parts, layers.Dense(3, activation="softmax" if softmax else None)])


def compiled(distiller, rate=0.01):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return distiller


def feature_distiller():
    features = {
        "loss": keras.losses.MeanSquaredError(),
        "weight": 0.5,
        "student_layer": "hidden",
        "teacher_layer": "hidden",
    }
    student, teacher = mlp(4, norm=True), mlp(16)
    return compiled(Distiller(student, teacher, [SoftTargets(2.0), features]))


def test_trains_saves_and_reloads_on_every_backend():
    check_model(feature_distiller, X[:16], Y[:16], precisions=["float32", "mixed_float16"])


def test_only_the_student_and_its_projection_learn():
    distiller = feature_distiller()
    projection = distiller.projections[1]
    assert tuple(projection.kernel.shape) == (4, 16)
    frozen, moving = distiller.teacher.get_weights(), distiller.student.get_weights()
    kernel = keras.ops.convert_to_numpy(projection.kernel)
    distiller.fit(X, Y, verbose=0)
    assert all(w.trainable for w in distiller.teacher.weights)
    for a, b in zip(frozen, distiller.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    moved = zip(moving, distiller.student.get_weights(), strict=True)
    assert all(not np.array_equal(a, b) for a, b in moved)
    assert not np.array_equal(kernel, keras.ops.convert_to_numpy(projection.kernel))


def test_evaluating_leaves_the_student_alone():  # landscape D2
    distiller = feature_distiller()
    before = distiller.student.get_weights()
    distiller.evaluate(X, Y, verbose=0)
    distiller.predict(X, verbose=0)
    for a, b in zip(before, distiller.student.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_student_runs_once_a_step():  # landscape D2: it ran twice
    distiller = feature_distiller()
    norm = distiller.student.get_layer("norm")
    mean = keras.ops.convert_to_numpy(norm.moving_mean)
    hidden = keras.Model(distiller.student.inputs, distiller.student.get_layer("hidden").output)
    batch_mean = hidden.predict(X, verbose=0).mean(0)
    distiller.fit(X, Y, batch_size=64, verbose=0)
    expected = 0.99 * mean + 0.01 * batch_mean
    found = keras.ops.convert_to_numpy(norm.moving_mean)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_penalties_of_the_student_count_once_and_those_of_the_teacher_not():  # landscape D3
    student, teacher = mlp(4, kernel_regularizer="l2"), mlp(16, kernel_regularizer="l2")
    distiller = compiled(Distiller(student, teacher))
    found = distiller.evaluate(X, Y, verbose=0, return_dict=True)["loss"]
    penalty = float(keras.ops.convert_to_numpy(student.losses[0]))
    logits, taught = student.predict(X, verbose=0), teacher.predict(X, verbose=0)
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(Y, logits)
    soft = SoftTargets()(taught, logits)
    expected = sum(float(keras.ops.convert_to_numpy(v)) for v in (hard, soft)) + penalty
    assert penalty > 0.01
    # Keras averages the loss over batches of 32 and the penalty with it.
    assert found == pytest.approx(expected, rel=1e-3)


def test_sample_weights_count():  # landscape D4
    distiller = compiled(Distiller(mlp(4), mlp(16)))
    weight = np.zeros(64, "float32")
    loss = distiller.evaluate(X, Y, sample_weight=weight, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(0, abs=1e-7)
    weight[:32] = 2.0
    half = distiller.evaluate(X, Y, sample_weight=weight, verbose=0, return_dict=True)["loss"]
    first = distiller.evaluate(X[:32], Y[:32], verbose=0, return_dict=True)["loss"]
    assert half == pytest.approx(first, rel=1e-3)


def test_softmax_is_not_taken_twice():  # landscape D4
    with pytest.raises(ValueError, match="ends in a softmax"):
        Distiller(mlp(4, softmax=True), mlp(16, softmax=True))
    losses = SoftTargets(from_logits=False)
    distiller = Distiller(mlp(4, softmax=True), mlp(16, softmax=True), losses)
    distiller.compile("adam", "sparse_categorical_crossentropy")
    assert np.isfinite(distiller.fit(X, Y, verbose=0).history["loss"][0])


def test_goes_on_after_reload(tmp_path):  # landscape D4
    distiller = feature_distiller()
    distiller.fit(X, Y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    again = load_model(tmp_path / "distiller.keras")
    assert int(again.optimizer.iterations) == 2
    before = again.evaluate(X, Y, verbose=0, return_dict=True)
    assert before == pytest.approx(distiller.evaluate(X, Y, verbose=0, return_dict=True), rel=1e-4)
    again.fit(X, Y, verbose=0)


def test_a_teacher_helps():
    # The labels of few samples say little; the teacher knows the rule.
    x = RANDOM.normal(size=(1000, 8)).astype("float32")
    truth = (x[:, 0] > 0).astype("int32") + (x[:, 1] > 0)
    teacher = mlp(32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"])
    teacher.fit(x, truth, epochs=5, verbose=0)
    noisy = np.where(RANDOM.random(1000) < 0.5, truth, RANDOM.integers(0, 3, 1000))
    accuracy = {}
    for weight in (0.0, 1.0):
        keras.utils.set_random_seed(0)
        entry = {"loss": SoftTargets(2.0), "weight": weight}
        distiller = compiled(Distiller(mlp(8), teacher, entry), 0.02)
        distiller.fit(x, noisy, epochs=5, verbose=0)
        accuracy[weight] = distiller.evaluate(x, truth, verbose=0, return_dict=True)["accuracy"]
    assert accuracy[1.0] > accuracy[0.0] + 0.02


def test_answers_computed_once_train_the_same():
    results = []
    for cached in (False, True):
        keras.utils.set_random_seed(0)
        features = {
            "loss": keras.losses.MeanSquaredError(),
            "student_layer": "hidden",
            "teacher_layer": "hidden",
        }
        distiller = compiled(Distiller(mlp(4), mlp(16), [SoftTargets(2.0), features]))
        targets = distiller.teach(X, Y) if cached else Y
        history = distiller.fit(X, targets, epochs=2, verbose=0, shuffle=False).history
        results.append(history)
    assert results[0]["loss"] == pytest.approx(results[1]["loss"], rel=1e-4)
    assert results[0]["accuracy"] == pytest.approx(results[1]["accuracy"])


def test_losses_of_keras():
    losses = [
        keras.distillation.LogitsDistillation(temperature=2.0),
        keras.distillation.FeatureDistillation(
            loss="mse", student_layer_name="hidden", teacher_layer_name="hidden"
        ),
    ]
    distiller = compiled(Distiller(mlp(4), mlp(16), losses))
    assert np.isfinite(distiller.fit(X, Y, verbose=0).history["loss"][0])
    with pytest.raises(ValueError, match="takes no sample_weight"):
        distiller.evaluate(X, Y, sample_weight=np.ones(64), verbose=0)


def transformer(heads, blocks=1):
    inputs = keras.Input((6, 8))
    x = inputs
    for index in range(blocks):
        x = TransformerEncoderBlock(heads, 16, name=f"block_{index}")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


def test_attention_maps_of_unequal_heads_come_closer():
    x = RANDOM.normal(size=(64, 6, 8)).astype("float32")
    student, teacher = transformer(1), transformer(4, blocks=2)
    entry = {
        "loss": AttentionMapKL(),
        "weight": 100.0,
        "student_layer": "block_0",
        "teacher_layer": "block_1",
    }
    distiller = compiled(Distiller(student, teacher, entry, label_weight=0.01))
    history = distiller.fit(x, Y, batch_size=16, epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert tuple(student(x[:2]).shape) == (2, 3)  # the student itself returns what it did


def test_attention_transfer_between_unequal_widths():
    def net(width):
        inputs = keras.Input((6, 6, 1))
        x = layers.Conv2D(width, 3, padding="same", activation="relu", name="conv")(inputs)
        return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))

    entry = {"loss": AttentionTransfer(), "student_layer": "conv", "teacher_layer": "conv"}
    distiller = compiled(Distiller(net(2), net(8), entry))
    assert distiller.projections == [None]
    images = RANDOM.normal(size=(16, 6, 6, 1)).astype("float32")
    assert np.isfinite(distiller.fit(images, Y[:16], verbose=0).history["loss"][0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Distiller(keras.Sequential([keras.Input((8,)), layers.Dense(4)]), mlp(4)),
            r"same classes; received outputs \(None, 4\) and \(None, 3\)",
        ),
        (
            lambda: Distiller(keras.Sequential([keras.Input((7,)), layers.Dense(3)]), mlp(4)),
            "same inputs; received",
        ),
        (
            lambda: Distiller(
                mlp(4),
                mlp(4),
                {"loss": SoftTargets(), "student_layer": "hiden", "teacher_layer": "hidden"},
            ),
            "received 'hiden'. It has",
        ),
        (
            lambda: Distiller(mlp(4), mlp(4), {"loss": SoftTargets(), "student_layer": "hidden"}),
            "together; received only 'hidden'",
        ),
        (lambda: Distiller(mlp(4), mlp(4), "mse"), "received 'mse'"),
        (lambda: Distiller(mlp(4), mlp(4), {"los": 1}), r"received \['los'\]"),
        (lambda: Distiller(layers.Dense(3), mlp(4)), "student as a built functional"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
