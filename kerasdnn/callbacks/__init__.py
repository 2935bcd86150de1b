"""Callbacks for training: what it does, and what it should do."""

from kerasdnn.callbacks.pruning import PruneToSparsity

__all__ = ["PruneToSparsity"]
