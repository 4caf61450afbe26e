"""Commands of traces: call trees of jobs and of programs in use; each calls one facade method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.views import Note
from skillfleet_nb.format import counted

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.tracing.traces import Traces

_TRACES = """Show trees of calls: of a job by its trials, of a monitored program by its predictions.

Of a job, --example shows what was asked and answered for one example. Of a program, it takes the first characters of a
prediction's id. A program is monitored with sf.monitored(program, sample=0.1).

--otlp sends all of them to a receiver of OpenTelemetry instead; that needs skillfleet-nb[otel]."""


@command(
    "traces",
    "trees of calls of a job, or of a monitored program",
    argument("name", metavar="TRACED", help="name or id of a job, or what a program is monitored as"),
    argument("--example", metavar="ID", help="one example of the job, or one prediction of the program"),
    argument("--limit", type=int, default=20, metavar="N", help="predictions shown (20)"),
    argument("--otlp", metavar="URL", help="send them to a receiver of OTLP/HTTP, such as http://127.0.0.1:4318"),
    about=_TRACES,
    examples=("traces intents", "traces support-intents --example 8f2343ae"),
    task="Learn from runs",
    place=13,
)
def _traces(c: Context, a: argparse.Namespace) -> Traces | Note:
    if a.otlp is not None:
        return Note(f"{counted(c.fleet.export_traces(a.name, a.otlp), 'span')} sent to {a.otlp}")
    return c.fleet.traces(a.name, a.example, limit=a.limit)
