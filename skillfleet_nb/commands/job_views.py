"""How jobs look: their list, one in full, the runs of a home, and what a person sees first."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.tasks import by_task, listing, more_help
from skillfleet_nb.commands.views import Note, Table, cell
from skillfleet_nb.events import JobState
from skillfleet_nb.format import ago, counted, duration, is_missing, money, points, seen_from_here
from skillfleet_nb.html import Readable, fill, join, preformatted, table, text_table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.runs.spec import CREATE_SKILL, EVALUATE
from skillfleet_nb.runs.task import LM_SETUP, OFFLINE_SETUP

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.runs.jobs.job import Job

_WIDEST_NAME = 40  # characters of a cell
_NAMED = 5  # jobs of a state that the overview names
_NEXT = {"pending_hitl": "answer", "running": "watch", "pending": "watch", "interrupted": "resume"}
"""Jobs that the overview names, and the command for each."""


@dataclass(frozen=True)
class JobTable(Table):
    """The job list: what a person looks for first, and what jobs ask; :attr:`frame` has every column."""

    questions: pd.DataFrame | None = None

    def _asked(self) -> list[str]:
        """Say what jobs ask, and how to answer."""
        if self.questions is None:
            return []
        return [
            f"{q.name} asks: {q.question}  {as_typed(f'answer {quote(str(q.name))}')}"
            for q in self.questions.itertuples()
        ]

    def text(self) -> str:
        """Return the list, and what jobs ask."""
        return "\n".join([super().text(), *self._asked()])

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        return join([super().html(), *(fill("<div>{}</div>", line) for line in self._asked())])

    HEADER = ("name", "state", "optimizer", "validation", "test", "verdict", "calls", "cost", "time", "started")

    def rows(self) -> list[list[str]]:
        """Return what is shown of each job, in words."""
        return [
            [
                cell(r.name, _WIDEST_NAME),
                "paused" if r.paused else JobState(r.state).in_words,
                str(r.optimizer),
                _change(r.baseline_score, r.best_score),
                _change(r.test_baseline, r.test_score),
                "" if is_missing(r.verdict) else str(r.verdict),
                f"{int(r.lm_calls or 0):,}",
                money(None if is_missing(r.cost_usd) else float(r.cost_usd)),
                "" if is_missing(r.wall_s) else duration(float(r.wall_s)),
                ago(r.created_at),
            ]
            for r in (SimpleNamespace(**{str(k): v for k, v in row.items()}) for row in self._records())
        ]

    def _cells(self) -> tuple[list[str], list[list[str]], list[int], str]:
        rows = self.rows()
        if not rows:
            return [], [], [], f"no jobs yet: {as_typed('optimize')} starts one, {as_typed('demo')} shows one"
        n = len(self.frame)
        return (
            list(self.HEADER),
            rows,
            [6, 7],
            counted(n, "job") + (f", {len(rows)} shown" if n > len(rows) else ""),
        )

    def _records(self) -> list[dict[Any, Any]]:
        return self.frame.head(self.limit).to_dict("records")


@dataclass(frozen=True)
class RunHistory(Readable):
    """The runs of a home with what they cost and how they learned; in a notebook a dashboard."""

    fleet: Fleet

    def text(self) -> str:
        """Return the newest jobs."""
        return str(JobTable(self.fleet.jobs(), limit=20))

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        jobs = self.fleet.jobs()
        charts = [self.fleet.charts.pareto()] if len(jobs) else []
        charts += [self.fleet.charts.convergence(*jobs["job_id"].head(5))] if len(jobs) else []
        return join([JobTable(jobs, limit=20).html(), *(fill("<div>{}</div>", chart.svg) for chart in charts)])


@dataclass(frozen=True)
class JobReport(Readable):
    """One job in full: facts, learning curve, and what changed in the prompts."""

    job: Job
    trials: pd.DataFrame

    def _diff(self) -> Any:
        from skillfleet_nb.errors import SkillfleetError

        if self.job.progress.optimizer in {EVALUATE, CREATE_SKILL}:
            return Note("")  # it changes nothing
        try:
            return self.job.diff()
        except SkillfleetError as exc:
            return Note(str(exc))

    def text(self) -> str:
        """Return the facts, the curve in a line, and the changes."""
        from skillfleet_nb.charts import convergence_data, sparkline
        from skillfleet_nb.commands.review import QuestionView

        best = convergence_data(self.trials).best.dropna().tolist()
        curve = f"best so far  {sparkline(best)}\n\n" if best else ""
        return "\n".join(part for part in (str(QuestionView(self.job)), f"{self.job}\n{curve}{self._diff()}") if part)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        from skillfleet_nb.commands.review import QuestionView

        return f"<div>{QuestionView(self.job).html()}{self.job.html()}</div>"


@dataclass(frozen=True)
class Overview(Readable):
    """What ``%skillfleet`` alone shows: where one is, what needs one, and what one can do."""

    fleet: Fleet
    prog: str
    lm: str | None

    def _facts(self, jobs: pd.DataFrame) -> list[list[str]]:
        counts = jobs.state.map(_in_words).mask(jobs.paused, "paused").value_counts()
        parts = [f"{n:,} {state}" for state, n in counts.items()]
        home = seen_from_here(self.fleet.home.root)
        return [
            ["home", home if self.fleet.home.root.exists() else f"{home}, made when there is something to keep"],
            ["model", self.lm or ("not configured" if self._in_notebook else "named by --lm")],
            ["jobs", ", ".join(parts) or "none yet"],
        ]

    @property
    def _in_notebook(self) -> bool:
        return self.prog.startswith("%")

    def _needed(self, jobs: pd.DataFrame) -> list[list[str]]:
        """List the jobs that go on or wait for the person, with the line to type."""
        way = self.prog
        rows = []
        for state, command in _NEXT.items():
            for name in jobs[jobs.state == state].name.head(_NAMED):
                line = f"{way} {command} {quote(str(name))}"
                rows.append([cell(name, _WIDEST_NAME), _in_words(state), line])
        return rows

    def _first_run(self) -> str:
        """Say, where no model is configured, the exact lines that configure one."""
        if self.lm:
            return ""
        if not self._in_notebook:
            return "name a model with --lm: openai/gpt-4o-mini, which reads $OPENAI_API_KEY, or offline, without a key"
        return (
            "# no model is configured; paste one of these\n"
            "import dspy, skillfleet_nb as sf\n"
            f"{LM_SETUP}  # reads $OPENAI_API_KEY\n"
            f"{OFFLINE_SETUP}  # no key, no cost: to try things out"
        )

    def text(self) -> str:
        """Return the facts, what waits, and the commands."""
        jobs = self.fleet.jobs()
        facts = text_table(["", ""], self._facts(jobs)).lstrip("\n")
        needed = text_table(["job", "state", "next"], self._needed(jobs)) if self._needed(jobs) else ""
        return "\n\n".join(part for part in (facts, needed, self._first_run(), listing(self.prog)) if part)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        jobs = self.fleet.jobs()
        parts = [table([], self._facts(jobs))]
        if self._needed(jobs):
            parts.append(table(["job", "state", "next"], self._needed(jobs), title="Jobs that go on or wait for you"))
        parts += [preformatted(self._first_run(), title="First of all")] if not self.lm else []
        tasks = by_task()
        rows = [["" if i else task, name, does] for task, part in tasks for i, (name, does) in enumerate(part)]
        parts.append(table(["to", "command", "what it does"], rows, title="Commands"))
        return join([*parts, fill("<div style='margin:8px 0;opacity:.7'>{}</div>", more_help(self.prog))])


def _in_words(state: str) -> str:
    return JobState(state).in_words


def _change(before: object, after: object) -> str:
    if is_missing(after):
        return ""
    start = "" if is_missing(before) else f"{points(before)} → "
    return f"{start}{points(after)}"
