"""Commands for authors of plugins: the conformance suites."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.resolve import pairs

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.testing import Conformance

_OPTIMIZER = """Try an optimizer on small tasks with the offline model; say what it does not keep to, and what to do.

It need not be installed: name it as module:Class, or as a variable of the notebook. Each run is a process of its own in
a home that is thrown away. In a shell the exit status is 1 where a check failed."""
_METRIC = """Try a metric on the right answers to examples, and on wrong ones, and say what it does not keep to.

No model is asked; a metric that asks one cannot be tried so. In a shell the exit status is 1 where a check failed."""

_metrics = group("metrics", "metrics: check one of your own", task="Prepare", place=9)


@command(
    "optimizers check",
    "try an optimizer of your own: what it keeps to, what not and why",
    argument("optimizer", metavar="CLASS", help="mypackage:MyOptimizer, a variable, or an installed one by name"),
    argument("--set", dest="params", action="append", default=[], metavar="KEY=VALUE", help="a parameter of it"),
    argument("--timeout", type=float, default=300.0, metavar="S", help="seconds that each run may take (300)"),
    about=_OPTIMIZER,
    examples=("optimizers check mypackage:MyOptimizer", "optimizers check copro --set breadth=2 --set depth=1"),
)
def _check_optimizer(c: Context, a: argparse.Namespace) -> Conformance:
    from skillfleet_nb.optimizers.registry import available, load
    from skillfleet_nb.testing import check_optimizer

    named = a.optimizer not in c.namespace and a.optimizer in available()
    cls = load(a.optimizer) if named else c.object(a.optimizer, "optimizer")
    params = pairs(a.params, "--set key=value", "--set k=4")
    return check_optimizer(cls, params, timeout_s=a.timeout, count=c.counting("checking"))


@command(
    "metrics check",
    "try a metric of your own on examples: what it keeps to, what not and why",
    argument("metric", metavar="METRIC", help="mymodule:metric, a variable, or an installed one by name"),
    argument("--data", required=True, metavar="DATA", help="examples with the right values"),
    argument("--inputs", default="", metavar="FIELDS", help="which fields are inputs: names with commas between"),
    about=_METRIC,
    examples=(
        "%skillfleet metrics check metric --data train",
        "metrics check mymodule:metric --data train.csv --inputs text",
    ),
)
def _check_metric(c: Context, a: argparse.Namespace) -> Conformance:
    from skillfleet_nb.testing import check_metric

    fields = [name.strip() for name in a.inputs.split(",") if name.strip()]
    return check_metric(c.metric(a.metric), c.rows(a.data, "data"), inputs=fields, count=c.counting("checking"))
