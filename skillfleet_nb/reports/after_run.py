"""What a person wants to know once a job is over: the examples it still fails on, and what to do next."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.config import Settings
from skillfleet_nb.design import LINE
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.example import answer_fields, example_html, single
from skillfleet_nb.format import counted, duration, is_missing, money, points
from skillfleet_nb.html import fill, join
from skillfleet_nb.messages import as_typed
from skillfleet_nb.power import rows_needed
from skillfleet_nb.reports.stored_programs import programs_of
from skillfleet_nb.runs.spec import CREATE_SKILL
from skillfleet_nb.store import Store, queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dspy import Example
    from markupsafe import Markup

    from skillfleet_nb.advice.recommendation import Option
    from skillfleet_nb.example import Read
    from skillfleet_nb.runs.jobs.job import Job

_EXAMPLES = 5
_SOLVED = 0.5
_WORTH = 0.05  # the gain, in [0, 1], that more rows are reckoned for
_Z95 = 1.96
_MOST_ROWS = 20_000


class Failing(NamedTuple):
    """An example that the best program gets wrong."""

    inputs: Mapping[str, Any]
    expected: Mapping[str, Any]
    answer: Mapping[str, Any]
    feedback: str
    score: float

    def fields(self) -> list[tuple[str, Any]]:
        """Return what is to be read of it, in order."""
        fields = [*self.inputs.items(), ("expected", single(self.expected)), ("answer", single(self.answer))]
        fields += [("feedback", self.feedback)] if self.feedback else []
        return [(name, value) for name, value in fields if value not in ({}, "")]


def failing(job: Job) -> tuple[list[Failing], int]:
    """List the examples that a job's best program fails on, worst first: of the test split, else of validation.

    Returns
    -------
    list, int
        The worst ones, and how many there are.
    """
    best = job.progress.best_program
    if job.progress.optimizer == CREATE_SKILL:
        return [], 0  # its findings stand on its card
    try:
        store = Store(job.home)
        programs = programs_of(store, Settings.load(job.home.config), job)
        if best is None or best not in set(programs.frame.program_id):
            return [], 0
        scores = programs[best].scores()
    except (SkillfleetError, OSError):
        return [], 0
    rows = scores[scores.split == ("test" if (scores.split == "test").any() else "val")]
    rows = rows.drop_duplicates("example_id")  # it may have been scored in several trials
    rows = rows[rows.score.fillna(0.0) < _SOLVED]

    return [
        Failing(
            *_of(programs.examples.get(r["example_id"]), str(r["example_id"])), answer_fields(r["output"]),
            "" if is_missing(r["feedback"]) else str(r["feedback"]), 0.0 if is_missing(r["score"]) else r["score"],
        )
        for r in rows.head(_EXAMPLES).to_dict("records")
    ], len(rows)  # fmt: skip


def _of(example: Example | None, example_id: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return inputs and labels of an example; of one that was not kept, the beginning of its id."""
    if example is None:
        return {"example": example_id[:8]}, {}
    return example.inputs().toDict(), example.labels().toDict()


def failing_html(failing: Sequence[Failing], n: int, read: Read | None = None) -> Markup:
    """Show the worst of `n` examples that are still failed on; `read` as for `example_html`."""
    title = f"{counted(n, 'example')} it still fails on" + (f", the worst {len(failing)}" if n > len(failing) else "")
    row = f"padding:4px 0;border-bottom:1px solid {LINE}"
    listed = join(fill("<div style='{}'>{}</div>", row, example_html(one.fields(), read)) for one in failing)
    return fill("<details open><summary>{}</summary>{}</details>", title, listed)


def next_steps(job: Job) -> list[str]:
    """Say what to do after a job that did not improve the program; nothing where it did, or was not tested."""
    p = job.progress
    r = p.result
    if r is None or r.verdict is None or r.verdict == "improved" or p.optimizer == "evaluate":
        return []
    is_kept = p.best_program == p.first_program
    n, steps = 0 if is_kept else _tested(job), []
    if n and r.test_delta_low is not None and r.test_delta_high is not None:
        variance = n * ((r.test_delta_high - r.test_delta_low) / 2 / _Z95) ** 2  # of a row's difference
        needed = rows_needed(_WORTH, min(1.0, variance))
        if needed > n:
            enough = f"about {float(f'{needed:.2g}'):,.0f}" if needed <= _MOST_ROWS else f"more than {_MOST_ROWS:,}"
            steps.append(f"To show a gain of {100 * _WORTH:g} points, {enough} test rows are needed; there were {n:,}.")
    try:
        advised = _advised(job)
    except Exception:  # noqa: BLE001  advice on a job that is over never stands in the way of what it came to
        return steps
    return [*steps, *advised]


def _tested(job: Job) -> int:
    """Count the rows that the test was made on: fewer than the split's, where some repeat others."""
    try:
        scores = queries.given_and_best_scores(Store(job.home), [job.id])
    except (SkillfleetError, OSError):
        return 0
    return int((scores.split == "test").sum())


def _advised(job: Job) -> list[str]:
    """Name the best optimizer that was not tried on the task, with its forecast, and what headroom there is."""
    from skillfleet_nb.advice.past_runs import Histories
    from skillfleet_nb.advice.selector import selector_for
    from skillfleet_nb.advice.task_facts import checked, sizes_of
    from skillfleet_nb.data.landmarks import Landmarks

    parcel = job.parcel()
    with parcel.under():
        task = checked(parcel.request, Settings.load(job.home.config))
        history = Histories(Store(job.home)).of(task.key)
        marks = Landmarks(**history.landmarks) if history.landmarks else Landmarks(None, None, None)
        selector = selector_for(task, sizes_of(task, history), history.past, landmarks=marks, headroom=history.headroom)
        made = selector.choose(budget_usd=parcel.request.budget_usd)
    tried = {run.optimizer for run in history.past if run.features.get("task") == task.key} | {job.progress.optimizer}
    steps = []
    if history.headroom is not None:
        steps.append(f"Headroom: {history.headroom['verdict']}.")
    else:
        steps.append(f"{as_typed('headroom')} tells what can be won on this task at most, before more is spent.")
    left = [o for o in made.options if o.feasible and o.optimizer not in tried]
    if left:
        steps.append(_told(max(left, key=lambda o: o.expected_score)))
    return steps


def _told(o: Option) -> str:
    params = "".join(f" --set {name}={value if isinstance(value, str | int | float) else json.dumps(value)}"
                     for name, value in o.params.items())  # fmt: skip
    cost = ""
    if o.cost_usd is not None:
        expected, most = money(o.cost_usd.expected), money(o.cost_usd.high)
        cost = f"{expected}, " if expected == most else f"{expected} (at most {most}), "
    score = f"{points(o.expected_score, digits=0)} ({points(o.score[0], digits=0)} to {points(o.score[1], digits=0)})"
    return (
        f"Next best, not tried here: {o.name}, expected to score {score} for {cost}{o.calls.expected:,.0f} calls, "
        f"{duration(o.wall_s.expected)}: --optimizer {o.optimizer}{params}"
    )
