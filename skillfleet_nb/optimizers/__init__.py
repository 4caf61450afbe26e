"""DSPy's optimizers behind one interface, found by name through entry points.

What the author of a plugin needs is here, and nothing else of the package is needed.
"""

from skillfleet_nb.errors import InputError
from skillfleet_nb.optimizers.base import (
    Bred,
    Changes,
    Decision,
    MemberResult,
    Optimizer,
    OptimizerParams,
    Preset,
    Proposals,
    Scoring,
    ShareDecision,
    SideBySide,
    Task,
    TaskMetric,
    Tier,
)
from skillfleet_nb.optimizers.registry import available, create, load
from skillfleet_nb.optimizers.rehearsal import Calls, Rehearsal, Shape, State, Use, rehearsed

__all__ = [
    "Bred",
    "Calls",
    "Changes",
    "Decision",
    "InputError",
    "MemberResult",
    "Optimizer",
    "OptimizerParams",
    "Preset",
    "Proposals",
    "Rehearsal",
    "Scoring",
    "Shape",
    "ShareDecision",
    "SideBySide",
    "State",
    "Task",
    "TaskMetric",
    "Tier",
    "Use",
    "available",
    "create",
    "load",
    "rehearsed",
]
