"""Training sets: identity of examples, splits, checks, and the sets that ship with the package."""

from __future__ import annotations

from skillfleet_nb.trainset.analysis import analyze
from skillfleet_nb.trainset.checks import Finding, check_examples, check_leaks
from skillfleet_nb.trainset.identity import example_id
from skillfleet_nb.trainset.load import to_examples
from skillfleet_nb.trainset.report import TrainsetReport
from skillfleet_nb.trainset.splits import Splits, make_splits

__all__ = [
    "Finding",
    "Splits",
    "TrainsetReport",
    "analyze",
    "check_examples",
    "check_leaks",
    "example_id",
    "make_splits",
    "to_examples",
]
