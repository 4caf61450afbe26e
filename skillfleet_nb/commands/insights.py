"""Commands about what all runs say; each calls one facade method."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group, written
from skillfleet_nb.commands.views import Note, Table
from skillfleet_nb.format import counted
from skillfleet_nb.insights.outcomes import BY
from skillfleet_nb.messages import as_typed

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_INSIGHTS = """Say what the home's runs show, in ranked sentences, each with evidence and what to do.

Strong and moderate are held to how many looks were taken: the chance of any false one is 1% or 5%. Weak is a hint.
Nothing is said of fewer than eight runs. They are found anew each time, so what runs no longer support is gone."""
_ROI = """Reckon the return on money: what a point of score cost, and how much more an answer costs since.

With --value-per-point, what one point is worth over 1,000 answers, it says from how many answers on a run has paid for
itself. Costs are in USD: a value in another currency needs --rate."""
_SCORE = """Say what another so many calls would add to a job's best score on validation, with an 80% interval.

It goes by how the job's own curve rose and by the curves of the home's other runs; the job may still run."""

_BY = argument("--by", choices=tuple(BY), default="optimizer", help="what to group runs by (optimizer)")
_TASK = argument("--task", metavar="TASK", help="only runs of this task: a domain, a program, or a job on it")
_ID = argument("insight_id", metavar="INSIGHT", help="its id, such as i-1a2b3c4d")


@command(
    "insights",
    "what the runs say: ranked sentences with evidence and what to do",
    _TASK,
    argument("--all", dest="everything", action="store_true", help="what was dismissed too"),
    about=_INSIGHTS,
    examples=("insights", "insights --task support-intents"),
    task="Learn from runs",
    place=20,
)
def _insights(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.insights(a.task, everything=a.everything)


@command("insights accept", "take an insight as right", _ID, examples=("insights accept i-1a2b3c4d",))
def _accept(c: Context, a: argparse.Namespace) -> Note:
    return Note(f"accepted: {c.fleet.notes.decide(a.insight_id, 'accepted').text}")


@command("insights dismiss", "leave an insight out from now on", _ID, examples=("insights dismiss i-1a2b3c4d",))
def _dismiss(c: Context, a: argparse.Namespace) -> Note:
    text = c.fleet.notes.decide(a.insight_id, "dismissed").text
    return Note(f"dismissed: {text}\n{as_typed(f'insights undo {quote(a.insight_id)}')} brings it back")


@command("insights pin", "keep an insight in the knowledge base", _ID, examples=("insights pin i-1a2b3c4d",))
def _pin(c: Context, a: argparse.Namespace) -> Note:
    text = c.fleet.notes.decide(a.insight_id, "pinned").text
    return Note(f"pinned: {text}\n{as_typed('notes list')} shows it")


@command("insights undo", "take back what was decided of an insight", _ID, examples=("insights undo i-1a2b3c4d",))
def _undo(c: Context, a: argparse.Namespace) -> Note:
    return Note(f"undecided again: {c.fleet.notes.decide(a.insight_id, None).text}")


@command(
    "trends",
    "what runs gained over time, by optimizer, task, model, tag or week",
    _BY,
    _TASK,
    argument("--relative", type=float, default=0.2, metavar="SHARE", help="a large gain, of the score before (0.2)"),
    examples=("trends", "trends --by week --relative 0.3"),
    task="Learn from runs",
    place=21,
)
def _trends(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.trends(a.by, task=a.task, relative=a.relative)


@command(
    "roi",
    "what a point of score cost, and when a run has paid for itself",
    argument("--value-per-point", metavar="AMOUNT", help="what one point is worth over 1,000 answers, such as 40"),
    argument("--currency", metavar="CODE", help="of that value: USD, EUR, …; it has to be said"),
    argument("--rate", type=float, metavar="USD", help="USD for one unit of another currency"),
    argument("--per", type=int, default=1000, metavar="N", help="answers that the value is said for (1000)"),
    _BY,
    _TASK,
    about=_ROI,
    examples=("roi", "roi --value-per-point 40 --currency USD --by task"),
    task="Learn from runs",
    place=22,
)
def _roi(c: Context, a: argparse.Namespace) -> object:
    options = {name: getattr(a, name) for name in ("currency", "rate", "per", "by", "task")}
    return c.fleet.roi(a.value_per_point, **options)


_forecast = group(
    "forecast",
    "what is ahead of a job: score",
    about="Say what is ahead of a job.",
    task="Learn from runs",
    place=23,
)


@command(
    "forecast score",
    "what further calls would add to a job's score",
    argument("name", metavar="JOB", help="name or id"),
    argument("--calls", type=int, metavar="N", help="how far to look ahead; default: half of what it has made"),
    about=_SCORE,
    examples=("forecast score intents", "forecast score intents --calls 400"),
)
def _score(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.forecast_score(a.name, a.calls)


_notes = group(
    "notes",
    "the knowledge base: add, list, search, remove, export",
    about="Keep what was learned: notes with the runs that show them, beside pinned insights.",
    task="Learn from runs",
    place=24,
)


@command(
    "notes add",
    "keep a note, with the jobs that show it",
    argument("text", metavar="TEXT", help="what is worth remembering"),
    argument("--evidence", nargs="+", default=[], metavar="JOB", help="names or ids of jobs that show it"),
    examples=("notes add 'temperature 1.0 helps on labels' --evidence intents",),
)
def _add(c: Context, a: argparse.Namespace) -> Note:
    note_id = c.fleet.notes.add(a.text, a.evidence)
    shown = f", with {counted(a.evidence, 'job')} as evidence" if a.evidence else ""
    return Note(f"noted as {note_id}{shown}")


@command("notes list", "pinned insights and notes", examples=("notes list",))
def _list(c: Context, a: argparse.Namespace) -> Table:
    del a
    return Table(c.fleet.notes.listing())


@command(
    "notes search",
    "find what is nearest in meaning",
    argument("query", nargs="+", metavar="WORDS", help="what to look for"),
    argument("--limit", type=int, default=10, metavar="N", help="the nearest N (10)"),
    examples=("notes search temperature of labels",),
)
def _search(c: Context, a: argparse.Namespace) -> Table:
    nearest = c.fleet.notes.search(" ".join(a.query), a.limit)
    return Table(nearest[["similarity", "id", "kind", "text"]])


@command(
    "notes remove",
    "take a note away",
    argument("note_id", metavar="NOTE", help="its id, such as n-1a2b3c4d"),
    examples=("notes remove n-1a2b3c4d",),
)
def _remove(c: Context, a: argparse.Namespace) -> Note:
    return Note(f"removed: {c.fleet.notes.remove(a.note_id)}")


@command(
    "notes export",
    "write the knowledge base as Markdown",
    written("path", metavar="FILE", help="ends in .md"),
    examples=("notes export what_the_runs_say.md",),
)
def _export(c: Context, a: argparse.Namespace) -> Note:
    return Note(f"wrote {c.fleet.notes.export(a.path)}")
