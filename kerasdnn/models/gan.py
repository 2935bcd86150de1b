"""GAN: a generator and the discriminator that it tries to deceive, trained by one `fit`."""

from kerasdnn.losses import NonSaturatingGAN, gradient_penalty
from kerasdnn.losses.adversarial import without_state
from kerasdnn.models.inputs import check_finite, check_shape

import keras
import numpy as np
from keras import ops

RANGES = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}  # of a generator's last activation


@keras.saving.register_keras_serializable(package="kerasdnn")
class GAN(keras.Model):
    """A generator and a discriminator with an optimizer each, trained together by `fit`.

    A step draws latent vectors, takes the discriminator's loss on real and generated samples, and
    the generator's through a frozen copy of the discriminator's weights, so one backward pass
    gives each network its own gradient and nothing of the other's. Both losses are scaled under
    `mixed_float16`. The discriminator's batch statistics come from the batches that it is trained
    on. With `discriminator_steps=n` the generator's optimizer waits for every n-th step.

    Compile it as `compile(generator_optimizer, discriminator_optimizer)`, `fit(images)`, or
    `fit((images, labels))` for networks that take labels as a second input. `predict(images)` gives
    the discriminator's scores, `generate(n)` samples.

    Args:
        generator: built `keras.Model` from latent vectors `(B, L)`, or `[latent, labels]`, to
            samples.
        discriminator: built `keras.Model` from samples, or `[samples, labels]`, to scores `(B, 1)`.
        latent_dim: int, L.
        loss: `NonSaturatingGAN`, `HingeGAN` or `WassersteinGAN` of `kerasdnn.losses`, or an object
            with their methods. Default None: `NonSaturatingGAN()`.
        discriminator_steps: int of 1 or more, the steps of the discriminator for one of the
            generator. Default 1; 5 is usual for `WassersteinGAN`.
        seed: int or None.

    Input shape: that of the discriminator. Output shape: `(B, 1)`.

    Raises:
        ValueError: networks that do not fit together, fewer than one step; in `fit`: samples of
            another shape, of another range than the generator's output, or not finite.

    Example:
    >>> from keras import Input, Sequential, layers
    >>> generator = Sequential([Input((2,)), layers.Dense(8, activation="relu"), layers.Dense(3)])
    >>> critic = Sequential([Input((3,)), layers.Dense(8, activation="relu"), layers.Dense(1)])
    >>> gan = GAN(generator, critic, latent_dim=2)
    >>> gan.compile(keras.optimizers.Adam(1e-3))
    >>> history = gan.fit(np.ones((64, 3), "float32"), verbose=0).history
    >>> sorted(history), gan.generate(5, seed=0).shape
    (['d_loss', 'g_loss', 'loss'], (5, 3))

    References:
        Goodfellow et al. (2014), Generative Adversarial Nets, arXiv:1406.2661
        Gulrajani et al. (2017), Improved Training of Wasserstein GANs, arXiv:1704.00028
    """

    def __init__(
        self,
        generator,
        discriminator,
        *,
        latent_dim,
        loss=None,
        discriminator_steps=1,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(discriminator_steps, int) or discriminator_steps < 1:
            raise ValueError(
                "GAN expects discriminator_steps to be a whole number of 1 or more; received "
                f"{discriminator_steps!r}. 1 trains both at every step."
            )
        self.conditional = _check_networks(generator, discriminator, latent_dim)
        self.generator, self.discriminator = generator, discriminator
        self.latent_dim, self.discriminator_steps = latent_dim, discriminator_steps
        self.adversarial_loss = NonSaturatingGAN() if loss is None else loss
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.step = self.add_weight(
            shape=(),
            initializer="zeros",
            trainable=False,
            autocast=False,
            dtype="int32",
            name="step",
        )
        self.d_loss = keras.metrics.Mean(name="d_loss")
        self.g_loss = keras.metrics.Mean(name="g_loss")
        self.built = True  # by its parts, which are

    def compile(self, optimizer="adam", discriminator_optimizer=None, **options):
        """Takes the generator's optimizer and the discriminator's, by default another like it."""
        optimizer = keras.optimizers.get(optimizer)
        if discriminator_optimizer is None:
            discriminator_optimizer = type(optimizer).from_config(optimizer.get_config())
        discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        serialize = keras.saving.serialize_keras_object
        self._parts = {
            "optimizer": serialize(optimizer),
            "discriminator_optimizer": serialize(discriminator_optimizer),
        }
        if self.discriminator_steps > 1:
            # The gradient of every n-th step, times n in the loss, accumulates to its own mean.
            config = {**optimizer.get_config()}
            config["gradient_accumulation_steps"] = self.discriminator_steps
            optimizer = type(optimizer).from_config(config)
        theirs = {id(v) for v in self.discriminator.trainable_variables}

        def choose(variable):  # by identity: paths of two networks can be the same
            return discriminator_optimizer if id(variable) in theirs else optimizer

        super().compile(optimizer=keras.optimizers.MultiOptimizer(choose), **options)

    def get_compile_config(self):
        config = super().get_compile_config() if not self.compiled else {}
        if self.compiled:
            config = {
                **self._parts,
                "jit_compile": self.jit_compile,
                "run_eagerly": self.run_eagerly,
                "steps_per_execution": self.steps_per_execution,
            }
        return config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, batch_size=None, *arguments, **options):
        """As `keras.Model.fit`, after a look at the data."""
        self.check_data(x, batch_size)
        return super().fit(x, y, batch_size, *arguments, **options)

    def call(self, x, training=None):
        return self.discriminator(x, training=training)  # (B, 1)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        samples, labels = (x[0], x[1]) if self.conditional else (x, None)
        fake = self._fake(ops.shape(samples)[0], labels, training)
        seen = self._with(ops.stop_gradient(fake), labels)
        d_loss = self.adversarial_loss.discriminator(
            y_pred, self.discriminator(seen, training=training)
        )
        if self.adversarial_loss.penalty:
            d_loss += self.adversarial_loss.penalty * gradient_penalty(
                self.discriminator,
                samples,
                fake,
                conditions=labels,
                seed=self.seed_generator,
                training=training,
            )
        frozen = without_state(self.discriminator, training=training, frozen=True)
        g_loss = self.adversarial_loss.generator(frozen(self._with(fake, labels)))
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        if training and self.discriminator_steps > 1:
            self.step.assign((self.step + 1) % self.discriminator_steps)
            turn = ops.cast(ops.equal(self.step, 0), "float32")
            g_loss = g_loss * turn * self.discriminator_steps
        loss = d_loss + g_loss
        for penalty in self.losses:  # the regularizers of the networks
            loss += ops.sum(ops.cast(penalty, "float32"))
        return loss

    def generate(self, number, labels=None, *, seed=None, batch_size=256):
        """Returns `number` samples as a NumPy array; the same ones for the same `seed`."""
        if self.conditional and (labels is None or len(labels) != number):
            raise ValueError(
                f"This generator expects {number} labels; received "
                f"{'none' if labels is None else len(labels)}. Pass labels=, one for each sample."
            )
        latent = np.random.default_rng(seed).normal(size=(number, self.latent_dim))
        inputs = self._with(latent.astype("float32"), None if labels is None else np.array(labels))
        return self.generator.predict(inputs, batch_size=batch_size, verbose=0)

    def _fake(self, number, labels, training):
        latent = keras.random.normal((number, self.latent_dim), seed=self.seed_generator)
        return self.generator(self._with(latent, labels), training=training)

    def _with(self, first, labels):
        return [first, labels] if self.conditional else first

    def check_data(self, x, batch_size):
        """Raises a ValueError for arrays that would fail; data sets pass unseen."""
        pair = isinstance(x, (tuple, list)) and len(x) == 2
        samples = x[0] if self.conditional and pair else x
        if self.conditional and not pair and isinstance(x, (tuple, list, np.ndarray)):
            raise ValueError(
                "GAN with networks that take labels expects fit((samples, labels)); received "
                f"{type(x).__name__}. Pass both in one tuple."
            )
        shape = self.discriminator.input_shape
        check_shape("GAN", samples, shape[0] if self.conditional else shape)
        check_finite("GAN", samples)
        activation = getattr(self.generator.layers[-1], "activation", None)
        low, high = RANGES.get(getattr(activation, "__name__", None), (None, None))
        if low is not None and isinstance(samples, np.ndarray) and samples.size:
            got = float(samples.min()), float(samples.max())
            if got[0] < low - 1e-3 or got[1] > high + 1e-3 or got[1] - got[0] < 0.05 * (high - low):
                raise ValueError(
                    f"GAN expects samples in [{low:g}, {high:g}], the range of the generator's "
                    f"{activation.__name__}; received values from {got[0]:g} to {got[1]:g}. "
                    "Rescale the data."
                )

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "generator": serialize(self.generator),
            "discriminator": serialize(self.discriminator),
            "latent_dim": self.latent_dim,
            "loss": serialize(self.adversarial_loss),
            "discriminator_steps": self.discriminator_steps,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects)
            for key in ("generator", "discriminator", "loss")
        }
        return cls(**{**config, **parts})


