"""Learning-rate schedules and optimizers that Keras lacks."""

from kerasdnn.optimizers.masked import Masked
from kerasdnn.optimizers.observed import Observed
from kerasdnn.optimizers.schedules import OneCycle, Warmup

__all__ = ["Masked", "Observed", "OneCycle", "Warmup"]
