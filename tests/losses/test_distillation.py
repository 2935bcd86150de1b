"""SoftTargets, AttentionTransfer, AttentionMapKL against NumPy and closed forms."""

from kerasdnn.losses import AttentionMapKL, AttentionTransfer, SoftTargets
from kerasdnn.testing import check_loss

import keras
import numpy as np
import pytest

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(2, 6, 5)).astype("float32") * 3  # teacher, student
FEATURES = RANDOM.normal(size=(2, 3, 4, 4, 6)).astype("float32")
MAPS = RANDOM.dirichlet(np.ones(5), size=(2, 3, 4, 6)).astype("float32")  # (2, B, H, T, S)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def number(value):
    return keras.ops.convert_to_numpy(value)


def test_soft_targets():
    check_loss(SoftTargets, {"temperature": 3.0}, *LOGITS)


def test_soft_targets_equal_numpy():
    teacher, student = softmax(LOGITS[0] / 3), softmax(LOGITS[1] / 3)
    expected = 9 * (teacher * np.log(teacher / student)).sum(-1)
    loss = SoftTargets(3.0, reduction=None)
    np.testing.assert_allclose(number(loss(*LOGITS)), expected, rtol=1e-4)


def test_probabilities_give_what_their_logits_give():
    probabilities = SoftTargets(2.0, from_logits=False)(*softmax(LOGITS))
    np.testing.assert_allclose(number(probabilities), number(SoftTargets(2.0)(*LOGITS)), rtol=1e-3)


def test_the_gradient_does_not_fade_with_the_temperature():
    # T^2 KL tends to half the mean squared difference of centred logits, whatever T is.
    centred = LOGITS - LOGITS.mean(-1, keepdims=True)
    limit = 0.5 * np.square(centred[0] - centred[1]).mean(-1)
    loss = SoftTargets(200.0, reduction=None)
    np.testing.assert_allclose(number(loss(*LOGITS)), limit, rtol=0.05)


def test_attention_transfer():
    check_loss(AttentionTransfer, {}, *FEATURES)


def test_attention_transfer_equals_numpy_and_takes_unequal_widths():
    def place_map(f):
        q = np.square(f).sum(-1).reshape(len(f), -1)
        return q / np.linalg.norm(q, axis=1, keepdims=True)

    teacher, student = FEATURES[0], FEATURES[1][..., :2]
    expected = np.square(place_map(teacher) - place_map(student)).sum(-1)
    loss = AttentionTransfer(reduction=None)
    np.testing.assert_allclose(number(loss(teacher, student)), expected, rtol=1e-4)


def test_attention_transfer_sees_place_not_size():
    loss = AttentionTransfer()
    assert number(loss(FEATURES[0], 7 * FEATURES[0])) == pytest.approx(0, abs=1e-6)
    assert number(loss(FEATURES[0], FEATURES[0][:, ::-1])) > 0.1


def test_attention_map_kl():
    check_loss(AttentionMapKL, {}, *MAPS)


def test_attention_map_kl_with_unequal_heads_equals_numpy():
    teacher, student = MAPS[0], MAPS[1][:, :1]
    a, b = teacher.mean(1), student.mean(1)
    expected = (a * np.log(a / b)).sum(-1).mean(-1)
    loss = AttentionMapKL(reduction=None)
    np.testing.assert_allclose(number(loss(teacher, student)), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SoftTargets(0.0), "temperature above 0; received 0.0"),
        (lambda: SoftTargets()(np.ones((2, 3)), np.ones((2, 4))), "same classes; received"),
        (
            lambda: AttentionTransfer()(np.ones((2, 4, 4, 3)), np.ones((2, 2, 2, 3))),
            "same grid; received",
        ),
        (lambda: AttentionTransfer()(np.ones((2, 3)), np.ones((2, 3))), "same grid; received"),
        (
            lambda: AttentionMapKL()(np.ones((2, 1, 3, 3)), np.ones((2, 1, 4, 4))),
            "equal lengths; received",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
