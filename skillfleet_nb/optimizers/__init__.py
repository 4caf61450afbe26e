"""DSPy's optimizers behind one interface, found by name through entry points."""

from skillfleet_nb.optimizers.base import Calls, Metric, Optimizer, OptimizerParams, Shape, Task
from skillfleet_nb.optimizers.registry import available, create

__all__ = ["Calls", "Metric", "Optimizer", "OptimizerParams", "Shape", "Task", "available", "create"]
