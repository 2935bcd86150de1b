"""Deep-learning recipes for Keras 3, and the layers, losses, callbacks and models under them.

Submodules are loaded on first use, so `import kerasdnn` costs almost nothing.

Shape letters used in every docstring and comment:
    B batch, H heads (or height), W width of an image, T target length, S source length,
    D width of a representation, C channels or classes, N samples, K entries of a queue, V views.
"""

import importlib
import os

# oneDNN's convolutions are about twice as fast as TensorFlow's own on CPUs with AVX2; TensorFlow
# switches them on by itself only on newer ones. Takes effect if TensorFlow is not imported yet;
# set TF_ENABLE_ONEDNN_OPTS=0 to keep them off.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Where there is no NVIDIA device, TensorFlow reports that as an error.
_NVIDIA = os.path.exists("/dev/nvidiactl")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if _NVIDIA else "3")

__version__ = "0.1.0"

_SUBMODULES = (
    "callbacks",
    "data",
    "diagnosis",
    "distributed",
    "launch",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "pruning",
    "runtime",
    "saving",
    "testing",
    "transfer",
    "tuning",
)

__all__ = ["__version__", *_SUBMODULES]


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"kerasdnn.{name}")
    raise AttributeError(f"module 'kerasdnn' has no attribute '{name}'")


def __dir__():
    return sorted(__all__)
