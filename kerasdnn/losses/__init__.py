"""Losses that Keras lacks, computed in float32 whatever the dtype policy."""

from kerasdnn.losses.adversarial import (
    HingeGAN,
    NonSaturatingGAN,
    WassersteinGAN,
    gradient_penalty,
)
from kerasdnn.losses.classification import SparseCategoricalCrossentropy
from kerasdnn.losses.contrastive import InfoNCE, NTXent, SupCon
from kerasdnn.losses.distillation import AttentionMapKL, AttentionTransfer, SoftTargets

__all__ = [
    "AttentionMapKL",
    "AttentionTransfer",
    "HingeGAN",
    "InfoNCE",
    "NTXent",
    "NonSaturatingGAN",
    "SoftTargets",
    "SparseCategoricalCrossentropy",
    "SupCon",
    "WassersteinGAN",
    "gradient_penalty",
]
