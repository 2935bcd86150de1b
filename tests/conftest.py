"""What every test shares: a clean Keras, fixed seeds, no window system."""

import gc
import os
import sys
import time

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")

# Warnings of other people's code that we cannot answer; everything else is an error.
THIRD_PARTY_WARNINGS = (
    # Keras' variables (and numpy 2) whenever a variable becomes an array.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    # Keras Tuner, on every call of an oracle.
    "ignore:currentThread.. is deprecated:DeprecationWarning",
    "ignore:getName.. is deprecated:DeprecationWarning",
)


def pytest_configure(config):
    for line in THIRD_PARTY_WARNINGS:
        config.addinivalue_line("filterwarnings", line)


def pytest_collection_finish(session):
    """Leaves what was imported out of garbage collections, which would walk through TensorFlow."""
    gc.collect()
    gc.freeze()  # Keras Tuner alone collects twice before each trial


@pytest.fixture(autouse=True)
def clean_keras():
    """Gives each test float32, seed 0 and fresh layer names, and leaves nothing behind."""
    _reset_keras()
    begin = time.perf_counter()
    yield
    _reset_keras()
    if time.perf_counter() - begin > LONG:
        # Keras collects garbage whenever a session is cleared, which Keras Tuner does each trial;
        # what hundreds of earlier tests have left alive need not be searched through every time.
        gc.collect()
        gc.freeze()


LONG = 0.5  # seconds of a test that has built something worth a collection


def _reset_keras():
    keras = sys.modules.get("keras")  # a test of the command line may never import it
    if keras is None:
        return
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
