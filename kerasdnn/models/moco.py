"""MoCo: contrast against a queue of keys from a slowly moving copy of the encoder."""

from kerasdnn.losses import InfoNCE
from kerasdnn.models.pretraining import (
    Pretraining,
    check_augmenter,
    check_projector,
    default_projector,
)

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class MoCo(Pretraining):
    """Trains an encoder without labels against many negatives at the cost of a small batch.

    One view of a sample is the query. The other goes through a copy of encoder and projector that
    follows them, `k = momentum * k + (1 - momentum) * q`, and gives the key. A query must find its
    key among the last `queue_size` keys, which are kept: the copy, the queue and its fill are saved
    with the model. Compile it with an optimizer only, and `fit(x)`; `predict` and `encoder` give
    the features.

    Args:
        encoder: built functional or sequential `keras.Model` from inputs to features `(B, D)`.
        augmenter: Keras layer or model that makes a new random view at every call.
        projector: Keras model from features to what the loss compares, functional or sequential.
            Default None: a perceptron with one hidden layer, up to 128 outputs.
        queue_size: int, the number of negatives, a multiple of the batch size. Default 4096.
        momentum: float in [0, 1). Default 0.99; 0.999 for long trainings.
        temperature: float above 0, of the loss. Default 0.2.

    Input shape: that of the encoder. Output shape: that of the encoder.

    Raises:
        ValueError: parts or numbers that do not fit; in `fit`: a queue that is no multiple of the
            batch, and data as in `SimCLR`.

    Example:
    >>> encoder = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="relu")])
    >>> model = MoCo(encoder, keras.layers.GaussianNoise(0.5), queue_size=64)
    >>> model.compile("adam")
    >>> x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    >>> history = model.fit(x, epochs=2, verbose=0).history
    >>> sorted(history), int(model.filled), model.predict(x, verbose=0).shape
    (['loss'], 64, (64, 16))

    References:
        He et al. (2020), Momentum Contrast, arXiv:1911.05722
        Chen et al. (2020), Improved Baselines with Momentum Contrastive Learning, arXiv:2003.04297
    """

    def __init__(
        self,
        encoder,
        augmenter,
        *,
        projector=None,
        queue_size=4096,
        momentum=0.99,
        temperature=0.2,
        **kwargs,
    ):
        super().__init__(encoder, **kwargs)
        if not isinstance(queue_size, int) or queue_size < 1:
            raise ValueError(
                f"MoCo expects queue_size to be a positive whole number; received {queue_size}. "
                "Take a multiple of the batch size, such as 4096."
            )
        if not 0 <= momentum < 1:
            raise ValueError(
                f"MoCo expects momentum in [0, 1); received {momentum}. 0.99 to 0.999 is usual."
            )
        self.augmenter = check_augmenter("MoCo", augmenter)
        projector = default_projector(encoder) if projector is None else projector
        self.projector = check_projector("MoCo", projector, encoder)
        self.queue_size, self.momentum = queue_size, momentum
        self.temperature = temperature
        self.query_loss = InfoNCE(temperature)
        self.key_encoder, self.key_projector = _follower(encoder), _follower(self.projector)
        width = self.projector.compute_output_shape(encoder.output_shape)[-1]
        self.queue = self.add_weight(
            shape=(queue_size, width),
            initializer="random_normal",  # random directions, until keys have taken their place
            trainable=False,
            autocast=False,
            dtype="float32",
            name="queue",
        )
        self.filled = self.add_weight(
            shape=(),
            initializer="zeros",
            trainable=False,
            autocast=False,
            dtype="int32",
            name="filled",
        )

    def check_data(self, x, batch_size):
        super().check_data(x, batch_size)
        size = batch_size or 32
        if hasattr(x, "shape") and self.queue_size % size:
            raise ValueError(
                f"MoCo expects a queue that holds whole batches; received queue_size="
                f"{self.queue_size} and batch_size={size}. Take a multiple, such as "
                f"{-(-self.queue_size // size) * size}."
            )

    def task_outputs(self, x, *, training):
        view = self.augmenter(x, training=True)
        return self.projector(self.encoder(view, training=training), training=training)  # (B, P)

    def task_loss(self, x, outputs, sample_weight, training):
        if training:
            self._follow()
        view = self.augmenter(x, training=True)
        keys = self.key_projector(self.key_encoder(view, training=training), training=training)
        keys = ops.stop_gradient(ops.normalize(ops.cast(keys, "float32"), axis=-1))  # (B, P)
        # A copy: Torch refuses gradients through a tensor that is changed in place below.
        queue = ops.stop_gradient(ops.copy(ops.convert_to_tensor(self.queue)))  # (K, P)
        if training:
            # First in, first out.
            self.queue.assign(
                ops.reshape(ops.concatenate([keys, queue])[: self.queue_size], self.queue.shape)
            )
            self.filled.assign(ops.minimum(self.filled + ops.shape(keys)[0], self.queue_size))
        return self.query_loss(outputs, keys, queue, sample_weight=sample_weight)

    def _follow(self):
        """Moves the copies a step towards the encoder and the projector."""
        for copy, original in (
            (self.key_encoder, self.encoder),
            (self.key_projector, self.projector),
        ):
            for key, query in zip(copy.weights, original.weights):
                if query.trainable:
                    moved = self.momentum * key + (1 - self.momentum) * ops.stop_gradient(query)
                    key.assign(ops.cast(moved, key.dtype))

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
            "queue_size": self.queue_size,
            "momentum": self.momentum,
            "temperature": self.temperature,
        }


def _follower(model):
    """Returns an untrainable copy of a functional or sequential model, with its weights."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.trainable = False
    return copy
