"""Commands of traces: call trees of jobs and of programs in use; each calls one facade method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.tracing.traces import Traces

_TRACES = """Show trees of calls: of a job by its trials, of a monitored program by its predictions.

Of a job, --example shows what was asked and answered for one example. Of a program, it takes the first characters of a
prediction's id. A program is monitored with sf.monitored(program, sample=0.1)."""


@command(
    "traces",
    "trees of calls of a job, or of a monitored program",
    argument("name", metavar="JOB", help="name or id of a job, or what a program is monitored as"),
    argument("--example", metavar="ID", help="one example of the job, or one prediction of the program"),
    argument("--limit", type=int, default=20, metavar="N", help="predictions shown (20)"),
    about=_TRACES,
    examples=("traces intents", "traces support-intents --example 8f2343ae"),
    task="Learn from runs",
    place=13,
)
def _traces(c: Context, a: argparse.Namespace) -> Traces:
    return c.fleet.traces(a.name, a.example, limit=a.limit)
