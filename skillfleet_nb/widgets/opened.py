"""The way down from a job: to its programs, to the examples of one, to the calls it made for one of these."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.job_views import JobReport
from skillfleet_nb.errors import unknown
from skillfleet_nb.example import answer_fields, answer_in_words, example_html, response_fields, single
from skillfleet_nb.format import duration, is_missing, money, one_line, points, whole
from skillfleet_nb.html import fill, join, passage
from skillfleet_nb.reports.program_page import mark, program_name
from skillfleet_nb.store.blobs import Blobs
from skillfleet_nb.widgets.actions import best_name
from skillfleet_nb.widgets.home_pages import home_page
from skillfleet_nb.widgets.page import NOTHING, Listed, Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from skillfleet_nb.example import Read
    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.reports.stored_programs import StoredProgram

TRACES = "@traces"
"""Below a job, the page of its calls as trees."""
_WIDE = 120  # characters of a cell
_ROWS = 200  # of a list
_CALLS = 20  # shown of an example


def opened(fleet: Fleet, path: Sequence[str]) -> Page:
    """Make the page of a job, of its traces, of a program of it, or of an example of that; or of all runs.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    """
    up: list[tuple[str, list[str]]] = [("All jobs", [])]
    if not path:
        return Page(path=[], title="", crumbs=up, html="", list=NOTHING, use="")
    if path[0].startswith("@"):
        return home_page(fleet, path)
    job = fleet.job(path[0])
    if path[1:] == [TRACES]:
        return Page(path=[job.id, TRACES], title=f"traces of {job.name}", crumbs=[*up, (job.name, [job.id])],
                    html=str(fleet.traces(job).html()), list=NOTHING, use="")  # fmt: skip
    if len(path) == 1:
        up.append(("Traces", [job.id, TRACES]))
        html = JobReport(job, fleet.trials(job.id)).html()
        return Page(path=[job.id], title=job.name, crumbs=up, html=str(html), list=_programs(fleet, job.id), use="")
    program = fleet.programs.find(path[1], job.id)
    up.append((job.name, [job.id]))
    frame = program.programs.frame
    row = frame[frame.program_id == program.id].iloc[0]
    title = f"program {program_name(program.id, row.role, row.trial)} of {job.name}"
    if len(path) == 2:  # noqa: PLR2004  a job and a program
        return Page(path=[job.id, program.id], title=title, crumbs=up, html=str(program.html(lines=False)),
                    list=_examples(program), use=best_name(job.name))  # fmt: skip
    up.append((title, [job.id, program.id]))
    heading = f"an example of {job.name}"
    return Page(path=list(path), title=heading, crumbs=up, html=str(_example(program, path[2])), list=NOTHING, use="")


def _programs(fleet: Fleet, job_id: str) -> Listed:
    frame = fleet.programs.of(job_id).frame
    rows = [
        {
            "path": [job_id, row["program_id"]],
            "cells": [program_name(row["program_id"], row["role"], row["trial"]), points(row["val_score"]),
                      points(row["test_score"]), whole(row["n_demos"]), one_line(row["instructions"], _WIDE)],
        }
        for row in frame.to_dict("records")[:_ROWS]
    ]  # fmt: skip
    header = ["program", "validation", "test", "demos", "instructions"]
    return Listed(title="Programs", header=header, rows=rows)


def _examples(program: StoredProgram) -> Listed:
    scores = program.scores().sort_values(["score", "split", "example_id"], kind="stable")
    rows = [
        {
            "path": [program.job.id, program.id, row["example_id"]],
            "cells": [one_line(row["input"], _WIDE) or row["example_id"], row["split"], mark(row["score"]),
                      answer_in_words(row["output"], _WIDE), one_line(row["expected"], _WIDE)],
        }
        for row in scores.to_dict("records")[:_ROWS]
    ]  # fmt: skip
    title = f"Examples, the worst first{f'; {_ROWS} of {len(scores):,}' if len(scores) > _ROWS else ''}"
    return Listed(title=title, header=["input", "split", "score", "answer", "expected"], rows=rows)


def _example(program: StoredProgram, example_id: str) -> Markup:
    scores = program.scores()
    mine = scores[scores.example_id == example_id]
    if mine.empty:
        raise unknown("example", example_id, scores.example_id.head(5))
    read = Blobs(program.job.home).read
    example = program.programs.examples.get(example_id)
    fields = [] if example is None else list(example.inputs().toDict().items())
    fields += [] if example is None else [("expected", single(example.labels().toDict()))]
    for row in mine.to_dict("records"):
        fields.append((f"answer on {row['split']}", single(answer_fields(row["output"]))))
        fields.append(("score", mark(row["score"])))
        fields += [] if is_missing(row["feedback"]) else [("feedback", str(row["feedback"]))]
    calls = program.calls(example_id)
    tree = _tree(calls[:_CALLS], read) or _none()
    return join([example_html(fields, read), fill("<h4>Calls</h4>{}", tree)])


def _none() -> Markup:
    return fill(
        "<p>{}</p>", "none is recorded with its prompt: prompts were not kept, or the answer came from elsewhere"
    )


def _tree(calls: Sequence[dict[str, Any]], read: Read) -> Markup | str:
    """Show calls in order; one that was asked with the answer of another lies in it."""
    if not calls:
        return ""
    first, *rest = calls
    inside = [c for c in rest if _uses(c, first)]
    beside = [c for c in rest if c not in inside]
    n_in, n_out = whole(first["input_tokens"]), whole(first["output_tokens"])
    head = " · ".join([
        first["model"], "from the cache" if first["cached"] else money(first["cost_usd"]), f"{n_in} → {n_out} tokens",
        duration(first["latency_s"]),
    ])  # fmt: skip
    prompt = passage(_text(first["prompt"]))
    answer = example_html(response_fields(_text(first["response"])), read)
    shown = [
        fill("<details open><summary>answer</summary>{}</details>", answer),
        fill("<details><summary>prompt</summary>{}</details>", prompt),
    ]
    one = fill("<li><strong>{}</strong>{}{}</li>", head, join(shown), _tree(inside, read))
    return join([fill("<ol style='padding-left:1.5em'>{}</ol>", one), _tree(beside, read)])


def _uses(call: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether a call was asked with something of another's answer."""
    answered = [line.strip() for line in str(other["response"] or "").splitlines() if not line.startswith("[[ ##")]
    return any(len(line) > 12 and line in str(call["prompt"]) for line in answered)  # noqa: PLR2004  no chance word


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str, indent=1)
