from kerasdnn.losses import HingeGAN, NonSaturatingGAN, WassersteinGAN, gradient_penalty

import keras
import numpy as np
import pytest
from keras import layers, ops

REAL, FAKE = np.array([[2.0], [-1.0], [0.3]]), np.array([[-0.5], [1.5], [0.0]])


def number(tensor):
    return float(ops.convert_to_numpy(tensor))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_non_saturating_is_cross_entropy():
    loss = NonSaturatingGAN()
    expected = -np.log(sigmoid(REAL)).mean() - np.log(1 - sigmoid(FAKE)).mean()
    assert float(loss.discriminator(REAL, FAKE)) == pytest.approx(expected, rel=1e-5)
    assert float(loss.generator(FAKE)) == pytest.approx(-np.log(sigmoid(FAKE)).mean(), rel=1e-5)


def test_hinge_and_wasserstein_against_numpy():
    hinge = np.maximum(0, 1 - REAL).mean() + np.maximum(0, 1 + FAKE).mean()
    assert float(HingeGAN().discriminator(REAL, FAKE)) == pytest.approx(hinge)
    critic = FAKE.mean() - REAL.mean()
    assert float(WassersteinGAN().discriminator(REAL, FAKE)) == pytest.approx(critic)
    for loss in (HingeGAN(), WassersteinGAN()):
        assert float(loss.generator(FAKE)) == pytest.approx(-FAKE.mean())


@pytest.mark.parametrize("cls", [NonSaturatingGAN, HingeGAN, WassersteinGAN])
def test_config_and_large_float16_logits(cls):
    loss = cls(penalty=2.5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is cls
    assert again.penalty == 2.5
    # 3,000 float16 logits of 100 sum to far more than float16's 65,504.
    large = np.full((3000, 1), 100, "float16")
    assert float(loss.discriminator(-large, large)) == pytest.approx(
        float(loss.discriminator(-large[:1], large[:1])), rel=1e-5
    )
    assert np.isfinite(float(loss.generator(-large)))


def test_penalty_of_a_linear_critic_is_exact():
    weights = np.array([[3.0], [4.0]], "float32")  # slope 5 everywhere
    critic = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    critic.layers[0].kernel.assign(weights)
    x = np.random.default_rng(0).normal(size=(2, 6, 2)).astype("float32")
    assert number(gradient_penalty(critic, x[0], x[1])) == pytest.approx(16.0, rel=1e-5)


@keras.saving.register_keras_serializable(package="tests")
class Penalized(keras.Model):
    """Trains a critic by its penalty alone."""

    def __init__(self, critic):
        super().__init__()
        self.critic = critic

    def call(self, x, training=None):
        return self.critic(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return gradient_penalty(self.critic, x, -x, seed=0, training=training)


@pytest.mark.parametrize("activation", ["linear", "softplus"])
def test_gradient_by_the_weights_is_exact(activation):
    """One SGD step of the compiled penalty against differences of the penalty itself."""
    hidden = layers.Dense(3, activation=activation, use_bias=activation != "linear")
    critic = keras.Sequential([keras.Input((2,)), hidden, layers.Dense(1, use_bias=False)])
    model = Penalized(critic)
    x = np.random.default_rng(1).normal(size=(8, 2)).astype("float32")
    kernel = critic.layers[0].kernel
    start = np.array(ops.convert_to_numpy(kernel))
    expected, width = np.zeros_like(start), 1e-2
    for place in np.ndindex(*start.shape):
        values = []
        for sign in (1, -1):
            moved = start.copy()
            moved[place] += sign * width
            kernel.assign(moved)
            values.append(number(gradient_penalty(critic, x, -x, seed=0)))
        expected[place] = (values[0] - values[1]) / (2 * width)
    kernel.assign(start)
    model.compile(keras.optimizers.SGD(1.0))
    model.fit(x, batch_size=8, shuffle=False, verbose=0)
    got = start - ops.convert_to_numpy(kernel)
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(got, expected, rtol=0.02, atol=2e-3)


def test_state_of_the_critic_is_left_alone():
    critic = keras.Sequential(
        [keras.Input((2,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(1)]
    )
    before = [np.array(ops.convert_to_numpy(v)) for v in critic.variables]
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    assert np.isfinite(number(gradient_penalty(critic, x, -x)))
    for old, new in zip(before, critic.variables):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))


def test_bad_input():
    with pytest.raises(ValueError, match="a penalty of 0 or more; received -1"):
        WassersteinGAN(penalty=-1)
    with pytest.raises(ValueError, match=r"of one shape; received \(2, 3\) and \(2, 4\)"):
        gradient_penalty(lambda x: x, np.ones((2, 3)), np.ones((2, 4)))
