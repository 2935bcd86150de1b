"""What the models that train an encoder without labels share."""

from kerasdnn.models.inputs import check_finite, check_last_batch, check_rescaled, check_shape

import keras
from keras import layers, ops


class Pretraining(keras.Model):
    """An encoder that is trained by a task made from the inputs themselves.

    In training, `call` returns what the task's loss needs; outside of it the encoder's features,
    so that `predict` gives them. `encoder` is an ordinary model to build on.
    """

    min_batch = 1

    def __init__(self, encoder, **kwargs):
        super().__init__(**kwargs)
        _check_encoder(type(self).__name__, encoder)
        self.encoder = encoder
        self.built = True  # by its parts, which are

    def fit(self, x=None, y=None, batch_size=None, *arguments, **options):
        """As `keras.Model.fit`, after a look at the data; labels are not used."""
        self.check_data(x, batch_size)
        return super().fit(x, y, batch_size, *arguments, **options)

    def check_data(self, x, batch_size):
        """Raises a ValueError for data that would fail or teach nothing."""
        name = type(self).__name__
        check_shape(name, x, self.encoder.input_shape)
        check_finite(name, x)
        check_rescaled(name, x, self.encoder)
        if self.min_batch > 1:
            check_last_batch(name, x, batch_size)

    def call(self, x, training=None):
        if training:
            return self.task_outputs(x, training=True)
        return self.encoder(x, training=False)

    def task_outputs(self, x, *, training):
        """Returns what the loss needs for a batch."""
        raise NotImplementedError

    def task_loss(self, x, outputs, sample_weight, training):
        """Returns the loss of these outputs."""
        raise NotImplementedError

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        # Evaluation predicts features, so it has yet to do the task.
        outputs = y_pred if training else self.task_outputs(x, training=False)
        loss = self.task_loss(x, outputs, sample_weight, training)
        for penalty in self.losses:  # the regularizers of the parts
            loss += ops.sum(ops.cast(penalty, "float32"))
        return loss

    def embed(self, x, batch_size=256):
        """Returns what the loss compares, `(N, D)`, as a NumPy array; here the features."""
        return self.encoder.predict(x, batch_size=batch_size, verbose=0)

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = {
            key: keras.saving.deserialize_keras_object(value, custom_objects)
            if isinstance(value, dict) and "class_name" in value and key != "dtype"
            else value
            for key, value in config.items()
        }
        return cls(**config)


def default_projector(encoder, width=128):
    """Returns a multi-layer perceptron with one hidden layer, as wide as the features."""
    features = encoder.output_shape[-1]
    return keras.Sequential(
        [
            keras.Input((features,)),
            layers.Dense(features, activation="relu"),
            layers.Dense(min(width, features), dtype="float32"),
        ],
        name="projector",
    )


def check_projector(name, projector, encoder):
    """Builds a projector that is not built, and refuses one that does not fit the encoder."""
    if not isinstance(projector, keras.layers.Layer):
        raise ValueError(
            f"{name} expects projector to be a Keras layer or model; received "
            f"{type(projector).__name__}. Leave it out for the usual one."
        )
    if len(encoder.output_shape) != 2:
        raise ValueError(
            f"{name} expects an encoder that ends in features (B, D); received one with output "
            f"{tuple(encoder.output_shape)}. End it with GlobalAveragePooling2D or Flatten."
        )
    if not projector.built:
        projector.build(encoder.output_shape)
    return projector


def check_augmenter(name, augmenter):
    """Refuses what cannot be an augmenter."""
    if not isinstance(augmenter, keras.layers.Layer):
        raise ValueError(
            f"{name} expects augmenter to be a Keras layer or model that makes a random view of "
            f"each sample; received {type(augmenter).__name__}. A keras.Sequential of "
            "preprocessing layers is usual."
        )
    return augmenter


def _check_encoder(name, encoder):
    if not isinstance(encoder, keras.Model) or not encoder.built:
        raise ValueError(
            f"{name} expects encoder to be a built keras.Model from inputs to features; received "
            f"{type(encoder).__name__}. Start it with keras.Input."
        )
