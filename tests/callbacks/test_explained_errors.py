"""Errors of a training that say what to do."""

from kerasdnn.errors import InputError
from kerasdnn.resume import exact_fit

import keras
import numpy as np
import pytest


def model():
    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    net.compile("sgd", "mse", jit_compile=False)
    return net


class Batches(keras.utils.PyDataset):
    """Four batches; the third one fails as it is told."""

    def __init__(self, fail):
        super().__init__()
        self.fail = fail

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 2:
            self.fail()
        return np.ones((2, 1), "float32"), np.ones((2, 1), "float32")


def test_the_words_of_the_data_set_are_not_buried():
    def fail():
        raise OSError("photograph 7 cannot be read")

    with pytest.raises(OSError, match="photograph 7 cannot be read"):
        exact_fit(model(), Batches(fail), epochs=1, shuffle=False)


def test_memory_that_is_too_small_for_a_batch():
    with pytest.raises(InputError, match="memory is too small for this training"):
        exact_fit(model(), Batches(lambda: np.zeros(10**15)), epochs=1, shuffle=False)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others fail while compiling")
def test_memory_that_is_too_small_for_a_layer():
    layers = [keras.layers.ZeroPadding1D((0, 2 * 10**9)), keras.layers.GlobalMaxPooling1D()]
    net = keras.Sequential([keras.Input((1, 1)), *layers, keras.layers.Dense(1)])
    net.compile("sgd", "mse", jit_compile=False)
    x = np.zeros((64, 1, 1), "float32")  # 512 GB after the padding
    with pytest.raises(InputError, match="with batches of 64"):
        exact_fit(net, x, x[:, 0], epochs=1, batch_size=64)


@pytest.mark.parametrize("reading", [2, 3, 4])
def test_weights_survive_an_error_in_one_of_the_first_steps(tmp_path, reading):
    class Once(Batches):
        """Fails when it is read for the n-th time; the first is for the checksum of the data."""

        def __init__(self):
            super().__init__(None)
            self.left = reading

        def __getitem__(self, index):
            self.left -= 1
            if not self.left:
                raise OSError("gone")
            return np.ones((2, 1), "float32"), np.ones((2, 1), "float32")

    net = model()
    with pytest.raises(OSError, match="gone"):
        exact_fit(net, Once(), epochs=1, resume_dir=tmp_path)
    assert np.isfinite(net.get_weights()[0]).all()
    net.predict(np.ones((2, 1)), verbose=0)
