"""Commands of traces: call trees of jobs and of programs in use, and how these are used."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.views import Note
from skillfleet_nb.errors import InputError, ServerError
from skillfleet_nb.format import counted
from skillfleet_nb.runs.interrupts import keep_from_here

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.tracing.traces import Traces
    from skillfleet_nb.tracing.usage import Usage

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


_MONITOR = """Show a program in use: calls a minute, success, latency, tokens, cost, quality, and its newest calls.

A program is monitored with sf.monitored(program, sample=0.1), by any process of the home. In a notebook the view is
live. With --watch each change is told in a line, until it is interrupted."""
_POLL_S, _MOST_S = 0.2, 86_400.0


@command(
    "monitor",
    "a program in use, live: calls, success, latency, tokens, cost, quality",
    argument("name", metavar="MONITORED", help="what a program is monitored as, or the variable that holds it"),
    argument("--window", default="1h", metavar="TIME", help="how far to look back: 15m, 1h, 1d (1h)"),
    argument("--watch", action="store_true", help="tell each change in a line, until interrupted"),
    argument("--every", type=float, default=2.0, metavar="SECONDS", help="with --watch: time between looks (2)"),
    about=_MONITOR,
    examples=("monitor support-intents", "monitor support-intents --window 1d --watch"),
    task="Keep",
    place=93,
)
def _monitor(c: Context, a: argparse.Namespace) -> Usage:
    value: Any = c.namespace.get(a.name)
    program = value if type(value).__name__ == "Monitored" else a.name
    usage = c.fleet.usage(program, window=a.window)
    return _followed(c, a, usage) if a.watch else usage


def _followed(c: Context, a: argparse.Namespace, usage: Usage) -> Usage:
    """Tell what changes until an interrupt; return how it stood then."""
    if not 0 < a.every <= _MOST_S:
        raise InputError(f"--every {a.every:g}: give seconds, above 0 and up to a day.")
    c.say(usage)
    interrupts, said, looks = keep_from_here(), usage.last_at, time.monotonic()
    while not interrupts.count:
        time.sleep(min(a.every, _POLL_S))
        if time.monotonic() - looks < a.every:
            continue
        looks = time.monotonic()
        try:
            usage = usage.again()
        except ServerError as exc:
            c.say(Note(f"{exc} It is asked again."))
            continue
        if usage.last_at != said:
            said = usage.last_at
            c.say(Note(f"{datetime.now(UTC):%H:%M:%S} {usage.line()}"))
    return usage
