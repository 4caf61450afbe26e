"""How a comparison of runs looks, as text and as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.format import duration, money, one_line, points
from skillfleet_nb.html import NO_MATH, fill, items, join, table, text_table
from skillfleet_nb.reports.program_page import answer_in_words, mark

if TYPE_CHECKING:
    from markupsafe import Markup

    from skillfleet_nb.reports.comparison import Comparison

_CELL = 160  # characters
_ROWS, _LINES = 20, 10  # disagreements shown on a page and in a terminal


def comparison_html(c: Comparison) -> str:
    """Return the comparison as HTML."""
    names = [run.label for run in c.runs]
    parts = [_notes(c)] if c.notes else []
    parts.append(table(["", *names], [[word, *values] for word, values in outcome(c)], title="Scores and cost"))
    parts += [fill("<div style='overflow-wrap:anywhere'>{}</div>", d.sentence()) for d in c.differences]
    differing = [[word, *values] for word, values in c.setup.items()]
    if differing:
        parts.append(table(["", *names], differing, title="Set up differently"))
    same = [f"{word}: {value}" for word, value in c.same_setup.items()]
    if same:
        parts.append(items(same, title=f"the same in all: {len(same)} parts", fold=True))
    for at in range(1, len(c.runs)):
        diff = c.diff(at)
        body = diff.side_by_side(names[0], names[at]) if diff else fill("<p>one of them has no scored program</p>")
        title = "Prompts" if len(c.runs) == 2 else f"Prompts: {names[0]} and {names[at]}"  # noqa: PLR2004  a pair
        summary = fill("<summary style='font-weight:600'>{}</summary>{}", title, body)
        parts.append(fill("<details open>{}</details>" if at == 1 else "<details>{}</details>", summary))
    header, rows, title = disagreement_rows(c, _ROWS, _CELL)
    parts.append(table(header, rows, title=title) if rows else fill("<div style='font-weight:600'>{}</div>", title))
    spaced = join(fill("<div style='margin:10px 0'>{}</div>", part) for part in parts)
    return fill("<div class='{}' style='line-height:1.4'>{}</div>", NO_MATH, spaced)


def comparison_text(c: Comparison) -> str:
    """Return the comparison as plain text."""
    names = [run.label for run in c.runs]
    parts = [f"note: {note}" for note in c.notes]
    parts.append(text_table(["", *names], [[word, *values] for word, values in outcome(c)]))
    parts += [d.sentence() for d in c.differences]
    differing = [[word, *(one_line(v, 60) for v in values)] for word, values in c.setup.items()]
    if differing:
        parts.append("set up differently\n" + text_table(["", *names], differing))
    parts.append(f"the same in all: {', '.join(c.same_setup)}")
    for at in range(1, len(c.runs)):
        diff = c.diff(at)
        parts.append(f"prompts: from {names[0]} to {names[at]}\n{diff or 'one of them has no scored program'}")
    header, rows, title = disagreement_rows(c, _LINES, 40)
    parts.append(f"{title}\n{text_table(header, rows)}" if rows else title)
    if any(run.facts["best_program_id"] for run in c.runs):
        parts.append("program JOB --save FILE.json saves a run's best program; in a notebook -o NAME names a variable")
    return "\n\n".join(parts)


def outcome(c: Comparison) -> list[tuple[str, list[str]]]:
    """Return what each run came to, a word and a value for each run in every row."""
    rows: list[tuple[str, Any]] = [
        ("state", lambda f: f["state"]),
        ("validation", lambda f: _change(f["baseline_score"], f["best_score"])),
        ("test (sealed)", lambda f: _change(f["test_baseline"], f["test_score"])),
        ("against the given program", lambda f: f["verdict"] or "not tested"),
        ("LM calls", lambda f: f"{f['lm_calls'] or 0:,} bought, {f['cached_calls'] or 0:,} cached"),
        ("cost", lambda f: money(f["cost_usd"])),
        ("time", lambda f: "-" if f["wall_s"] is None else duration(f["wall_s"])),
    ]
    return [(word, [str(value(run.facts)) for run in c.runs]) for word, value in rows]


def disagreement_rows(c: Comparison, most: int, widest: int) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows and title of the examples on which the runs disagree."""
    frame = c.disagreements
    there = [at for at in range(len(c.runs)) if f"score {at + 1}" in frame]
    agreed, differently = c.agreed
    n, all_rows = len(frame), len(frame) + agreed
    if not all_rows:
        return [], [], "no example was scored by more than one of them"
    names = [run.label for run in c.runs]
    where = {"test": "test rows", "val": "validation rows"}[c.split or "test"]
    title = f"They disagree on {n:,} of {all_rows:,} {where}"
    if n and len(there) == 2:  # noqa: PLR2004  a pair
        one, other = (frame[f"score {at + 1}"] for at in there)
        title += (
            f": {names[there[0]]} does better on {(one > other).sum():,}, {names[there[1]]} on {(one < other).sum():,}"
        )
    title += f"; {differently:,} more were answered differently and scored alike" if differently else ""
    title += f"; {most} shown" if n > most else ""
    rows = [
        [
            one_line(row["input"] or row["example_id"], widest),
            one_line(row["expected"], widest),
            *(f"{mark(row[f'score {at + 1}'])} {answer_in_words(row[f'output {at + 1}'], widest)}" for at in there),
        ]
        for row in frame.head(most).to_dict("records")
    ]
    return ["example", "expected", *(names[at] for at in there)], rows, title


def _notes(c: Comparison) -> Markup:
    return fill("<div style='overflow-wrap:anywhere'>{}</div>", items(c.notes, title="Before you read on"))


def _change(before: float | None, after: float | None) -> str:
    if after is None:
        return "-"
    return f"{points(before)} → {points(after)}" if before is not None else points(after)
