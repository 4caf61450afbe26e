"""How a comparison of runs looks, as text and as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.events import JobState
from skillfleet_nb.example import answer_in_words
from skillfleet_nb.format import duration, money, one_line, points
from skillfleet_nb.html import NO_MATH, fill, items, join, table, text_table
from skillfleet_nb.reports.program_page import mark

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from markupsafe import Markup

    from skillfleet_nb.programs.diff import ProgramDiff

_CELL = 160  # characters
_ROWS, _LINES = 20, 10  # disagreements shown on a page and in a terminal


class ComparisonPage(NamedTuple):
    """What the page of a comparison shows.

    Attributes
    ----------
    names
        Of the runs, which head the columns.
    facts
        Of each run, its row of the relation ``jobs``.
    sentences
        What the differences come to.
    setup, same_setup
        Parts of the set-ups that differ, with a value for each run; and those that are the same in all.
    diffs
        Of each further run's best program against the first one's; None where one has none.
    disagreements, agreed, split, notes
        As in :class:`~skillfleet_nb.reports.comparison.Comparison`.
    """

    names: list[str]
    facts: list[dict[str, Any]]
    sentences: list[str]
    setup: dict[str, tuple[str, ...]]
    same_setup: dict[str, str]
    diffs: list[ProgramDiff | None]
    disagreements: pd.DataFrame
    agreed: tuple[int, int]
    split: str | None
    notes: tuple[str, ...]

    def html(self) -> Markup:
        """Return the comparison as HTML."""
        names = self.names
        parts = []
        if self.notes:
            warned = items(self.notes, title="Before you read on")
            parts.append(fill("<div style='overflow-wrap:anywhere'>{}</div>", warned))
        outcome = [[word, *values] for word, values in self.outcome()]
        parts.append(table(["", *names], outcome, title="Scores and cost"))
        parts += [fill("<div style='overflow-wrap:anywhere'>{}</div>", sentence) for sentence in self.sentences]
        if self.setup:
            differing = [[word, *values] for word, values in self.setup.items()]
            parts.append(table(["", *names], differing, title="Set up differently"))
        same = [f"{word}: {value}" for word, value in self.same_setup.items()]
        if same:
            parts.append(items(same, title=f"the same in all: {len(same)} parts", fold=True))
        for name, diff in zip(names[1:], self.diffs, strict=True):
            body = diff.side_by_side(names[0], name) if diff else fill("<p>one of them has no scored program</p>")
            title = "Prompts" if len(names) == 2 else f"Prompts: {names[0]} and {name}"  # noqa: PLR2004  a pair
            summary = fill("<summary style='font-weight:600'>{}</summary>{}", title, body)
            parts.append(fill("<details open>{}</details>" if name == names[1] else "<details>{}</details>", summary))
        header, rows, title = self.disagreement_rows(_ROWS, _CELL)
        parts.append(table(header, rows, title=title) if rows else fill("<div style='font-weight:600'>{}</div>", title))
        spaced = join(fill("<div style='margin:10px 0'>{}</div>", part) for part in parts)
        return fill("<div class='{}' style='line-height:1.4'>{}</div>", NO_MATH, spaced)

    def text(self) -> str:
        """Return the comparison as plain text."""
        names = self.names
        parts = [f"note: {note}" for note in self.notes]
        parts.append(text_table(["", *names], [[word, *values] for word, values in self.outcome()]))
        parts += self.sentences
        differing = [[word, *(one_line(v, 60) for v in values)] for word, values in self.setup.items()]
        if differing:
            parts.append("set up differently\n" + text_table(["", *names], differing))
        parts.append(f"the same in all: {', '.join(self.same_setup)}")
        for name, diff in zip(names[1:], self.diffs, strict=True):
            parts.append(f"prompts: from {names[0]} to {name}\n{diff or 'one of them has no scored program'}")
        header, rows, title = self.disagreement_rows(_LINES, 40)
        parts.append(f"{title}\n{text_table(header, rows)}" if rows else title)
        if any(facts["best_program_id"] for facts in self.facts):
            parts.append(
                "program show JOB --save FILE.json saves a run's best program; in a notebook -o NAME names a variable"
            )
        return "\n\n".join(parts)

    def outcome(self) -> list[tuple[str, list[str]]]:
        """Return what each run came to, a word and a value for each run in every row."""
        rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
            ("state", lambda f: JobState(f["state"]).in_words),
            ("validation", lambda f: _change(f["baseline_score"], f["best_score"])),
            ("test (sealed)", lambda f: _change(f["test_baseline"], f["test_score"])),
            ("against the given program", lambda f: f["verdict"] or "not tested"),
            ("LM calls", lambda f: f"{f['lm_calls'] or 0:,} made, {f['cached_calls'] or 0:,} from the cache"),
            ("cost", lambda f: money(f["cost_usd"])),
            ("cost without the cache", lambda f: money(f["full_cost_usd"])),
            ("time", lambda f: "-" if f["wall_s"] is None else duration(f["wall_s"])),
        ]
        return [(word, [value(facts) for facts in self.facts]) for word, value in rows]

    def disagreement_rows(self, most: int, widest: int) -> tuple[list[str], list[list[str]], str]:
        """Return header, rows and title of the examples on which the runs disagree."""
        frame, names = self.disagreements, self.names
        scored = [i for i in range(len(names)) if f"score {i + 1}" in frame]
        agreed, differently = self.agreed
        n, all_rows = len(frame), len(frame) + agreed
        if not all_rows:
            return [], [], "no example was scored by more than one of them"
        where = {"test": "test rows", "val": "validation rows"}[self.split or "test"]
        title = f"They disagree on {n:,} of {all_rows:,} {where}"
        if n and len(scored) == 2:  # noqa: PLR2004  a pair
            one, other = (frame[f"score {i + 1}"] for i in scored)
            title += (
                f": {names[scored[0]]} does better on {(one > other).sum():,}, "
                f"{names[scored[1]]} on {(one < other).sum():,}"
            )
        title += f"; {differently:,} more were answered differently and scored alike" if differently else ""
        title += f"; {most} shown" if n > most else ""
        rows = [
            [
                one_line(row["input"] or row["example_id"], widest),
                one_line(row["expected"], widest),
                *(f"{mark(row[f'score {i + 1}'])} {answer_in_words(row[f'output {i + 1}'], widest)}"
                  for i in scored),
            ]
            for row in frame.head(most).to_dict("records")
        ]  # fmt: skip
        return ["example", "expected", *(names[i] for i in scored)], rows, title


def _change(before: float | None, after: float | None) -> str:
    if after is None:
        return "-"
    return f"{points(before)} → {points(after)}" if before is not None else points(after)
