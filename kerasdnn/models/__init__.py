"""Models that train in their own way, as plain `keras.Model`: compile, fit, save, load."""

from kerasdnn.models.moco import MoCo
from kerasdnn.models.simclr import SimCLR

__all__ = [
    "MoCo",
    "SimCLR",
]
