"""Commands of A/B tests; each calls one facade method."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.views import Note, Parts, Table
from skillfleet_nb.data.load import records
from skillfleet_nb.errors import InputError
from skillfleet_nb.messages import as_typed

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_START = """Start an A/B test of registered programs: each unit, such as a user, is answered by one of them.

The first variant is the control. What is told of the others holds at every look, so a test may be looked at any time
and ended as soon as there is a winner. Guardrails end it where a variant costs too much."""
_STATUS = """Show how an A/B test stands: scores, the difference with bounds that hold at every look, and guardrails.

Without a name, all tests are listed."""

_ab = group(
    "ab",
    "A/B tests of registered programs: start, status, stop, promote",
    about="Compare registered programs in use, with statements that hold however often one looks.",
    task="Keep",
    place=90,
)


@command(
    "ab start",
    "begin a test of two or more versions",
    argument("name", metavar="NAME", help="what the test is called"),
    argument("variants", nargs="+", metavar="REF", help="A=NAME@VERSION B=NAME@ALIAS …, the control first"),
    argument("--split", metavar="SPLIT", help="shares such as 90:10, or ramp, or adaptive; default: equal shares"),
    argument("--metric", metavar="METRIC", help="what is scored; --replay scores by it"),
    argument("--alpha", type=float, default=0.05, metavar="RISK", help="risk of a wrong winner over all looks: 0.05"),
    argument("--effect", type=float, default=0.05, metavar="GAIN", help="difference to plan for, in [0, 1]: 0.05"),
    argument("--power", type=float, default=0.9, metavar="CHANCE", help="chance to find it as planned: 0.9"),
    argument("--margin", type=float, metavar="LOSS", help="ask whether the others are no worse by this much"),
    argument(
        "--guardrail", dest="guardrails", action="append", default=[], metavar="LIMIT", help="cost<=1.2x, latency<=2x"
    ),
    argument("--units", type=int, metavar="N", help="units there will be: says what so many can tell"),
    argument("--replay", metavar="DATA", help="answer these logged rows now, each a unit, and score them"),
    argument("--lm", metavar="LM", help="with --replay: variable, 'offline', 'local', or model name; default: dspy's"),
    argument("--max-calls", type=int, metavar="N", help="with --replay: calls that may be made"),
    about=_START,
    examples=(
        "ab start checkout A=support-intents@production B=support-intents@candidate --guardrail cost<=1.2x",
        "%skillfleet ab start offline A=intents@1 B=intents@2 --replay logged --metric metric --lm offline",
    ),
)
def _start(c: Context, a: argparse.Namespace) -> object:
    metric = None if a.metric is None else c.metric(a.metric)
    rows = c.rows(a.replay, "replay")
    options = {k: getattr(a, k) for k in ("split", "alpha", "effect", "power", "margin", "guardrails", "units")}
    lm = c.lm(a.lm)
    if rows is not None and metric is None:
        raise InputError("--replay scores what is answered: name the metric with --metric.")
    if rows is not None and options["units"] is None:
        options["units"] = len(records(rows, "replay"))
    status = c.fleet.start_ab(a.name, _variants(a.variants), metric=metric, **options)
    if rows is None or metric is None:
        use = f'route = fleet.ab("{a.name}"); answer = route(unit="user-17", …); route.feedback(answer, score)'
        return Parts([status, Note(use)])
    count = c.counting("replaying")
    return c.fleet.ab_tests.replay(a.name, rows, metric, lm=lm, max_calls=a.max_calls, count=count)


def _in_words(variants: str) -> str:
    return ", ".join(f"{label} = {ref}" for label, ref in json.loads(variants).items())


def _variants(words: list[str]) -> dict[str, str]:
    variants = {}
    for word in words:
        label, equals, ref = word.partition("=")
        if not (label and equals and ref):
            raise InputError(f"variant {word!r}: write LABEL=REF, such as A=support-intents@3.")
        if label in variants:
            raise InputError(f"variant {label!r} is given twice: choose another label.")
        variants[label] = ref
    return variants


@command(
    "ab status",
    "how a test stands, at any time",
    argument("name", nargs="?", metavar="TEST", help="the test; all are listed without one"),
    argument("--plot", action="store_true", help="draw the confidence sequence, and how the split changed, as well"),
    about=_STATUS,
    examples=("ab status checkout", "%skillfleet ab status checkout --plot"),
)
def _status(c: Context, a: argparse.Namespace) -> object:
    if a.name is None:
        listed = c.fleet.ab_tests.listing()
        listed = listed.assign(variants=listed.variants.map(_in_words))
        return Table(listed[["name", "state", "variants", "strategy", "started_at", "ended_at", "winner", "why"]])
    status = c.fleet.ab_status(a.name)
    if not a.plot:
        return status
    changes = len(status.test.splits) > 1
    return Parts([status, status.chart(), *([status.timeline()] if changes else [])])


@command(
    "ab stop",
    "end a test: the control answers all",
    argument("name", metavar="TEST", help="the test"),
    examples=("ab stop checkout",),
)
def _stop(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.ab_tests.stop(a.name)


@command(
    "ab promote",
    "set an alias to the winner, with the test as its evidence",
    argument("name", metavar="TEST", help="the test"),
    argument("--alias", default="production", metavar="WORD", help="the alias that is moved; default: production"),
    argument("--force", metavar="REASON", help="promote the best mean without a winner, and why"),
    examples=("ab promote checkout", "ab promote checkout --alias candidate"),
)
def _promote(c: Context, a: argparse.Namespace) -> object:
    move, status = c.fleet.ab_tests.promote(a.name, a.alias, force=a.force)
    ref = status.test.started.variants[status.test.ended.winner] if status.test.ended else ""
    undo = as_typed(f"program rollback {ref.partition('@')[0]} {a.alias}")
    undone = f"\n{undo} undoes it" if move.previous else ""
    return Note(f"{ref.partition('@')[0]}@{a.alias} is version {move.version}\n{status.sentence()}{undone}")
