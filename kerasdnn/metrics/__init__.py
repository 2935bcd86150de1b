"""Metrics that Keras lacks."""

from kerasdnn.metrics.frechet import FrechetDistance, KernelDistance
from kerasdnn.metrics.sequence import PhonemeErrorRate, WordErrorRate

__all__ = ["FrechetDistance", "KernelDistance", "PhonemeErrorRate", "WordErrorRate"]
