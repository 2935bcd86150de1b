"""Masks by magnitude, and the report of what they are worth."""

from kerasdnn import pruning
from kerasdnn.layers import ResidualBlock, TransformerEncoderBlock
from kerasdnn.pruning import masks

import keras
import numpy as np
import pytest
from keras import layers


def test_magnitude_masks_are_exact_and_ordered():
    random = np.random.default_rng(0)
    weights = [random.normal(size=(30, 7)), 3 * random.normal(size=(11, 5))]
    for sparsity in (0.0, 0.3, 0.9, 0.99):
        chosen = masks.magnitude_masks(weights, sparsity)
        zeros = sum((~m).sum() for m in chosen)
        assert zeros == round(sparsity * 265)
        kept = [np.abs(w[m]) for w, m in zip(weights, chosen, strict=True)]
        gone = np.concatenate([np.abs(w[~m]) for w, m in zip(weights, chosen, strict=True)])
        assert np.concatenate(kept).min() >= gone.max(initial=0)


def test_equal_weights_are_still_counted_exactly():
    (mask,) = masks.magnitude_masks([np.ones((4, 4))], 0.25)
    assert (~mask).sum() == 4


def test_what_is_pruned_is_not_taken_back():
    weights, alive = [np.arange(1.0, 9.0).reshape(2, 4)], [np.ones((2, 4), "bool")]
    alive[0][1, 3] = False  # the largest weight
    (mask,) = masks.magnitude_masks(weights, 0.25, alive=alive)
    assert not mask[1, 3]
    assert not mask[0, 0]
    assert mask.sum() == 6


def test_n_m_keeps_the_largest_of_each_group():
    weight = np.array([[4.0], [-3.0], [1.0], [2.0], [0.0], [9.0], [8.0], [-7.0]])
    mask = masks.n_m_mask(weight, 2, 4)
    assert mask[:, 0].tolist() == [True, True, False, False, False, True, True, False]
    assert masks.n_m_mask(weight[:6], 2, 4) is None


def test_prunable_weights_are_the_kernels_of_all_layers():
    inputs = keras.Input((8, 8, 4))
    x = ResidualBlock(8, name="block")(inputs)
    x = layers.Reshape((64, 8))(x)
    x = TransformerEncoderBlock(2, 16, name="encoder")(x)
    x = keras.Sequential([layers.SeparableConv1D(4, 3), layers.LSTM(3)], name="tail")(x)
    model = keras.Model(inputs, layers.Dense(2)(x))
    found = masks.prunable_weights(model)
    assert len({id(item.variable) for item in found}) == len(found)
    kernels = [w for w in model.trainable_weights if w.name.endswith("kernel")]
    assert {id(item.variable) for item in found} == {id(w) for w in kernels}
    rest = masks.prunable_weights(model, ["encoder", ResidualBlock])
    assert [item.path.split("/")[0] for item in rest] == ["tail"] * 4 + ["dense"]


def test_embeddings_biases_and_frozen_kernels_stay():
    model = keras.Sequential([keras.Input((5,)), layers.Embedding(9, 4), layers.Dense(2)])
    assert [item.path for item in masks.prunable_weights(model)] == ["dense/kernel"]
    model.layers[1].trainable = False
    assert masks.prunable_weights(model) == []


def test_report_counts_zeros_and_bytes():
    model = keras.Sequential([keras.Input((100,)), layers.Dense(50, name="d"), layers.Dense(1)])
    kernel = np.random.default_rng(0).normal(size=(100, 50))
    kernel[:, 10:] = 0
    model.get_layer("d").set_weights([kernel, np.ones(50)])
    report = pruning.sparsity_report(model)
    row = report.rows[0]
    assert (row["layer"], row["zeros"], row["sparsity"], row["bytes"]) == ("d", 4000, 0.8, 20_000)
    assert row["compressed"] < 0.3 * 20_000
    assert report.sparsity == 4000 / 5050
    assert report.nonzero == 1000 + 50 + 50
    assert report.bytes == 4 * report.parameters == 4 * 5101
    assert "0.8000" in str(report)


def test_masks_of_another_model_are_refused():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="first"), layers.Dense(2)])
    before = model.get_weights()
    wrong = [np.ones((4, 3), "bool"), np.zeros((3, 5), "bool")]
    with pytest.raises(ValueError, match=r"differ from number 1 on \(dense/kernel\)"):
        masks.apply_masks(model, wrong)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_apply_masks_without_compile_zeroes_the_weights():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    masks.apply_masks(model, [np.eye(4, 3, dtype="bool")])
    assert np.count_nonzero(model.get_weights()[0]) == 3


def test_unbuilt_model_and_bad_ignored():
    with pytest.raises(ValueError, match="expects a built model"):
        masks.prunable_weights(keras.Sequential([layers.Dense(2)]))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="sequence of layer names"):
        pruning.sparsity_report(model, ignored="dense")
    with pytest.raises(ValueError, match="layer names, layer classes or layers; received 3"):
        pruning.sparsity_report(model, ignored=[3])
