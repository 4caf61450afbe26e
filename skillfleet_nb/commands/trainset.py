"""Commands about training sets: each reads its arguments and calls one facade method."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group, written
from skillfleet_nb.commands.outputs import keep_json
from skillfleet_nb.commands.views import Note, Table
from skillfleet_nb.data.suggestions import missing
from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.data import TrainsetReport

_ABOUT = """Know a training set: its quality, wrong labels, duplicates, gaps; choose what to train on.

DATA is a name of the notebook, module:attribute, or a file: .json .jsonl .csv .parquet."""
_EXAMPLES = {
    "analyze": (
        "%skillfleet trainset analyze train --label intent -o report",
        "trainset analyze data.csv --json r.json",
        "%skillfleet trainset analyze train --judge openai/gpt-4o-mini --max-calls 100",
    ),
    "top": ("trainset top data.csv -n 20",),
    "worst": ("%skillfleet trainset worst train", "trainset worst data.csv -n 20"),
    "duplicates": ("trainset duplicates data.csv",),
    "gaps": ("trainset gaps data.csv --reference production.csv",),
    "select": (
        "%skillfleet trainset select train --k 40 --strategy balanced -o train40",
        "trainset select a.csv --k 40",
    ),
    "rate": ("trainset rate data.csv 17 0.2", "trainset rate data.csv 17 none"),
}
_SHOWN = ["row", "rank", "quality", "success", "label", "text"]


TRAINSET = group(
    "trainset",
    "know the data: analyze, top, worst, duplicates, gaps, select, rate",
    about=_ABOUT,
    examples=[example for one in _EXAMPLES.values() for example in one[:1]],
    task="Prepare",
    place=2,
)
_COMMON = (
    argument("train", metavar="DATA"),
    argument("--label", metavar="FIELD", help="the label; by default the field that looks like it"),
    argument("--program", metavar="PROGRAM", help="says which fields are inputs, and what is relevant"),
    argument("--reference", metavar="DATA", help="test or production inputs, to find regions without examples"),
    argument("--style", metavar="STYLE", help="the wanted style of skills"),
    argument("--judge", metavar="LM", help="a model that grades each example; its grades are kept"),
    argument("--max-calls", type=int, default=200, metavar="N", help="hard limit on calls of the judge (200)"),
    argument("--budget", type=float, metavar="USD", help="hard limit in USD on the judge"),
    argument("--seed", type=int, default=0, metavar="N"),
)
_MANY = argument("-n", type=int, default=10, metavar="N", help="how many (10)")


def _report(c: Context, a: argparse.Namespace) -> TrainsetReport:
    train = c.rows(a.train, "train", mixed=True)
    metric = getattr(a, "metric", None)
    if "torch" not in sys.modules:
        c.say(Note("loading the embedding model where texts are new, which takes some seconds"))
    report = c.fleet.data.analyse(
        train,
        label=a.label,
        metric=c.metric(metric) if metric else None,
        program=c.object(a.program, "program") if a.program else None,
        reference=c.rows(a.reference, "reference"),
        test=c.rows(getattr(a, "test", None), "test"),
        style=a.style,
        judge=c.lm(a.judge),
        max_calls=a.max_calls,
        budget_usd=a.budget,
        name=Path(a.train).name,
        seed=a.seed,
        progress=c.counting,
    )
    if a.command.path[-1] != "analyze":  # which shows the notes itself
        for note in report.notes:
            c.say(Note(note))
    return report


@command(
    "trainset analyze",
    "the whole report",
    *_COMMON,
    argument("--metric", metavar="METRIC", help="tried on each example's own answer"),
    written("--json", metavar="FILE", help="write the report as JSON too"),
    argument("-o", dest="output", metavar="NAME", help="put the report into this variable"),
    examples=_EXAMPLES["analyze"],
)
def _analyze(c: Context, a: argparse.Namespace) -> object:
    report = _report(c, a)
    if a.output:
        c.namespace[a.output] = report
    if a.json:
        keep_json(c, a.json, report.model_dump_json(indent=2))
    return report


@command(
    "trainset top",
    "the best examples by rank",
    *_COMMON,
    _MANY,
    examples=_EXAMPLES["top"],
)
def _best(c: Context, a: argparse.Namespace) -> Table:
    return _ranked(_report(c, a).examples, a.n)


@command(
    "trainset worst",
    "the worst examples by quality",
    *_COMMON,
    _MANY,
    examples=_EXAMPLES["worst"],
)
def _worst(c: Context, a: argparse.Namespace) -> Table:
    frame = _report(c, a).examples
    return _ranked(frame.sort_values(["quality", "rank", "row"], kind="stable"), a.n)


def _ranked(frame: pd.DataFrame, n: int) -> Table:
    if n < 1:
        raise InputError(f"-n {n}: give a whole number from 1")
    return Table(frame[_SHOWN], limit=n)


@command(
    "trainset duplicates",
    "rows that repeat or contradict each other",
    *_COMMON,
    examples=_EXAMPLES["duplicates"],
)
def _duplicates(c: Context, a: argparse.Namespace) -> object:
    import pandas as pd

    report = _report(c, a)
    rows = [
        [kind, ", ".join(map(str, f.rows)), f.similarity, ", ".join(dict.fromkeys(map(str, f.labels))), f.text]
        for kind, groups in (("conflict", report.conflicts), ("duplicate", report.duplicates))
        for f in groups
    ]
    if not rows:
        return Note(f"{report.name}: no duplicates and no conflicts")
    return Table(pd.DataFrame(rows, columns=["kind", "rows", "cosine", "labels", "example"]))


@command(
    "trainset gaps",
    "what is under-represented or missing",
    *_COMMON,
    examples=_EXAMPLES["gaps"],
)
def _gaps(c: Context, a: argparse.Namespace) -> Note:
    report = _report(c, a)
    gaps = [gap.text() for gap in report.underrepresented] + [region.text() for region in report.uncovered]
    gaps += missing(report.singles, report.never_solved)
    return Note("\n".join(gaps) or f"{report.name}: nothing is under-represented by more than chance")


@command(
    "trainset select",
    "choose the examples to train on",
    *_COMMON,
    argument("--k", type=int, required=True, metavar="K", help="how many"),
    argument("--strategy", metavar="STRATEGY", help="balanced, top, coverage, hard, or a mixture: balanced+hard"),
    argument("--min-quality", type=float, default=0.7, metavar="Q", help="least quality (0.7)"),
    argument("--test", metavar="DATA", help="test rows, which are never selected"),
    argument("-o", dest="output", metavar="NAME", help="put the selected rows into this variable"),
    examples=_EXAMPLES["select"],
)
def _select(c: Context, a: argparse.Namespace) -> object:
    report = _report(c, a)
    rows = report.rows(a.k, a.strategy, min_quality=a.min_quality, seed=a.seed)
    if a.output:
        c.namespace[a.output] = report.given(rows)
    frame = report.examples.set_index("row", drop=False).loc[rows, _SHOWN]
    return Table(frame, limit=a.k)


@command(
    "trainset rate",
    "rate an example by hand",
    *_COMMON,
    argument("row", type=int, metavar="ROW", help="its number, from 0"),
    argument("rating", metavar="RATING", help="0 to 1, or none to take it back"),
    examples=_EXAMPLES["rate"],
)
def _rate(c: Context, a: argparse.Namespace) -> Note:
    frame = _report(c, a).examples.set_index("row")
    if a.row not in frame.index:
        raise InputError(f"row {a.row} was not analysed: rows are 0 to {int(frame.index.max())}")
    try:
        rating = None if a.rating == "none" else float(a.rating)
    except ValueError:
        raise InputError(f"rating {a.rating!r}: give a number in [0, 1], or none to take it back") from None
    c.fleet.data.rate(str(frame.loc[a.row, "example_id"]), rating)
    return Note(f"row {a.row}: rating taken back" if rating is None else f"row {a.row} is rated {rating:g}")
