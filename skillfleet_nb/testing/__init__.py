"""Conformance suites for authors of plugins: what the product relies on, tried on the plugin as it runs.

Each check has a name, says what went wrong, and what to do next.  Nothing of a test framework is needed.

Examples
--------
::

    from skillfleet_nb.testing import CHECKS, check_optimizer

    assert check_optimizer(MyOptimizer, {"k": 2}).ok
"""

from skillfleet_nb.testing.metrics import check_metric
from skillfleet_nb.testing.optimizers import CHECKS, check_optimizer
from skillfleet_nb.testing.report import Check, Conformance

__all__ = ["CHECKS", "Check", "Conformance", "check_metric", "check_optimizer"]
