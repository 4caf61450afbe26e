"""Commands that look for drift; each calls one facade method."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.views import Note, Parts, Table
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted
from skillfleet_nb.runs.interrupts import keep_from_here

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.monitoring.drift_report import DriftReport
    from skillfleet_nb.monitoring.ticker import Ticker

_CHECK = """Test whether a registered program is still asked what it was made for, and answers as it did.

--kinds says what is looked for: input (live inputs come from elsewhere), output (live answers are others), quality (it
scores lower on its golden set), model (the model behind the name answers the same prompts otherwise). Each is a test
with a stated risk of a false alarm, which all checks of a program share: however often one looks, the risk stays
--alpha. Where there is too little to tell, it says how much is needed. A shell's exit code is 1 on an alarm."""
_WATCH = """Check a registered program again and again, in this process, until it is stopped.

In a notebook it goes on beside your work, and an alarm is shown as it comes; in a shell it holds the line until it is
interrupted, and the exit code is 1 if there was an alarm. Data in files are read anew each time. Nothing is left
running when the process ends."""
_POLL_S = 0.2

_drift = group(
    "drift",
    "is a program still asked what it was made for, and as good? check, watch, history, report",
    about="Look whether what a registered program is asked, what it answers, or its model has changed.",
    task="Keep",
    place=91,
)

_OPTIONS = (
    argument("name", metavar="REF", help="NAME@ALIAS or NAME@VERSION"),
    argument("--inputs", metavar="DATA", help="live rows: inputs, and for 'output' the answers as well"),
    argument(
        "--kinds", metavar="KINDS", default="input", help="input, output, quality, model, or several: input,model"
    ),
    argument("--reference", metavar="DATA", help="rows to compare with; default: those its job trained on"),
    argument("--golden", metavar="GOLDEN", help="the golden set, for 'quality' and 'model'; default: NAME"),
    argument("--metric", metavar="METRIC", help="that the golden set is scored by; default: that of the job"),
    argument("--lm", metavar="LM", help="that answers the golden set; default: dspy's, or the job's"),
    argument("--alpha", type=float, default=0.01, metavar="RISK", help="of a false alarm over all checks: 0.01"),
    argument("--seed", type=int, default=0, metavar="N", help="of the permutations"),
)


@command(
    "drift check",
    "test what a program is asked and answers against what it was",
    *_OPTIONS,
    argument("--plot", action="store_true", help="draw all checks of it, a map of inputs, shares of answers as well"),
    about=_CHECK,
    examples=(
        "drift check support-intents@production --inputs live.parquet --alpha 0.01",
        "drift check support-intents@production --kinds quality,model",
    ),
)
def _check(c: Context, a: argparse.Namespace) -> object:
    report = c.fleet.drift.check(a.name, _live(c, a), progress=c.counting("embedding"), **_asked(c, a))
    return ReportWithCharts(c, report) if a.plot else report


@command(
    "drift watch",
    "check again and again, until it is stopped",
    *_OPTIONS,
    argument("--every", metavar="TIME", default="1h", help="from one check to the next: 90s, 15m, 1h, 1d"),
    argument("--times", type=int, metavar="N", help="end after so many checks"),
    argument("--stop", action="store_true", help="end the watch of this name"),
    about=_WATCH,
    examples=("drift watch support-intents@production --inputs live.parquet --every 1h", "drift watch intents --stop"),
)
def _watch(c: Context, a: argparse.Namespace) -> Ticker:
    if a.stop:
        watch = c.fleet.drift.watched(a.name)
        watch.stop()
        return watch
    if a.times is not None and a.times < 1:
        raise InputError(f"--times {a.times}: give a number of checks, from 1.")
    live = partial(_live, c, a) if a.inputs is not None else None
    if live is not None:
        live()  # what cannot be read is said now
    asked = {**_asked(c, a), "alert": c.say, "times": a.times}
    watch = c.fleet.drift.watch(a.name, live, every=a.every, **asked)
    return watch if c.stays else held(watch)


def held(ticker: Ticker) -> Ticker:
    """Wait in a shell until something that goes on is over, which an interrupt asks for."""
    interrupts = keep_from_here()
    while not ticker.wait(_POLL_S):
        if interrupts.count:
            ticker.stop()
    return ticker


@command(
    "drift history",
    "the checks so far",
    argument("name", nargs="?", metavar="CHECKED", help="what was checked; all without it"),
    argument("--plot", action="store_true", help="draw them; needs a name"),
    examples=(
        "drift history support-intents@production",
        "drift history support@production --plot",
    ),
)
def _history(c: Context, a: argparse.Namespace) -> object:
    table = Table(c.fleet.drift.history(a.name).drop(columns="sentence"))
    return Parts([table, c.fleet.drift.chart(a.name)]) if a.plot and a.name else table


@command(
    "drift report",
    "how a program stands: its last check in words, all checks as a chart",
    argument("name", metavar="CHECKED", help="what was checked"),
    examples=("drift report support-intents@production",),
)
def _report(c: Context, a: argparse.Namespace) -> object:
    checks = c.fleet.drift.history(a.name)
    last = checks[checks.look == checks.look.max()]
    made, alarms = set(checks.look), set(checks.look[checks.alarm.astype(bool)])
    lines = [f"{a.name}: {counted(made, 'check')}, {counted(alarms, 'alarm')}; the last one:"]
    lines += [f"  {row.kind}: {row.sentence}" for row in last.itertuples()]
    shown = checks[["look", "at", "kind", "p_value", "spent", "divergence", "n", "alarm"]].iloc[::-1]
    return Parts([Note("\n".join(lines)), c.fleet.drift.chart(a.name), Table(shown, limit=20)])


@dataclass(frozen=True, repr=False)
class ReportWithCharts(Parts):
    """A report with its charts; its exit code is the report's."""

    ok: bool = True

    def __init__(self, c: Context, report: DriftReport) -> None:
        charts: list[Any] = [c.fleet.drift.chart(str(report.of))]
        charts += [report.map()] if report.vectors is not None else []
        charts += [report.share_chart()] if report.shares else []
        object.__setattr__(self, "answers", [report, *charts])
        object.__setattr__(self, "ok", report.ok)


def _live(c: Context, a: argparse.Namespace) -> Any:
    return c.rows(a.inputs, "inputs")


def _asked(c: Context, a: argparse.Namespace) -> dict[str, Any]:
    return {
        "kinds": [kind.strip() for kind in a.kinds.split(",") if kind.strip()],
        "rows": c.rows(a.reference, "reference"),
        "golden": a.golden,
        "metric": None if a.metric is None else c.metric(a.metric),
        "lm": c.lm(a.lm),
        "alpha": a.alpha,
        "seed": a.seed,
    }
