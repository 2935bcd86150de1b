from kerasdnn.layers import PatchEmbedding
from kerasdnn.testing import check_layer

import keras
import numpy as np
import pytest


@pytest.mark.parametrize("flatten", [True, False])
def test_layer(flatten):
    check_layer(
        PatchEmbedding,
        {"patch_size": 2, "width": 5, "flatten": flatten},
        np.random.default_rng(0).normal(size=(3, 4, 6, 3)).astype("float32"),
        expected_output_shape=(3, 6, 5) if flatten else (3, 2, 3, 5),
        expected_weights=(2, 0, 0),
    )


def test_against_a_loop_over_patches():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype("float32")
    layer = PatchEmbedding(2, 5)
    y = keras.ops.convert_to_numpy(layer(x))
    kernel = keras.ops.convert_to_numpy(layer.projection.kernel)
    patches = [
        x[:, r : r + 2, c : c + 2].reshape(2, -1) for r in range(0, 4, 2) for c in range(0, 6, 2)
    ]
    np.testing.assert_allclose(y, np.stack(patches, axis=1) @ kernel, atol=1e-5)


def test_is_a_convolution_with_the_stride_of_its_kernel():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype("float32")
    layer = PatchEmbedding(2, 5, flatten=False)
    y = layer(x)
    kernel = keras.ops.reshape(layer.projection.kernel, (2, 2, 3, 5))
    convolved = keras.ops.conv(x, kernel, strides=2, padding="valid")
    np.testing.assert_allclose(*(keras.ops.convert_to_numpy(t) for t in (y, convolved)), atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 5, 6, 3), (2, 4, 3), (2, None, 6, 3)])
def test_rejects_what_it_cannot_cut(shape):
    with pytest.raises(ValueError, match=r"multiple of 2; received .* Resize"):
        PatchEmbedding(2, 5)(keras.Input(batch_shape=shape))


def test_rejects_a_patch_of_nothing():
    with pytest.raises(ValueError, match="patch_size as a positive integer; received 0"):
        PatchEmbedding(0, 5)
