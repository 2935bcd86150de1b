"""Augmentation that Keras lacks: a per-sample resized crop, random application, and two views.

Keras' own `RandomFlip`, `RandomErasing` and colour layers already draw per sample: combine them
with these. Like them, the layers here augment unless they are called with `training=False`.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class RandomResizedCrop(keras.layers.Layer):
    """Cuts a random box out of every image and resizes it to `height` by `width`.

    Each sample draws its own box. Corners lie on whole pixels, so a box of the output's size is
    copied without blur: images of 28 by 28 with `height=28, width=28, scale=(1, 1), ratio=(1, 1),
    padding=2` get exactly the classic "pad by 2 pixels and crop". The resize is bilinear without
    antialiasing, two matrix products for the whole batch, in float32.

    With `training=False` images of the right size pass unchanged and others are resized whole.

    Args:
        height: int, height of the output.
        width: int, width of the output.
        scale: two floats in (0, 1], the range of the box's area as a share of the image's.
        ratio: two positive floats, the range of the box's width over height relative to the
            output's; 1 keeps proportions, and with a square output this is the paper's aspect
            ratio. Drawn log-uniformly among the ratios whose box fits into the image.
        padding: int, pixels of `fill_value` around the image that the box may reach into.
        fill_value: float, the value of these pixels.
        seed: int or None.

    Input shape: `(B, H, W, C)`, integer or float.
    Output shape: `(B, height, width, C)` in the compute dtype.

    Raises:
        ValueError: for sizes, ranges or a padding out of bounds, or an input that is not rank 4.

    Example:
    >>> layer = RandomResizedCrop(8, 8, scale=(0.2, 1.0), seed=0)
    >>> tuple(layer(keras.ops.ones((2, 12, 12, 3), dtype="uint8")).shape)
    (2, 8, 8, 3)

    References:
        Szegedy et al. (2014), Going Deeper with Convolutions, arXiv:1409.4842
        Chen et al. (2020), A Simple Framework for Contrastive Learning, arXiv:2002.05709
    """

    def __init__(
        self,
        height,
        width,
        *,
        scale=(0.08, 1.0),
        ratio=(3 / 4, 4 / 3),
        padding=0,
        fill_value=0.0,
        seed=None,
        **kwargs,
    ):
        # The box is cut in float32, also under mixed precision: no cast on the way in.
        super().__init__(autocast=False, **kwargs)
        _check_size("height", height, 1)
        _check_size("width", width, 1)
        _check_size("padding", padding, 0)
        self.height = height
        self.width = width
        self.scale = _checked_range("scale", scale, upper=1.0)
        self.ratio = _checked_range("ratio", ratio)
        self.padding = padding
        self.fill_value = fill_value
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, images, training=True):
        rows, columns = images.shape[1], images.shape[2]
        if None in (rows, columns):
            rows, columns = ops.shape(images)[1:3]
        if training:
            boxes = self._draw_boxes(ops.shape(images)[0], rows, columns)
        elif tuple(images.shape[1:3]) == (self.height, self.width):
            return ops.cast(images, self.compute_dtype)
        else:
            boxes = (ops.cast(ops.stack([size]), "float32") for size in (0, 0, rows, columns))
        top, left, box_height, box_width = boxes
        # Weights outside the image are zero, which fills with 0: other fills are shifted to 0.
        x = ops.cast(images, "float32") - self.fill_value  # (B, H, W, C)
        x = _resample_rows(x, _bilinear_weights(top, box_height, self.height, rows))
        x = _resample_columns(x, _bilinear_weights(left, box_width, self.width, columns))
        return ops.cast(x + self.fill_value, self.compute_dtype)

    def _draw_boxes(self, batch_size, rows, columns):
        """Returns top, left, height and width of a box for each sample, whole numbers of (B,)."""
        rows, columns = ops.cast(rows, "float32"), ops.cast(columns, "float32")
        rows_padded, columns_padded = rows + 2 * self.padding, columns + 2 * self.padding
        draws = keras.random.uniform((4, batch_size), dtype="float32", seed=self.seed_generator)
        area = rows * columns * (self.scale[0] + draws[0] * (self.scale[1] - self.scale[0]))
        # width = sqrt(area * aspect) must fit, and height = sqrt(area / aspect).
        lowest, highest = area / rows_padded**2, columns_padded**2 / area
        output_aspect = self.width / self.height
        low, high = (
            ops.log(ops.minimum(ops.maximum(lowest, ratio * output_aspect), highest))
            for ratio in self.ratio
        )
        aspect = ops.exp(low + draws[1] * (high - low))
        box_height, box_width = ops.sqrt(area / aspect), ops.sqrt(area * aspect)
        box_height = ops.minimum(ops.maximum(ops.round(box_height), 1.0), rows_padded)
        box_width = ops.minimum(ops.maximum(ops.round(box_width), 1.0), columns_padded)
        top, left = rows_padded - box_height, columns_padded - box_width  # the largest offsets
        # A draw just below 1 can round up to one offset too many.
        top = ops.minimum(ops.floor(draws[2] * (top + 1)), top) - self.padding
        left = ops.minimum(ops.floor(draws[3] * (left + 1)), left) - self.padding
        return top, left, box_height, box_width

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.height, self.width, input_shape[3])

    def get_config(self):
        return {
            **super().get_config(),
            "height": self.height,
            "width": self.width,
            "scale": self.scale,
            "ratio": self.ratio,
            "padding": self.padding,
            "fill_value": self.fill_value,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="kerasdnn")
class RandomApply(keras.layers.Wrapper):
    """Applies a layer to randomly chosen samples and passes the others unchanged.

    The wrapped layer sees the whole batch, and each sample then takes its result or its input:
    shapes stay fixed, as compilers need. With `training=False` all samples pass unchanged.

    Args:
        layer: a Keras layer that keeps the shape of its input.
        rate: float in [0, 1], the share of samples that the layer is applied to.
        seed: int or None.

    Input shape: `(B, ...)`, any rank. Output shape: the same, the compute dtype.

    Raises:
        ValueError: if `layer` is no Keras layer or changes the shape, or `rate` is out of bounds.

    Example:
    >>> layer = RandomApply(keras.layers.Rescaling(-1.0), rate=1.0)
    >>> keras.ops.convert_to_numpy(layer(keras.ops.ones((1, 2)))).tolist()
    [[-1.0, -1.0]]

    References:
        Chen et al. (2020), A Simple Framework for Contrastive Learning, arXiv:2002.05709
    """

    def __init__(self, layer, rate=0.5, *, seed=None, **kwargs):
        super().__init__(layer, **kwargs)
        if not 0.0 <= rate <= 1.0:
            raise ValueError(
                f"RandomApply expects rate in [0, 1]; received {rate}. It is the share of samples "
                "that the layer is applied to."
            )
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape):
        output_shape = self.layer.compute_output_shape(input_shape)
        if tuple(output_shape)[1:] != tuple(input_shape)[1:]:
            raise ValueError(
                f"RandomApply expects a layer that keeps the shape; received {self.layer.name}, "
                f"which turns {tuple(input_shape)} into {tuple(output_shape)}. Apply that layer to "
                "all samples, without RandomApply."
            )
        super().build(input_shape)

    def call(self, inputs, training=True):
        unchanged = ops.cast(inputs, self.compute_dtype)
        if not training:
            return unchanged
        applied = ops.cast(self.layer(inputs), self.compute_dtype)
        shape = (ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)
        draws = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        return ops.where(draws < self.rate, applied, unchanged)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="kerasdnn")
class TwoViews(keras.layers.Wrapper):
    """Returns two independently augmented views of every sample, as contrastive learning needs.

    With `training=False` the augmenter passes its input, so both views are equal.

    Args:
        augmenter: a Keras layer or model that draws new random numbers on every call.

    Input shape: `(B, ...)`. Output shape: a tuple of two, each the output shape of `augmenter`.

    Raises:
        ValueError: if `augmenter` is not a Keras layer.

    Example:
    >>> layer = TwoViews(keras.layers.GaussianNoise(1.0, seed=0))
    >>> view_a, view_b = layer(keras.ops.zeros((2, 3)))
    >>> bool(keras.ops.any(view_a != view_b))
    True

    References:
        Chen et al. (2020), A Simple Framework for Contrastive Learning, arXiv:2002.05709
    """

    def __init__(self, augmenter, **kwargs):
        super().__init__(augmenter, **kwargs)

    def call(self, inputs, training=True):
        view_a = self.layer(inputs)  # (B, ...)
        view_b = self.layer(inputs)  # (B, ...)
        return view_a, view_b

    def compute_output_shape(self, input_shape):
        shape = tuple(self.layer.compute_output_shape(input_shape))
        return shape, shape

    def get_config(self):
        config = super().get_config()
        config["augmenter"] = config.pop("layer")
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["layer"] = config.pop("augmenter")
        return super().from_config(config, custom_objects)


def _bilinear_weights(start, box_size, output_size, input_size):
    """Returns weights (B, output_size, input_size): row i mixes the pixels that output i reads."""
    start, box_size = ops.expand_dims(start, -1), ops.expand_dims(box_size, -1)  # (B, 1)
    index = ops.arange(output_size, dtype="float32")
    # (index + 0.5) * box_size / output_size - 0.5, written so that equal sizes give index exactly.
    position = index + (index + 0.5) * ((box_size - output_size) / output_size)
    # As if the box were cut out first: no position reads beyond the box's outermost pixels.
    position = start + ops.minimum(ops.maximum(position, 0.0), box_size - 1.0)
    distance = ops.expand_dims(position, -1) - ops.arange(input_size, dtype="float32")
    return ops.relu(1.0 - ops.abs(distance))


def _resample_rows(x, weights):
    """Applies weights (B, height, H) to x (B, H, W, C)."""
    shape = ops.shape(x)
    x = ops.matmul(weights, ops.reshape(x, (shape[0], shape[1], shape[2] * shape[3])))
    return ops.reshape(x, (shape[0], ops.shape(x)[1], shape[2], shape[3]))


def _resample_columns(x, weights):
    """Applies weights (B, width, W) to x (B, H, W, C)."""
    if x.shape[3] == 1:
        x = ops.matmul(ops.squeeze(x, 3), ops.transpose(weights, (0, 2, 1)))
        return ops.expand_dims(x, 3)
    x = _resample_rows(ops.transpose(x, (0, 2, 1, 3)), weights)
    return ops.transpose(x, (0, 2, 1, 3))


def _check_size(name, value, smallest):
    if not isinstance(value, int) or value < smallest:
        raise ValueError(
            f"RandomResizedCrop expects {name} to be a whole number of pixels, {smallest} or more; "
            f"received {value!r}. Correct the argument."
        )


def _checked_range(name, value, upper=float("inf")):
    """Returns the range as a tuple of two floats."""
    is_pair = isinstance(value, (tuple, list)) and len(value) == 2
    if not is_pair or not 0.0 < value[0] <= value[1] <= upper:
        raise ValueError(
            f"RandomResizedCrop expects {name} as (low, high) with 0 < low <= high <= {upper}; "
            f"received {value}. Correct the range."
        )
    return (float(value[0]), float(value[1]))
