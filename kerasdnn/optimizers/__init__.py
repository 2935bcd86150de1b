"""Learning-rate schedules and optimizers that Keras lacks."""

from kerasdnn.optimizers.masked import Masked
from kerasdnn.optimizers.schedules import OneCycle, Warmup

__all__ = ["Masked", "OneCycle", "Warmup"]
