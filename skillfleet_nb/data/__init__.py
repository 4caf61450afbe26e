"""Training sets: identity of examples, splits, checks, and the sets that ship with the package."""

from __future__ import annotations

from skillfleet_nb.data.analysis import analyze
from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.data.checks import Issue, check_examples, check_leaks
from skillfleet_nb.data.identity import example_id
from skillfleet_nb.data.load import first_row, records, to_examples
from skillfleet_nb.data.splits import Splits, make_splits
from skillfleet_nb.data.trainset_report import TrainsetReport

__all__ = [
    "Issue",
    "Splits",
    "TrainsetReport",
    "analyze",
    "bundled",
    "check_examples",
    "check_leaks",
    "example_id",
    "first_row",
    "make_splits",
    "records",
    "to_examples",
]
