"""Searches over hyper-parameters on Keras Tuner's engine, without wasted trials."""

from kerasdnn.tuning.oracles import (
    NoRepeatBayesian,
    NoRepeatBayesianOracle,
    ResumableGrid,
    ResumableGridOracle,
)

__all__ = ["NoRepeatBayesian", "NoRepeatBayesianOracle", "ResumableGrid", "ResumableGridOracle"]
