"""Searches over hyper-parameters on Keras Tuner's engine, without wasted trials."""

from kerasdnn.tuning.early_ending import EarlyEnding
from kerasdnn.tuning.hyperband import ContinuingHyperband
from kerasdnn.tuning.oracles import NoRepeatBayesianOracle, ResumableGridOracle
from kerasdnn.tuning.table import trial_table
from kerasdnn.tuning.tune import Tuned, tune
from kerasdnn.tuning.tuners import NoRepeatBayesian, ResumableGrid
from kerasdnn.tuning.workers import run_workers

__all__ = [
    "ContinuingHyperband",
    "EarlyEnding",
    "NoRepeatBayesian",
    "NoRepeatBayesianOracle",
    "ResumableGrid",
    "ResumableGridOracle",
    "Tuned",
    "run_workers",
    "trial_table",
    "tune",
]
