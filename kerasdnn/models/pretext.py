"""Pretext tasks: questions whose answers lie in the images themselves."""

from kerasdnn.models.pretraining import Pretraining, check_augmenter

import keras
import numpy as np
from keras import layers, ops

TURNS = 4
CHROMA_SPAN = (
    0.25  # bins cover chroma from -0.25 to 0.25; what lies beyond falls into the outer ones
)
# ITU-R BT.601: a pixel's brightness, and its blue and red difference from it, for RGB in [0, 1].
LUMA = (0.299, 0.587, 0.114)
BLUE = (-0.168736, -0.331264, 0.5)
RED = (0.5, -0.418688, -0.081312)


@keras.saving.register_keras_serializable(package="kerasdnn")
class RotationPretext(Pretraining):
    """Trains an encoder to tell by how much an image was turned.

    Every image is shown upright and turned by 90, 180 and 270 degrees, in one batch of `4 B`, and a
    linear layer on the features must name the turn. Whoever can do this has to know what is in the
    image. Compile it with an optimizer only, and `fit(x)`; `predict` and `encoder` give features.

    Args:
        encoder: built `keras.Model` from square images to features `(B, D)`.
        augmenter: Keras layer or model, applied before turning, or None. Default None.

    Input shape: `(B, H, H, C)`. Output shape: that of the encoder.

    Raises:
        ValueError: images that are not square, or an encoder without flat features; in `fit`:
            data that are not finite, of another shape or of the wrong range.

    Example:
    >>> encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    >>> model = RotationPretext(encoder)
    >>> model.compile("adam")
    >>> x = np.random.default_rng(0).uniform(size=(32, 8, 8, 1))
    >>> sorted(model.fit(x, verbose=0).history)
    ['accuracy', 'loss']

    References:
        Gidaris et al. (2018), Unsupervised Representation Learning by Predicting Image Rotations,
        arXiv:1803.07728
    """

    def __init__(self, encoder, augmenter=None, **kwargs):
        super().__init__(encoder, **kwargs)
        shape = encoder.input_shape
        if len(shape) != 4 or shape[1] != shape[2]:
            raise ValueError(
                f"RotationPretext expects an encoder of square images (B, H, H, C); received input "
                f"{tuple(shape)}. Crop or resize the images to a square."
            )
        if len(encoder.output_shape) != 2:
            raise ValueError(
                "RotationPretext expects an encoder that ends in features (B, D); received output "
                f"{tuple(encoder.output_shape)}. End it with GlobalAveragePooling2D or Flatten."
            )
        self.augmenter = (
            None if augmenter is None else check_augmenter(type(self).__name__, augmenter)
        )
        self.head = layers.Dense(TURNS, dtype="float32", name="head")
        self.head.build(encoder.output_shape)
        self.accuracy = keras.metrics.Mean(name="accuracy")

    def task_outputs(self, x, *, training):
        if self.augmenter is not None:
            x = self.augmenter(x, training=training)
        turned = ops.concatenate([_turn(x, times) for times in range(TURNS)])  # (4 B, H, H, C)
        return self.head(self.encoder(turned, training=training))  # (4 B, 4)

    def task_loss(self, x, outputs, sample_weight, training):
        each = ops.shape(outputs)[0] // TURNS
        answers = ops.repeat(ops.arange(TURNS), each)
        weight = None if sample_weight is None else ops.tile(sample_weight, [TURNS])
        right = ops.cast(ops.equal(ops.argmax(outputs, axis=-1), answers), "float32")
        self.accuracy.update_state(right, weight)
        entropy = ops.sparse_categorical_crossentropy(answers, outputs, from_logits=True)
        return ops.mean(entropy if weight is None else entropy * ops.cast(weight, "float32"))

    def get_config(self):
        augmenter = self.augmenter and keras.saving.serialize_keras_object(self.augmenter)
        return {**super().get_config(), "augmenter": augmenter}


