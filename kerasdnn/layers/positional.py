"""Where a token stands: encodings to add (sine, learned) and one to rotate by."""

import math

import keras
import numpy as np
from keras import ops


def _positions(length, start_index):
    """The float32 positions `start_index ... start_index + length - 1`.

    Never in the compute dtype: bfloat16 keeps 8 bits, so that positions above 256 would collide.
    """
    dtype = getattr(start_index, "dtype", "int32")
    if isinstance(start_index, float) or "int" not in keras.backend.standardize_dtype(dtype):
        raise ValueError(
            f"start_index expects an integer; received {start_index!r}. Cast it to int32, because "
            "a float would lose bits under mixed precision."
        )
    return ops.arange(length, dtype="float32") + ops.cast(start_index, "float32")


@keras.saving.register_keras_serializable(package="kerasdnn")
class SinePositionEncoding(keras.layers.Layer):
    """Sines and cosines of the position, for the caller to add to the tokens.

    Channel `2i` holds `sin(position / max_wavelength ** (2i / D))`, channel `2i + 1` the cosine.
    With a grid `(B, H, W, D)` the first half of the channels encodes the row and the second half
    the column. Computed in float32 and then cast, so that also under bfloat16 no two positions
    below 8,192 are alike.

    Args:
        max_wavelength: float, the slowest wave is this long, in units of 2 pi. Defaults to 10000.

    Call arguments:
        x: the tokens; only their shape and dtype matter.
        start_index: int or integer scalar tensor, position of the first token, for step-by-step
            decoding. Defaults to 0. Not for grids.

    Input shape: `(B, T, D)` or `(B, H, W, D)`. Output shape: the same.

    Raises:
        ValueError: if the rank is neither 3 nor 4, a grid has an odd number of channels or a
            start_index, or start_index is not an integer.

    Example:
    >>> encoding = SinePositionEncoding()(np.zeros((1, 2, 4), "float32"))
    >>> keras.ops.convert_to_numpy(encoding).astype("float64").round(2).tolist()
    [[[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]]

    References:
        Vaswani et al. (2017), Attention Is All You Need, arXiv:1706.03762
    """

    def __init__(self, max_wavelength=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.max_wavelength = float(max_wavelength)
        self.supports_masking = True

    def call(self, x, start_index=0):
        shape = ops.shape(x)
        width = x.shape[-1]
        if len(x.shape) == 3:
            encoding = self._table(_positions(shape[1], start_index), width)  # (T, D)
        else:
            self._check_grid(x.shape, start_index)
            rows = self._table(_positions(shape[1], 0), width // 2)[:, None]
            columns = self._table(_positions(shape[2], 0), width // 2)[None]
            half = (shape[1], shape[2], width // 2)
            encoding = ops.concatenate(
                [ops.broadcast_to(rows, half), ops.broadcast_to(columns, half)], axis=-1
            )  # (H, W, D)
        return ops.broadcast_to(ops.cast(encoding, self.compute_dtype), shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "max_wavelength": self.max_wavelength}

    def _table(self, positions, width):
        pairs = math.ceil(width / 2)
        frequencies = self.max_wavelength ** (-2.0 * np.arange(pairs) / width)
        angles = positions[:, None] * ops.convert_to_tensor(frequencies, "float32")
        waves = ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1)  # (T, D / 2, 2)
        return ops.reshape(waves, (-1, 2 * pairs))[:, :width]

    def _check_grid(self, shape, start_index):
        if len(shape) != 4:
            raise ValueError(
                "SinePositionEncoding expects (B, T, D) or (B, H, W, D); received "
                f"{tuple(shape)}. Reshape the tokens to one of the two."
            )
        if shape[-1] % 2:
            raise ValueError(
                "SinePositionEncoding expects an even number of channels for a grid; received "
                f"{shape[-1]}. Half of them encode rows, half columns: choose an even width."
            )
        if not isinstance(start_index, int) or start_index:
            raise ValueError(
                f"SinePositionEncoding expects no start_index for a grid; received {start_index!r}."
                " It is for sequences (B, T, D): leave it out."
            )


@keras.saving.register_keras_serializable(package="kerasdnn")
class LearnedPositionEmbedding(keras.layers.Layer):
    """One learned vector for each position, for the caller to add to the tokens.

    Args:
        max_length: int, number of positions that can be encoded.
        initializer: initializer of the table. Defaults to a normal of deviation 0.02.

    Call arguments:
        x: the tokens; only their shape and dtype matter.
        start_index: int or integer scalar tensor, position of the first token. Defaults to 0.

    Input shape: `(B, T, D)`, T at most `max_length`. Output shape: the same.

    Raises:
        ValueError: if the rank is not 3 or the sequence is longer than the table.

    Example:
    >>> LearnedPositionEmbedding(10)(np.zeros((2, 7, 4))).shape == (2, 7, 4)
    True

    References:
        Gehring et al. (2017), Convolutional Sequence to Sequence Learning, arXiv:1705.03122
    """

    def __init__(self, max_length, *, initializer=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(max_length, int) or max_length <= 0:
            raise ValueError(
                "LearnedPositionEmbedding expects max_length as a positive integer; received "
                f"{max_length!r}. Give the length of the longest sequence."
            )
        self.max_length = max_length
        self.initializer = (
            keras.initializers.RandomNormal(stddev=0.02)
            if initializer is None
            else keras.initializers.get(initializer)
        )
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(
                f"LearnedPositionEmbedding expects (B, T, D); received {tuple(input_shape)}. "
                "Flatten a grid to one axis of tokens first."
            )
        self.table = self.add_weight(
            name="table", shape=(self.max_length, input_shape[-1]), initializer=self.initializer
        )

    def call(self, x, start_index=0):
        last = (start_index if isinstance(start_index, int) else 0) + (x.shape[1] or 0)
        if last > self.max_length:
            raise ValueError(
                f"LearnedPositionEmbedding expects at most {self.max_length} positions; received "
                f"a sequence that ends at {last}. Truncate it or build with a greater max_length."
            )
        shape = ops.shape(x)
        # The integers of a float32 are exact up to 2 ** 24, so this loses no position.
        index = ops.cast(_positions(shape[1], start_index), "int32")
        return ops.broadcast_to(ops.take(self.table, index, axis=0), shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "initializer": keras.initializers.serialize(self.initializer),
        }


@keras.saving.register_keras_serializable(package="kerasdnn")
class RotaryEmbedding(keras.layers.Layer):
    """Rotates queries and keys by their position, so that their product knows the distance only.

    Channel j is paired with channel `j + D / 2`, and the pair is turned by
    `position / max_wavelength ** (2j / D)`. Apply it to queries and to keys, not to values.
    Rotated in float32, then cast back.

    Args:
        max_wavelength: float, the slowest wave is this long, in units of 2 pi. Defaults to 10000.

    Call arguments:
        x: queries or keys, split into heads.
        start_index: int or integer scalar tensor, position of the first token. Defaults to 0.

    Input shape: `(B, T, H, D)`, D even. Output shape: the same.

    Raises:
        ValueError: if the rank is not 4, D is odd or start_index is not an integer.

    Example:
    >>> x = np.array([1.0, 0.0]).reshape(1, 1, 1, 2)
    >>> turned = RotaryEmbedding()(x, start_index=1)    # by one radian: (cos 1, sin 1)
    >>> keras.ops.convert_to_numpy(turned).ravel().astype("float64").round(2).tolist()
    [0.54, 0.84]

    References:
        Su et al. (2021), RoFormer, arXiv:2104.09864
    """

    def __init__(self, max_wavelength=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.max_wavelength = float(max_wavelength)
        self.supports_masking = True

    def call(self, x, start_index=0):
        width = x.shape[-1]
        if len(x.shape) != 4 or width % 2:
            raise ValueError(
                f"RotaryEmbedding expects (B, T, H, D) with an even D; received {tuple(x.shape)}. "
                "Split the width into heads of an even size first."
            )
        frequencies = self.max_wavelength ** (-2.0 * np.arange(width // 2) / width)
        positions = _positions(ops.shape(x)[1], start_index)
        angles = positions[:, None] * ops.convert_to_tensor(frequencies, "float32")
        cosine, sine = ops.cos(angles)[:, None], ops.sin(angles)[:, None]  # (T, 1, D / 2)
        first, second = ops.split(ops.cast(x, "float32"), 2, axis=-1)
        # (a, b) -> (a cos - b sin, b cos + a sin)
        turned = [first * cosine - second * sine, second * cosine + first * sine]
        return ops.cast(ops.concatenate(turned, axis=-1), x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "max_wavelength": self.max_wavelength}
