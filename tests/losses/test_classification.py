from kerasdnn.losses import SparseCategoricalCrossentropy

import keras
import numpy as np
import pytest


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, (6, 5))
    return labels, random.normal(size=(6, 5, 4)).astype("float32") * 3


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def close(a, b):
    a, b = keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", None])
@pytest.mark.parametrize("label_smoothing", [0.1, 1.0])
def test_equals_keras_on_one_hot_labels(batch, from_logits, reduction, label_smoothing):
    labels, z = batch
    z = z if from_logits else softmax(z)
    arguments = {
        "from_logits": from_logits,
        "label_smoothing": label_smoothing,
        "reduction": reduction,
    }
    ours = SparseCategoricalCrossentropy(**arguments)
    reference = keras.losses.CategoricalCrossentropy(**arguments)
    weight = np.linspace(0, 2, 30).reshape(6, 5).astype("float32")
    close(ours(labels, z), reference(np.eye(4)[labels], z))
    close(ours(labels, z, weight), reference(np.eye(4)[labels], z, weight))


@pytest.mark.parametrize("from_logits", [False, True])
def test_without_smoothing_equals_keras_sparse_loss(batch, from_logits):
    labels, z = batch
    z = z if from_logits else softmax(z)
    ours = SparseCategoricalCrossentropy(from_logits)
    close(ours(labels, z), keras.losses.SparseCategoricalCrossentropy(from_logits)(labels, z))


def test_closed_form_of_uniform_predictions():
    loss = SparseCategoricalCrossentropy(from_logits=True, label_smoothing=0.3)
    close(loss(np.array([0, 2]), np.zeros((2, 8), "float32")), np.log(8))


def test_smoothing_prefers_less_certain_predictions():
    labels = np.array([0])
    certain, modest = np.array([[20.0, 0.0, 0.0]]), np.array([[4.0, 0.0, 0.0]])
    plain, smooth = (SparseCategoricalCrossentropy(True, s) for s in (0.0, 0.1))
    assert float(plain(labels, certain)) < float(plain(labels, modest))
    assert float(smooth(labels, certain)) > float(smooth(labels, modest))


def test_labels_may_carry_a_last_axis_of_one(batch):
    labels, z = batch
    loss = SparseCategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    close(loss(labels[..., None], z), loss(labels, z))


def test_classes_on_another_axis(batch):
    labels, z = batch
    first = SparseCategoricalCrossentropy(True, 0.1, axis=1)
    last = SparseCategoricalCrossentropy(True, 0.1)
    close(first(labels, np.moveaxis(z, -1, 1)), last(labels, z))


def test_float16_predictions_are_summed_in_float32():
    # 300 float16 losses of about 300 would overflow float16's 65,504.
    z = np.zeros((300, 2), "float16")
    z[:, 0] = 300
    loss = SparseCategoricalCrossentropy(True, 0.0, reduction="sum")
    value = loss(np.ones(300, "int32"), z)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert float(value) == pytest.approx(300 * 300)


def test_trains_and_reloads_in_a_compiled_model(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(32, 3)).astype("float32")
    y = np.argmax(x, axis=-1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    loss = SparseCategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    model.compile(keras.optimizers.Adam(0.1), loss, metrics=["accuracy"])
    model.fit(x, y, epochs=20, verbose=0)
    before = model.evaluate(x, y, verbose=0, return_dict=True)
    assert before["accuracy"] > 0.9
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.label_smoothing == 0.1
    assert again.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(before)


def test_mask_of_the_predictions_leaves_entries_out(batch):
    labels, z = batch
    loss = SparseCategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    padded = np.concatenate([z, np.zeros_like(z[:, :2])], axis=1)  # (6, 7, 4)
    masked = keras.layers.Masking()(padded)
    more = np.concatenate([labels, np.full((6, 2), 3)], axis=1)
    close(loss(more, masked), loss(labels, z))


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.5])
def test_smoothing_out_of_range(label_smoothing):
    with pytest.raises(ValueError, match=f"in \\[0, 1\\]; received {label_smoothing}"):
        SparseCategoricalCrossentropy(label_smoothing=label_smoothing)


def test_one_hot_labels_are_refused_with_both_shapes():
    loss = SparseCategoricalCrossentropy(label_smoothing=0.1)
    with pytest.raises(ValueError, match=r"shape \(3,\); received \(3, 4\) .* \(3, 4\)"):
        loss(np.eye(4)[:3], np.ones((3, 4)) / 4)
