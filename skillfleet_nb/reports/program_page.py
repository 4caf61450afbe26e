"""How programs and one of them look, as text and as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.example import answer_in_words, example_html
from skillfleet_nb.format import counted, is_missing, one_line, points, whole
from skillfleet_nb.html import NO_MATH, fill, join, passage, table, text_table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.programs.diff import demos_of
from skillfleet_nb.programs.state import describe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from markupsafe import Markup

    from skillfleet_nb.example import Read
    from skillfleet_nb.programs.changes import Demo

SHORT_ID = 8
"""Characters of an id that are shown; `program show` takes them."""

_ROWS, _LINES = 20, 12  # shown of the examples, and of the list in a terminal
_WIDE, _WIDER = 70, 200  # characters of a cell


def programs_table(job: str, frame: pd.DataFrame, *, html: bool) -> str:
    """Return the list of a job's programs."""
    header = ["program", "", "trial", "trials", "validation", "test", "demos", "made from", "instructions"]
    rows = [
        [
            row["program_id"][:SHORT_ID],
            row["role"],
            whole(row["trial"]),
            whole(row["trials"]),
            points(row["val_score"]),
            points(row["test_score"]),
            whole(row["n_demos"]),
            ", ".join(p[:SHORT_ID] for p in row["parents"]),
            one_line(row["instructions"], _WIDE),
        ]
        for row in frame.to_dict("records")
    ]
    if not rows:
        nothing = f"job {job} has no scored program yet"
        return fill("<div>{}</div>", nothing) if html else nothing
    if all(not row[7] for row in rows):  # few optimizers tell
        header, rows = header[:7] + header[8:], [row[:7] + row[8:] for row in rows]
    below = f"{counted(rows, 'program')} of {job}; {as_typed('program show ID')} shows one"
    if html:
        shown = table(header, rows, numeric=[2, 3, 4, 5, 6])
        return fill("{}<div style='opacity:.7;overflow-wrap:anywhere'>{}</div>", shown, below)
    return f"{text_table(header, rows, numeric=[2, 3, 4, 5, 6])}\n{below}"


def program_name(program_id: str, role: str, trial: float | None) -> str:
    """Call a program of a job what a person knows it by: its part in the job, or the trial it was first scored in.

    Examples
    --------
    >>> program_name("9880dadeb9e4", "best", 11), program_name("9880dadeb9e4", "", 3)
    ('best, trial 11', 'trial 3')
    """
    scored = "" if is_missing(trial) else f"trial {whole(trial)}"
    return ", ".join(part for part in (role, scored) if part) or program_id[:SHORT_ID]


def use_lines(program_id: str) -> list[str]:
    """Return the lines that put a program to use."""
    short = program_id[:SHORT_ID]
    return [
        f"{as_typed(f'program show {short} -o program')}        # into a variable",
        f"{as_typed(f'program show {short} --save best.json')}  # then, with DSPy alone: program.load('best.json')",
    ]


def program_text(
    facts: Sequence[Sequence[str]], state: Mapping[str, Any], scores: pd.DataFrame, lines: Sequence[str]
) -> str:
    """Return a program as plain text: facts, instructions, demos, the examples it did worst on, how to use it."""
    width = max(len(word) for word, _ in facts)
    parts = ["\n".join(f"{word:<{width}}  {value}" for word, value in facts)]
    parts += predictors_text(state)
    header, rows, below = scored_rows(scores, _LINES)
    if rows:
        parts.append(f"{text_table(header, [[one_line(c, 40) for c in row] for row in rows])}\n{below}")
    parts.append("\n".join(lines))
    return "\n\n".join(parts)


def program_html(
    facts: Sequence[Sequence[str]], state: Mapping[str, Any], scores: pd.DataFrame, changes: Markup | None,
    lines: Sequence[str], read: Read | None = None,
) -> Markup:  # fmt: skip
    """Return a program as HTML; `changes` are those to the given program, `lines` how to use it."""
    parts = [table([], [list(row) for row in facts])]
    parts += predictors_html(state, read)
    if changes is not None:
        parts.append(_folded("changes to the given program", changes))
    header, rows, below = scored_rows(scores, _ROWS)
    if rows:
        shown = fill("{}<div style='opacity:.7'>{}</div>", table(header, rows), below)
        parts.append(_folded("scores per example", shown))
    if lines:
        parts.append(fill("<p><strong>use it</strong></p>{}", passage("\n".join(lines))))
    return fill("<div class='{}' style='line-height:1.4'>{}</div>", NO_MATH, join(parts))


def predictors_text(state: Mapping[str, Any]) -> list[str]:
    """Return the instructions and demos of each predictor as plain text."""
    parts = []
    for name, instructions, demos in _predictors(state):
        shown = [f"instructions{f' of {name}' if name else ''}", _indented(instructions)]
        shown += ["demo\n" + _indented("\n".join(f"{k}: {v}" for k, v in demo)) for demo in demos[:_LINES]]
        if len(demos) > _LINES:
            shown.append(f"and {len(demos) - _LINES} more demos")
        parts.append("\n".join(shown))
    return parts


def predictors_html(state: Mapping[str, Any], read: Read | None = None) -> list[Markup]:
    """Return the instructions of each predictor as HTML, its demos folded; `read` as for `example_html`."""
    parts = []
    for name, instructions, demos in _predictors(state):
        of = f" of {name}" if name else ""
        parts.append(fill("<p><strong>instructions{}</strong></p>{}", of, passage(instructions)))
        if demos:
            listed = join(fill("<li>{}</li>", example_html(demo, read)) for demo in demos)
            parts.append(_folded(f"{counted(demos, 'demo')}{of}", fill("<ol>{}</ol>", listed)))
    return parts


def scored_rows(scores: pd.DataFrame, most: int) -> tuple[list[str], list[list[str]], str]:
    """Return header and rows of the examples a program did worst on, and how many there are."""
    worst = scores.sort_values(["score", "split", "example_id"], kind="stable").head(most)
    header = ["split", "score", "answer", "expected", "input"]
    rows = [
        [
            r["split"],
            mark(r["score"]),
            answer_in_words(r["output"], _WIDER),
            *(one_line(r[k], _WIDER) for k in header[3:]),
        ]
        for r in worst.to_dict("records")
    ]
    n = len(scores)
    return header, rows, f"{counted(n, 'example')}, the worst first" + (f"; {most} shown" if n > most else "")


def mark(score: float) -> str:
    """Write a score in [0, 1] as a mark: right, wrong, or in points."""
    return {1.0: "✓", 0.0: "✗"}.get(float(score), f"{100 * score:.0f}")


def _predictors(state: Mapping[str, Any]) -> list[tuple[str, str, list[Demo]]]:
    """List each predictor's name (none of a single one), instructions and demos."""
    instructions = describe(state).instructions
    alone = len(instructions) == 1
    return [("" if alone else name, instructions.get(name, ""), demos) for name, demos in demos_of(state).items()]


def _folded(title: str, body: Markup) -> Markup:
    return fill("<details><summary><strong>{}</strong></summary>{}</details>", title, body)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
