"""Learning-rate schedules and optimizers that Keras lacks."""

from kerasdnn.optimizers.adaptive_clip import AdaptiveClip
from kerasdnn.optimizers.layer_decay import LayerDecay, layer_decay
from kerasdnn.optimizers.masked import Masked
from kerasdnn.optimizers.observed import Observed
from kerasdnn.optimizers.schedules import OneCycle, Warmup

__all__ = [
    "AdaptiveClip",
    "LayerDecay",
    "Masked",
    "Observed",
    "OneCycle",
    "Warmup",
    "layer_decay",
]