@keras.saving.register_keras_serializable(package="kerasdnn")
class ColorPretext(Pretraining):
    """Trains an encoder of grey images to say which colours were there.

    The encoder sees the brightness alone. From each place of its feature map a linear layer
    names the mean colour of that part of the image, as one of `bins x bins` chroma values: a choice
    among bins, since the mean of several possible colours is grey. `predict` takes colour images or
    grey ones and gives the features, averaged over the places.

    Args:
        encoder: built `keras.Model` from grey images `(B, H, W, 1)` of pixels 0-255 to a feature
            map `(B, h, w, D)` whose h and w divide H and W.
        augmenter: Keras layer or model for the colour images, or None. Default None.
        bins: int of 2 or more, the values of each of the two chroma axes. Default 7.

    Input shape: `(B, H, W, 3)`, pixels 0-255. Output shape: `(B, D)`.

    Raises:
        ValueError: an encoder of other shapes; in `fit`: images without colour, of another range or
            shape, or not finite.

    Example:
    >>> encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 2, strides=2)])
    >>> model = ColorPretext(encoder)
    >>> model.compile("adam")
    >>> x = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3))
    >>> sorted(model.fit(x, verbose=0).history), model.predict(x, verbose=0).shape
    (['accuracy', 'loss'], (32, 4))

    References:
        Zhang, Isola, Efros (2016), Colorful Image Colorization, arXiv:1603.08511
        Larsson et al. (2017), Colorization as a Proxy Task, arXiv:1703.04044
    """

    def __init__(self, encoder, augmenter=None, *, bins=7, **kwargs):
        super().__init__(encoder, **kwargs)
        before, after = encoder.input_shape, encoder.output_shape
        fits = len(before) == len(after) == 4 and before[-1] == 1
        if not fits or before[1] % after[1] or before[2] % after[2]:
            raise ValueError(
                "ColorPretext expects an encoder from grey images (B, H, W, 1) to a feature map "
                f"(B, h, w, D) with h and w that divide H and W; received {tuple(before)} to "
                f"{tuple(after)}. Use padding='same' and leave the pooling to the task."
            )
        if not isinstance(bins, int) or bins < 2:
            raise ValueError(
                f"ColorPretext expects bins to be a whole number of 2 or more; received {bins!r}. "
                "7 tells 49 colours apart."
            )
        self.bins = bins
        self.augmenter = (
            None if augmenter is None else check_augmenter(type(self).__name__, augmenter)
        )
        self.head = layers.Dense(bins * bins, dtype="float32", name="head")
        self.head.build(after)
        self.cell = before[1] // after[1], before[2] // after[2]  # pixels that a place stands for
        self.accuracy = keras.metrics.Mean(name="accuracy")

    def check_data(self, x, batch_size):
        shape = getattr(x, "shape", None)
        expected = (*self.encoder.input_shape[1:3], 3)
        if shape is not None and tuple(shape)[1:] != expected:
            wanted = ", ".join(map(str, expected))
            raise ValueError(
                f"ColorPretext expects colour images (N, {wanted}); received {tuple(shape)}. It "
                "learns from colours, so grey images teach it nothing."
            )
        if isinstance(x, np.ndarray) and x.size:
            if x.dtype.kind == "f" and not np.isfinite(x).all():
                raise ValueError(
                    "ColorPretext expects finite pixels; received NaN or infinity. Clean or drop "
                    "those images."
                )
            low, high = float(x.min()), float(x.max())
            if low < 0 or high > 255 or high <= 1.5:
                raise ValueError(
                    f"ColorPretext expects pixels 0 to 255; received values from {low:g} to "
                    f"{high:g}. Multiply images in [0, 1] by 255."
                )
            if np.array_equal(x[..., 0], x[..., 1]) and np.array_equal(x[..., 1], x[..., 2]):
                raise ValueError(
                    "ColorPretext expects images with colours; received three equal channels. It "
                    "learns from colours, so grey images teach it nothing."
                )

    def call(self, x, training=None):
        if training:
            return self.task_outputs(x, training=True)
        places = self.encoder(grey(x) if x.shape[-1] == 3 else x, training=False)
        return ops.mean(places, axis=(1, 2))

    def task_outputs(self, x, *, training):
        if self.augmenter is not None:
            x = self.augmenter(x, training=training)
        logits = self.head(self.encoder(grey(x), training=training))  # (B, h, w, bins^2)
        return logits, ops.stop_gradient(self.colours(x))

    def colours(self, x):
        """Returns the number of the bin of each cell's mean colour, `(B, h, w)`."""
        x = ops.cast(x, "float32") / 255.0
        chroma = [ops.sum(x * ops.convert_to_tensor(axis), axis=-1) for axis in (BLUE, RED)]
        places = []
        for values in chroma:  # (B, H, W) each
            shape = ops.shape(values)
            rows, columns = (shape[i + 1] // self.cell[i] for i in range(2))
            cells = (shape[0], rows, self.cell[0], columns, self.cell[1])
            mean = ops.mean(ops.reshape(values, cells), axis=(2, 4))  # (B, h, w)
            place = ops.floor((mean + CHROMA_SPAN) / (2 * CHROMA_SPAN) * self.bins)
            places.append(ops.clip(place, 0, self.bins - 1))
        return ops.cast(places[0] * self.bins + places[1], "int32")

    def task_loss(self, x, outputs, sample_weight, training):
        logits, answers = outputs
        entropy = ops.sparse_categorical_crossentropy(answers, logits, from_logits=True)
        right = ops.cast(ops.equal(ops.argmax(logits, axis=-1), answers), "float32")
        right, entropy = ops.mean(right, axis=(1, 2)), ops.mean(entropy, axis=(1, 2))  # (B,)
        self.accuracy.update_state(right, sample_weight)
        if sample_weight is not None:
            entropy = entropy * ops.cast(sample_weight, "float32")
        return ops.mean(entropy)

    def embed(self, x, batch_size=256):
        """Returns the features averaged over the places, `(N, D)`, as a NumPy array."""
        return self.predict(x, batch_size=batch_size, verbose=0)

    def get_config(self):
        augmenter = self.augmenter and keras.saving.serialize_keras_object(self.augmenter)
        return {**super().get_config(), "augmenter": augmenter, "bins": self.bins}


def grey(x):
    """Returns the brightness `(B, H, W, 1)` of colour images `(B, H, W, 3)`, in their range."""
    x = ops.cast(x, "float32")
    return ops.sum(x * ops.convert_to_tensor(LUMA), axis=-1, keepdims=True)


def _turn(x, times):
    """Turns images by `times` quarter turns to the left."""
    if times == 2:
        return ops.flip(x, axis=(1, 2))
    if times % 2:
        x = ops.flip(ops.transpose(x, (0, 2, 1, 3)), axis=1 if times == 1 else 2)
    return x
