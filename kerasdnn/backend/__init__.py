"""What differs by backend, one small module each with the same functions."""

import importlib

import keras


def current():
    """Returns the module of `kerasdnn.backend` that belongs to Keras' active backend."""
    return importlib.import_module(f"kerasdnn.backend.{keras.backend.backend()}")
