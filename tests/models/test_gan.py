from kerasdnn.losses import HingeGAN, WassersteinGAN
from kerasdnn.models import GAN
from kerasdnn.saving import load_model
from kerasdnn.testing import check_model

import keras
import numpy as np
import pytest
from keras import layers, ops

X = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)).astype("float32")
LABELS = np.arange(8, dtype="int32") % 3


def networks(conditional=False, normalized=True):
    """A small convolutional generator of 8 x 8 images and its discriminator."""
    latent, labels = keras.Input((4,)), keras.Input((), dtype="int32")
    x = latent
    if conditional:
        x = layers.Concatenate()([x, layers.Embedding(3, 4)(labels)])
    x = layers.Reshape((4, 4, 4))(layers.Dense(64)(x))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh", dtype="float32")(
        x
    )
    generator = keras.Model([latent, labels] if conditional else latent, x)
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    x = layers.BatchNormalization()(x) if normalized else x
    x = layers.Flatten()(layers.LeakyReLU(0.2)(x))
    if conditional:
        x = layers.Concatenate()([x, layers.Embedding(3, 4)(labels)])
    x = layers.Dense(1, dtype="float32")(x)
    return generator, keras.Model([image, labels] if conditional else image, x)


def compiled(*parts, **options):
    gan = GAN(*parts, latent_dim=4, seed=0, **options)
    gan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(2e-3, beta_1=0.5))
    return gan


def plain():
    return compiled(*networks())


def penalized_with_labels():
    networks_of_labels = networks(conditional=True, normalized=False)
    return compiled(*networks_of_labels, loss=WassersteinGAN(), discriminator_steps=2)


@pytest.mark.parametrize(("make_model", "x"), [(plain, X), (penalized_with_labels, (X, LABELS))])
def test_harness(make_model, x):
    check_model(make_model, x)


def values(variables):
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def linear():
    generator = keras.Sequential([keras.Input((2,)), layers.Dense(3, use_bias=False)])
    critic = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
    return generator, critic


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_each_network_gets_the_gradient_of_its_own_loss():
    """One SGD step against the formulas of linear networks."""
    generator, critic = linear()
    gan = GAN(generator, critic, latent_dim=2, seed=3)
    gan.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0))
    real = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    latent = keras.random.normal((6, 2), seed=keras.random.SeedGenerator(3))
    latent = ops.convert_to_numpy(latent)
    (a,), (w,) = values(generator.weights), values(critic.weights)
    fake = latent @ a
    of_w = (-sigmoid(-real @ w) * real).mean(0) + (sigmoid(fake @ w) * fake).mean(0)
    of_a = latent.T @ (-sigmoid(-fake @ w) @ w.T) / 6
    gan.fit(real, batch_size=6, shuffle=False, verbose=0)
    np.testing.assert_allclose(values(critic.weights)[0][:, 0], w[:, 0] - of_w, rtol=1e-4)
    np.testing.assert_allclose(values(generator.weights)[0], a - of_a, rtol=1e-4)


def test_discriminator_steps_let_the_generator_wait():
    generator, critic = linear()
    gan = GAN(generator, critic, latent_dim=2, discriminator_steps=3, seed=0)
    gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.0))
    real = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    (start,) = values(generator.weights)
    moved = []
    for _ in range(6):
        gan.fit(real, batch_size=6, verbose=0)
        moved.append(not np.array_equal(values(generator.weights)[0], start))
        (start,) = values(generator.weights)
    assert moved == [False, False, True, False, False, True]


def test_waiting_generator_makes_a_whole_step_not_a_third():
    steps = []
    for waits in (1, 3):
        generator = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
        critic = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
        critic.layers[0].kernel.assign(np.ones((3, 1)))
        gan = GAN(generator, critic, latent_dim=2, loss=HingeGAN(), discriminator_steps=waits)
        gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.0))
        gan.fit(np.ones((3 * waits, 3), "float32"), batch_size=3, verbose=0)
        steps.append(values([generator.layers[0].bias])[0])
    np.testing.assert_allclose(steps, 0.1, rtol=1e-5)  # d mean D(G(z)) / d bias is 1


def test_learns_a_distribution():
    """The effect: the generator's points come to lie where the data are."""
    hidden = {"units": 32, "activation": "leaky_relu"}
    generator = keras.Sequential([keras.Input((4,)), layers.Dense(**hidden), layers.Dense(2)])
    critic = keras.Sequential(
        [keras.Input((2,)), layers.Dense(**hidden), layers.Dense(**hidden), layers.Dense(1)]
    )
    gan = GAN(generator, critic, latent_dim=4, seed=0)
    gan.compile(keras.optimizers.Adam(2e-3, beta_1=0.5), keras.optimizers.Adam(4e-3, beta_1=0.5))
    real = (np.random.default_rng(0).normal(size=(2048, 2)) * 0.3 + [2, -1]).astype("float32")
    before = np.abs(gan.generate(500, seed=0).mean(0) - [2, -1]).max()
    gan.fit(real, batch_size=128, epochs=15, verbose=0)
    after = np.abs(gan.generate(500, seed=0).mean(0) - [2, -1]).max()
    assert before > 1
    assert after < 0.5


