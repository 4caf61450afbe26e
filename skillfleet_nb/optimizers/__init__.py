"""DSPy's optimizers behind one interface, found by name through entry points."""

from skillfleet_nb.optimizers.base import Metric, Optimizer, OptimizerParams, Preset, Task, Tier
from skillfleet_nb.optimizers.calls import Calls, Rehearsal, Shape, Use, rehearsed
from skillfleet_nb.optimizers.registry import available, create

__all__ = [
    "Calls",
    "Metric",
    "Optimizer",
    "OptimizerParams",
    "Preset",
    "Rehearsal",
    "Shape",
    "Task",
    "Tier",
    "Use",
    "available",
    "create",
    "rehearsed",
]
