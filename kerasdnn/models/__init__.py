"""Models that train in their own way, as plain `keras.Model`: compile, fit, save, load."""

from kerasdnn.models.distiller import Distiller
from kerasdnn.models.gan import GAN
from kerasdnn.models.moco import MoCo
from kerasdnn.models.pretext import ColorPretext, RotationPretext
from kerasdnn.models.simclr import SimCLR

__all__ = [
    "GAN",
    "ColorPretext",
    "Distiller",
    "MoCo",
    "RotationPretext",
    "SimCLR",
]