@pytest.mark.parametrize("make_model", [plain, penalized_with_labels])
def test_reloads_with_both_optimizers_and_goes_on(make_model, tmp_path):
    gan = make_model()
    x = (X, LABELS) if gan.conditional else X
    gan.fit(x, batch_size=4, epochs=2, verbose=0)
    gan.save(tmp_path / "gan.keras")
    again = load_model(tmp_path / "gan.keras")
    for one, other in zip(gan.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(*values([one, other]))
    rates = [float(ops.convert_to_numpy(o.learning_rate)) for o in again.optimizer.optimizers]
    assert sorted(rates) == pytest.approx([1e-3, 2e-3])
    # Keras does not save seeds; with them copied, the next step is the same to the bit.
    for one, other in zip(gan.non_trainable_variables, again.non_trainable_variables):
        other.assign(*values([one]))
    for trained in (gan, again):
        trained.fit(x, batch_size=8, shuffle=False, verbose=0)
    for one, other in zip(values(gan.weights), values(again.weights), strict=True):
        np.testing.assert_array_equal(one, other)


def test_loss_of_both_optimizers_is_scaled_in_float16():
    keras.config.set_dtype_policy("mixed_float16")
    gan = plain()
    assert isinstance(gan.optimizer, keras.optimizers.LossScaleOptimizer)
    gan.fit(X, batch_size=8, epochs=3, verbose=0)
    inner = gan.optimizer.inner_optimizer
    assert len(inner.optimizers) == 2
    assert all(o.loss_scale_factor is None for o in inner.optimizers)


def test_batch_statistics_are_those_of_the_generated_batch_seen_last_and_evaluation_keeps_them():
    gan = plain()
    norm = next(k for k in gan.discriminator.layers if isinstance(k, layers.BatchNormalization))
    norm.momentum = 0.0  # the moving mean is that of the last batch
    x = np.ones_like(X) * np.linspace(0.9, 1, 8)[:, None, None, None].astype("float32")
    x[0] = -1
    gan.fit(x, batch_size=8, verbose=0)
    first = gan.discriminator.layers[1]
    of_real = ops.convert_to_numpy(first(x)).mean((0, 1, 2))
    after = values([norm.moving_mean])[0]
    assert np.abs(after - of_real).max() > 0.05
    gan.evaluate(x, verbose=0)
    np.testing.assert_array_equal(values([norm.moving_mean])[0], after)


def test_generate_repeats_with_a_seed_and_needs_labels_when_conditional():
    gan = plain()
    np.testing.assert_array_equal(gan.generate(5, seed=1), gan.generate(5, seed=1))
    assert np.abs(gan.generate(5, seed=1) - gan.generate(5, seed=2)).max() > 0
    conditional = penalized_with_labels()
    assert conditional.generate(3, LABELS[:3], seed=0).shape == (3, 8, 8, 1)
    with pytest.raises(ValueError, match="expects 3 labels; received none"):
        conditional.generate(3)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ((X + 1) * 127.5, r"samples in \[-1, 1\], the range of the generator's tanh; received"),
        (X / 255, "the range of the generator's tanh"),
        (X[..., 0], r"inputs \(N, 8, 8, 1\)"),
        (np.where(X > 0.9, np.nan, X).astype("float32"), "finite inputs"),
    ],
)
def test_bad_data_are_refused(x, words):
    with pytest.raises(ValueError, match=words):
        plain().fit(x)


def test_networks_that_do_not_fit_are_refused():
    generator, critic = networks()
    with pytest.raises(ValueError, match=r"latent vectors \(B, 5\); received one with input"):
        GAN(generator, critic, latent_dim=5)
    with pytest.raises(ValueError, match="whole number of 1 or more; received 0"):
        GAN(generator, critic, latent_dim=4, discriminator_steps=0)
    with pytest.raises(ValueError, match="make what the discriminator takes"):
        GAN(generator, linear()[1], latent_dim=4)
    with pytest.raises(ValueError, match=r"one score \(B, 1\)"):
        GAN(linear()[0], keras.Sequential([keras.Input((3,)), layers.Dense(2)]), latent_dim=2)
    with pytest.raises(ValueError, match="received 1 and 2 inputs"):
        GAN(generator, networks(conditional=True)[1], latent_dim=4)
    with pytest.raises(ValueError, match=r"expects fit\(\(samples, labels\)\)"):
        penalized_with_labels().fit(X)
