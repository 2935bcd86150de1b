"""Losses that Keras lacks, computed in float32 whatever the dtype policy."""

from kerasdnn.losses.adversarial import (
    HingeGAN,
    NonSaturatingGAN,
    WassersteinGAN,
    gradient_penalty,
)
from kerasdnn.losses.classification import SparseCategoricalCrossentropy
from kerasdnn.losses.contrastive import InfoNCE, NTXent, SupCon

__all__ = [
    "HingeGAN",
    "InfoNCE",
    "NTXent",
    "NonSaturatingGAN",
    "SparseCategoricalCrossentropy",
    "SupCon",
    "WassersteinGAN",
    "gradient_penalty",
]
