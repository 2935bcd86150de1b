"""Programs with a known fault, and healthy ones, for the doctor: one file for each family.

Re-created from the facts of published cases; image sizes and row counts are reduced where that does
not touch the fault.
"""

import dataclasses
import importlib
from collections.abc import Callable

FAMILIES = (
    "heads",
    "head_classes",
    "regression",
    "dynamics",
    "numerics",
    "seeds",
    "seeds_deep",
    "mutations",
    "healthy",
    "healthy_forms",
    "forum",
    "forum_images",
    "forum_healthy",
)
CASES = {}


@dataclasses.dataclass(frozen=True)
class Case:
    """One program.

    Attributes:
        name: unique name; of published cases their number.
        make: function of a seed that returns a `Program`.
        expect: ids of which the first finding must be one; empty for a healthy program.
        also: further findings that are right.
        family: "real", "synthetic", "healthy", "forum" or "forum, healthy".
        kind: class of the fault.
    """

    name: str
    make: Callable
    expect: frozenset
    also: frozenset
    family: str
    kind: str


def case(name, *expect, also=(), family="real", kind=""):
    """Registers the decorated function of a seed as a case."""

    def register(make):
        if name in CASES:
            raise ValueError(f"two cases are called {name}")
        CASES[name] = Case(name, make, frozenset(expect), frozenset(also), family, kind)
        return make

    return register


def load(*families):
    """Returns the cases of these families, or of all, by name."""
    for module in FAMILIES:
        importlib.import_module(f"benchmarks.programs.{module}")
    return {n: c for n, c in CASES.items() if not families or c.family in families}
