"""The machine and the run: the fastest settings, seeds, facts for a result file."""

from kerasdnn.runtime.autotune import autotune
from kerasdnn.runtime.environment import environment
from kerasdnn.runtime.seed import seed_everything

__all__ = ["autotune", "environment", "seed_everything"]
