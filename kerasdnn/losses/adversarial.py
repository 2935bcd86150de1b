"""The two sides of a GAN's loss, and the penalty that keeps a critic's slope near 1."""

from kerasdnn import backend

import keras
from keras import ops


class _Adversarial:
    """What the losses of a GAN share: two methods, a penalty weight, a config."""

    def __init__(self, *, penalty=0.0):
        if penalty < 0:
            raise ValueError(
                f"{type(self).__name__} expects a penalty of 0 or more; received {penalty}. "
                "10 is usual for WassersteinGAN, 0 switches it off."
            )
        self.penalty = float(penalty)

    def get_config(self):
        return {"penalty": self.penalty}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="kerasdnn")
class NonSaturatingGAN(_Adversarial):
    """The original GAN loss, with the generator's half that does not saturate.

    `discriminator: mean softplus(-D(x)) + mean softplus(D(G(z)))`
    `generator:     mean softplus(-D(G(z)))`

    D are logits. Both halves are cross-entropies in the stable form, computed in float32.

    Args:
        penalty: float, the weight of `gradient_penalty` in the discriminator's loss. Default 0.

    Input shape: logits `(B, 1)` or `(B,)`. Output shape: a scalar.

    Example:
    >>> loss = NonSaturatingGAN()
    >>> round(float(loss.discriminator(np.zeros((2, 1)), np.zeros((2, 1)))), 4)  # 2 ln 2: undecided
    1.3863

    References:
        Goodfellow et al. (2014), Generative Adversarial Nets, arXiv:1406.2661
    """

    def discriminator(self, real, fake):
        """Returns the loss of telling real from generated."""
        return ops.mean(ops.softplus(-_wide(real))) + ops.mean(ops.softplus(_wide(fake)))

    def generator(self, fake):
        """Returns the loss of being told apart."""
        return ops.mean(ops.softplus(-_wide(fake)))


@keras.saving.register_keras_serializable(package="kerasdnn")
class HingeGAN(_Adversarial):
    """Hinge loss: logits beyond the margin of 1 on the right side cost nothing.

    `discriminator: mean relu(1 - D(x)) + mean relu(1 + D(G(z)))`
    `generator:     -mean D(G(z))`

    Best with a discriminator whose slope is bounded, as by `keras.layers.SpectralNormalization`.

    Args:
        penalty: float, the weight of `gradient_penalty` in the discriminator's loss. Default 0.

    Input shape: logits `(B, 1)` or `(B,)`. Output shape: a scalar.

    Example:
    >>> loss = HingeGAN()
    >>> float(loss.discriminator(np.array([2.0]), np.array([-1.0])))
    0.0

    References:
        Lim and Ye (2017), Geometric GAN, arXiv:1705.02894
        Miyato et al. (2018), Spectral Normalization for GANs, arXiv:1802.05957
    """

    def discriminator(self, real, fake):
        """Returns the loss of telling real from generated."""
        return ops.mean(ops.relu(1.0 - _wide(real))) + ops.mean(ops.relu(1.0 + _wide(fake)))

    def generator(self, fake):
        """Returns the loss of being told apart."""
        return -ops.mean(_wide(fake))


@keras.saving.register_keras_serializable(package="kerasdnn")
class WassersteinGAN(_Adversarial):
    """Distance of the critic's means; with its gradient penalty known as WGAN-GP.

    `critic:    mean D(G(z)) - mean D(x) + penalty * gradient_penalty(D, x, G(z))`
    `generator: -mean D(G(z))`

    The penalty is added by the one who calls the critic, since it needs more than logits:
    `kerasdnn.models.GAN` does. A critic has no batch normalization: the penalty is a sample's own.

    Args:
        penalty: float, the weight of `gradient_penalty`. Default 10.

    Input shape: scores `(B, 1)` or `(B,)`. Output shape: a scalar.

    Example:
    >>> float(WassersteinGAN().discriminator(np.array([3.0, 1.0]), np.array([-1.0, 0.0])))
    -2.5

    References:
        Gulrajani et al. (2017), Improved Training of Wasserstein GANs, arXiv:1704.00028
    """

    def __init__(self, *, penalty=10.0):
        super().__init__(penalty=penalty)

    def discriminator(self, real, fake):
        """Returns the critic's loss without its penalty."""
        return ops.mean(_wide(fake)) - ops.mean(_wide(real))

    def generator(self, fake):
        """Returns the generator's loss."""
        return -ops.mean(_wide(fake))


def gradient_penalty(discriminator, real, fake, *, conditions=None, seed=None, training=True):
    """Returns `mean (|dD/dx| - 1)^2` at random points between real and generated samples.

    The slope is the exact one on every backend, and the penalty has an exact gradient by the
    discriminator's weights. The norm is taken in float32.

    Args:
        discriminator: a built Keras layer or model, or a function of a tensor. A layer's state
            (batch statistics, random seeds) is left as it is.
        real: tensor `(B, ...)`.
        fake: tensor like `real`; the penalty has no gradient by it.
        conditions: tensor to hand to the discriminator as a second input, or None.
        seed: int or `keras.random.SeedGenerator` of the points, or None.
        training: bool, passed on to a layer.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: `real` and `fake` of different shapes.

    Example:
    >>> slope_three = lambda x: keras.ops.sum(3.0 * x, axis=-1)
    >>> x = np.ones((4, 1), "float32")
    >>> float(gradient_penalty(slope_three, x, -x))    # (3 - 1)^2
    4.0

    References:
        Gulrajani et al. (2017), Improved Training of Wasserstein GANs, arXiv:1704.00028
    """
    if tuple(real.shape)[1:] != tuple(fake.shape)[1:]:
        raise ValueError(
            f"gradient_penalty expects real and generated samples of one shape; received "
            f"{tuple(real.shape)} and {tuple(fake.shape)}. Correct the generator's output."
        )
    real, fake = (ops.cast(ops.stop_gradient(t), "float32") for t in map(_tensor, (real, fake)))
    place = (ops.shape(real)[0],) + (1,) * (len(real.shape) - 1)
    share = keras.random.uniform(place, seed=seed, dtype="float32")
    between = fake + share * (real - fake)
    call = discriminator
    if isinstance(discriminator, keras.layers.Layer):
        call = without_state(discriminator, training=training)
    score = call if conditions is None else lambda x: call([x, conditions])
    slope = ops.cast(backend.current().input_gradient(score, between), "float32")  # like real
    axes = tuple(range(1, len(slope.shape)))
    norm = ops.sqrt(ops.sum(ops.square(slope), axis=axes) + 1e-12)  # (B,)
    return ops.mean(ops.square(norm - 1.0))


def without_state(layer, *, training, frozen=False):
    """Returns a function that calls a built layer and drops the changes to its state.

    Args:
        layer: built Keras layer or model.
        training: bool, passed on.
        frozen: bool, whether gradients stop at the layer's weights; they still pass through it.
    """
    # A copy: Torch refuses gradients through a tensor that is changed in place later.
    state = [ops.copy(v.value) for v in layer.non_trainable_variables]
    weights = [v.value for v in layer.trainable_variables]
    if frozen:
        weights = [ops.stop_gradient(w) for w in weights]

    def call(inputs):
        outputs, _ = layer.stateless_call(weights, state, inputs, training=training)
        return outputs

    return call


def _tensor(x):
    return ops.convert_to_tensor(x)


def _wide(logits):
    return ops.cast(logits, "float32")
