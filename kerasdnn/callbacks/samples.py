"""What a generator makes, as a picture after every epoch."""

import io
import pathlib

from kerasdnn.results import write_bytes

import keras
import numpy as np


class ImageGrid(keras.callbacks.Callback):
    """Writes a PNG grid of generated images after every epoch, always from the same latent vectors.

    Files are `<folder>/epoch-0001.png` and so on, so that one can see the same images change.

    Args:
        folder: where to write; made when missing.
        sample: function without arguments that returns images `(N, H, W, C)` with C of 1 or 3.
            Default None: `model.generate(rows * columns, seed=seed)`.
        rows: int of 1 or more. Default 8.
        columns: int of 1 or more. Default 8.
        value_range: pair of floats, the values of black and white. Default `(-1, 1)`.
        every: int, epochs from one grid to the next; the last epoch always has one. Default 1.
        seed: int, of the latent vectors. Default 0.

    Raises:
        ValueError: no row or column, or images of another shape.

    Example:
    >>> import tempfile
    >>> grid = ImageGrid(tempfile.mkdtemp(), lambda: np.zeros((4, 8, 8, 1)), rows=2, columns=2)
    >>> grid.write("first").name
    'first.png'
    """

    def __init__(
        self,
        folder,
        sample=None,
        *,
        rows=8,
        columns=8,
        value_range=(-1, 1),
        every=1,
        seed=0,
    ):
        super().__init__()
        if rows < 1 or columns < 1 or not value_range[0] < value_range[1]:
            raise ValueError(
                "ImageGrid expects at least one row and one column and value_range=(low, high); "
                f"received {rows}, {columns} and {value_range}. 8, 8 and (-1, 1) are usual."
            )
        self.folder, self.sample = pathlib.Path(folder), sample
        self.rows, self.columns, self.seed = rows, columns, seed
        self.value_range, self.every = value_range, every

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params.get("epochs"):
            self.write(f"epoch-{epoch + 1:04d}")

    def write(self, name):
        """Writes `<folder>/<name>.png`; returns its path."""
        from PIL import Image

        count = self.rows * self.columns
        images = self.sample() if self.sample else self.model.generate(count, seed=self.seed)
        pixels = grid(images, self.rows, self.columns, self.value_range)
        data = io.BytesIO()
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(data, "png")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.png"
        write_bytes(path, data.getvalue())
        return path


def grid(images, rows, columns, value_range=(-1, 1)):
    """Returns images `(N, H, W, C)` side by side as uint8 `(rows * H, columns * W, C)`."""
    images = np.asarray(images, "float32")
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or len(images) < rows * columns:
        raise ValueError(
            f"ImageGrid expects at least {rows * columns} images (N, H, W, 1) or (N, H, W, 3); "
            f"received {images.shape}. Reduce rows and columns, or make more."
        )
    low, high = value_range
    images = (np.nan_to_num(images[: rows * columns]) - low) / (high - low)
    pixels = np.round(images.clip(0, 1) * 255).astype("uint8")
    _, height, width, channels = pixels.shape
    pixels = pixels.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return pixels.reshape(rows * height, columns * width, channels)
