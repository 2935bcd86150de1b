import os
import random

from kerasdnn import backend
from kerasdnn.runtime import seed_everything

import keras
import numpy as np
import pytest


def draw():
    return (
        random.random(),
        np.random.random(),  # noqa: NPY002 - the global generator is what is seeded
        float(keras.random.normal(())),
        float(keras.initializers.GlorotUniform()((1, 1))[0, 0]),
    )


def test_same_seed_same_numbers_everywhere():
    seed_everything(5)
    first = draw()
    assert all(a != b for a, b in zip(first, draw(), strict=True))
    seed_everything(5)
    assert draw() == first
    seed_everything(6)
    assert all(a != b for a, b in zip(first, draw(), strict=True))


def train():
    seed_everything(3)
    x = np.linspace(-1, 1, 40, dtype="float32").reshape(10, 4)
    layers = [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    model.fit(x, x[:, :3], batch_size=5, verbose=0)
    return model.get_weights()[0]


def test_same_seed_same_training():
    np.testing.assert_array_equal(train(), train())


def test_deterministic_kernels_only_when_asked(monkeypatch):
    calls = []
    module = backend.current()
    monkeypatch.setattr(module, "enable_determinism", lambda: calls.append("on"))
    seed_everything(0)
    assert calls == []
    seed_everything(0, deterministic=True)
    assert calls == ["on"]


def test_backend_switches_to_deterministic_kernels(monkeypatch):
    name = keras.backend.backend()
    if name == "tensorflow":
        # TensorFlow has no public way to ask or to go back.
        config = pytest.importorskip("tensorflow.python.framework.config")
        backend.current().enable_determinism()
        on = config.is_op_determinism_enabled()
        config.disable_op_determinism()
    elif name == "torch":
        torch = pytest.importorskip("torch")
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
        backend.current().enable_determinism()
        on = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)
    else:
        monkeypatch.setenv("XLA_FLAGS", "--xla_some_flag=1")
        backend.current().enable_determinism()
        backend.current().enable_determinism()
        on = os.environ["XLA_FLAGS"] == "--xla_some_flag=1 --xla_gpu_deterministic_ops=true"
    assert on


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5])
def test_seed_outside_of_the_range(seed):
    with pytest.raises(ValueError, match=f"whole number in .* received {seed}"):
        seed_everything(seed)
