"""Callbacks for training: what it does, and what it should do."""

from kerasdnn.callbacks.ema import ModelEMA
from kerasdnn.callbacks.exact_resume import ExactResume
from kerasdnn.callbacks.gradient_monitor import GradientMonitor
from kerasdnn.callbacks.lr_finder import LRFinder, LRFindResult, lr_find
from kerasdnn.callbacks.probes import CollapseMeter, KNNProbe, LinearProbe
from kerasdnn.callbacks.pruning import PruneToSparsity
from kerasdnn.callbacks.samples import ImageGrid
from kerasdnn.callbacks.stop_on_nan import StopOnNaN
from kerasdnn.callbacks.training_doctor import TrainingDoctor

__all__ = [
    "CollapseMeter",
    "ExactResume",
    "GradientMonitor",
    "ImageGrid",
    "KNNProbe",
    "LRFindResult",
    "LRFinder",
    "LinearProbe",
    "ModelEMA",
    "PruneToSparsity",
    "StopOnNaN",
    "TrainingDoctor",
    "lr_find",
]
