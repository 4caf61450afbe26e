"""Commands that ask the home: in SQL, and for the installed optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.views import OptimizerTable, Table
from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context


_SQL = """Ask the home anything in SQL; a query can only read.

An interrupt ends it within two seconds. So do its limits, which are settings: sql_seconds (300) and
sql_memory_gb (2)."""


@command(
    "sql",
    "ask anything in SQL: jobs, trials, scores, lm_calls, programs, events",
    argument("query", nargs="*", help="the query; or the cell's text under %%%%skillfleet sql"),
    argument("-o", dest="output", metavar="NAME", help="put the data frame into this variable"),
    argument("--limit", type=int, default=50, metavar="N", help="rows shown (50)"),
    about=_SQL,
    examples=('sql "select name, best_score, cost_usd from jobs"', "%%skillfleet sql -o frame"),
    task="Learn from runs",
    place=8,
)
def _sql(c: Context, a: argparse.Namespace) -> Table:
    query = " ".join(a.query) or (c.cell or "")
    if not query.strip():
        raise InputError("sql needs a query: for example  sql select name, best_score from jobs")
    if a.limit < 1:
        raise InputError(f"--limit {a.limit}: give 1 or more")
    frame = c.fleet.sql(query, c.namespace)
    if a.output:
        c.namespace[a.output] = frame
    return Table(frame, limit=a.limit)


@command(
    "optimizers",
    "list optimizers: what they change, need and take",
    argument("name", nargs="?", metavar="OPTIMIZER", help="list the parameters of this one"),
    examples=("optimizers", "optimizers gepa"),
    task="Prepare",
    place=5,
)
def _optimizers(c: Context, a: argparse.Namespace) -> OptimizerTable:
    return OptimizerTable(c.fleet.optimizers(a.name))