def _check_networks(generator, discriminator, latent_dim):
    """Refuses networks that do not fit together; returns whether they take labels."""
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        if not isinstance(network, keras.Model) or not network.built:
            raise ValueError(
                f"GAN expects {name} to be a built keras.Model; received "
                f"{type(network).__name__}. Start it with keras.Input."
            )
    inputs = [len(network.inputs) for network in (generator, discriminator)]
    if inputs not in ([1, 1], [2, 2]):
        raise ValueError(
            "GAN expects generator and discriminator to have one input, or both labels as a second "
            f"one; received {inputs[0]} and {inputs[1]} inputs. Give both or neither the labels."
        )
    latent, sample = tuple(generator.inputs[0].shape), tuple(discriminator.inputs[0].shape)
    if latent[1:] != (latent_dim,):
        raise ValueError(
            f"GAN expects a generator of latent vectors (B, {latent_dim}); received one with input "
            f"{latent}. latent_dim is the generator's first input width."
        )
    if tuple(generator.output_shape)[1:] != sample[1:]:
        raise ValueError(
            f"GAN expects the generator to make what the discriminator takes, {sample}; received "
            f"{tuple(generator.output_shape)}. Change one of them."
        )
    if tuple(discriminator.output_shape)[1:] != (1,):
        raise ValueError(
            "GAN expects the discriminator to give one score (B, 1); received "
            f"{tuple(discriminator.output_shape)}. End it with Dense(1) without activation."
        )
    return inputs[0] == 2
