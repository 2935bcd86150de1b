"""Losses that Keras lacks, computed in float32 whatever the dtype policy."""

from kerasdnn.losses.classification import SparseCategoricalCrossentropy

__all__ = ["SparseCategoricalCrossentropy"]
