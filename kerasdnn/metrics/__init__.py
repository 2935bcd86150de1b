"""Metrics that Keras lacks."""

from kerasdnn.metrics.sequence import PhonemeErrorRate, WordErrorRate

__all__ = ["PhonemeErrorRate", "WordErrorRate"]
