"""Learning-rate schedules and optimizers that Keras lacks."""

from kerasdnn.optimizers.schedules import OneCycle, Warmup

__all__ = ["OneCycle", "Warmup"]
