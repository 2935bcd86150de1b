"""Images into tokens."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdnn")
class PatchEmbedding(keras.layers.Layer):
    """Cuts an image into square patches and projects each linearly: the tokens of a ViT.

    Args:
        patch_size: int, side of a patch; height and width must be multiples of it.
        width: int, width of a token.
        flatten: bool; False keeps the grid of patches, the shape that the 2-D
            `SinePositionEncoding` takes. Defaults to True.

    Input shape: `(B, height, width, C)`. Output shape: `(B, T, D)`, row by row, or
    `(B, rows, columns, D)` with `flatten=False`.

    Raises:
        ValueError: if the image has another rank, its size is not known, or is not a multiple of
            the patch.

    Example:
    >>> PatchEmbedding(7, 16)(np.ones((2, 28, 28, 1))).shape == (2, 16, 16)
    True

    References:
        Dosovitskiy et al. (2021), An Image is Worth 16x16 Words, arXiv:2010.11929
    """

    def __init__(self, patch_size, width, *, flatten=True, **kwargs):
        super().__init__(**kwargs)
        for name, number in (("patch_size", patch_size), ("width", width)):
            if not isinstance(number, int) or number <= 0:
                raise ValueError(
                    f"PatchEmbedding expects {name} as a positive integer; received {number!r}. "
                    "Give a number of pixels for patch_size and of channels for width."
                )
        self.patch_size = patch_size
        self.width = width
        self.flatten = flatten
        self.projection = keras.layers.Dense(width, dtype=self.dtype_policy, name="projection")

    def build(self, input_shape):
        self._grid(input_shape)
        self.projection.build((None, None, self.patch_size**2 * input_shape[-1]))

    def call(self, x):
        # A reshape and a product: the same numbers as a convolution of stride patch_size.
        rows, columns = self._grid(x.shape)
        size, channels = self.patch_size, x.shape[-1]
        x = ops.reshape(x, (-1, rows, size, columns, size, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (B, rows, columns, size, size, C)
        grid = (rows * columns,) if self.flatten else (rows, columns)
        return self.projection(ops.reshape(x, (-1, *grid, size * size * channels)))

    def compute_output_shape(self, input_shape):
        rows, columns = self._grid(input_shape)
        grid = (rows * columns,) if self.flatten else (rows, columns)
        return (input_shape[0], *grid, self.width)

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "width": self.width,
            "flatten": self.flatten,
        }

    def _grid(self, shape):
        size = self.patch_size
        if len(shape) != 4 or None in shape[1:] or shape[1] % size or shape[2] % size:
            raise ValueError(
                f"PatchEmbedding expects images (B, height, width, C) of a fixed size that is a "
                f"multiple of {size}; received {tuple(shape)}. Resize, pad or crop them first."
            )
        return shape[1] // size, shape[2] // size
