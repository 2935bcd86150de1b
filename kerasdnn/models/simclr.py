"""SimCLR: two random views of a sample belong together, apart from all others."""

from kerasdnn.losses import NTXent
from kerasdnn.models.pretraining import (
    Pretraining,
    check_augmenter,
    check_projector,
    default_projector,
)

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class SimCLR(Pretraining):
    """Trains an encoder without labels by contrasting two random views of each sample.

    `x -> augmenter twice -> encoder -> projector -> NTXent`. Both views go through the encoder in
    one batch of `2 B`, so that batch normalization sees them together. Compile it with an
    optimizer only, and `fit(x)`; `predict` and `encoder` give the features, the projector is
    thrown away after training.

    Args:
        encoder: built `keras.Model` from inputs to features `(B, D)`.
        augmenter: Keras layer or model that makes a new random view at every call.
        projector: Keras layer from features to what the loss compares. Default None: a perceptron
            with one hidden layer, up to 128 outputs.
        temperature: float above 0, of the loss. Default 0.5.
        loss: function of two batches of projections `(B, P)` that returns a scalar, in the place of
            `NTXent(temperature)`. Default None.

    Input shape: that of the encoder. Output shape: that of the encoder.

    Raises:
        ValueError: parts that do not fit together; in `fit`: data that are not finite, of another
            shape, of a range that the encoder's `Rescaling` is not made for, or a batch of one.

    Example:
    >>> encoder = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="relu")])
    >>> model = SimCLR(encoder, keras.layers.GaussianNoise(0.5), temperature=0.2)
    >>> model.compile("adam")
    >>> x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    >>> sorted(model.fit(x, epochs=2, verbose=0).history), model.predict(x, verbose=0).shape
    (['loss'], (64, 16))

    References:
        Chen et al. (2020), A Simple Framework for Contrastive Learning, arXiv:2002.05709
    """

    min_batch = 2

    def __init__(self, encoder, augmenter, *, projector=None, temperature=0.5, loss=None, **kwargs):
        super().__init__(encoder, **kwargs)
        self.augmenter = check_augmenter("SimCLR", augmenter)
        projector = default_projector(encoder) if projector is None else projector
        self.projector = check_projector("SimCLR", projector, encoder)
        self.temperature = temperature
        self.view_loss = NTXent(temperature) if loss is None else loss
        self.custom_loss = loss is not None

    def task_outputs(self, x, *, training):
        views = [self.augmenter(x, training=True) for _ in range(2)]
        features = self.encoder(ops.concatenate(views), training=training)
        return self.projector(features, training=training)  # (2 B, P)

    def task_loss(self, x, outputs, sample_weight, training):
        view_a, view_b = ops.split(outputs, 2)
        if sample_weight is None:
            return ops.cast(self.view_loss(view_a, view_b), "float32")
        return ops.cast(self.view_loss(view_a, view_b, sample_weight), "float32")

    def embed(self, x, batch_size=256):
        """Returns the projections of samples as they are, `(N, P)`, as a NumPy array."""
        features = self.encoder.predict(x, batch_size=batch_size, verbose=0)
        return ops.convert_to_numpy(self.projector(features, training=False))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "augmenter": serialize(self.augmenter),
            "projector": serialize(self.projector),
            "temperature": self.temperature,
            "loss": serialize(self.view_loss) if self.custom_loss else None,
        }
