"""How answers look: each has a text for terminals and an HTML for notebooks, with the same facts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as url_quote

from skillfleet_nb.commands.tasks import by_task, listing, more_help
from skillfleet_nb.events import JobState
from skillfleet_nb.format import ago, counted, duration, is_missing, money, one_line, points, seen_from_here, visible
from skillfleet_nb.html import Readable, fill, join, preformatted, progress_bar, table, text_table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.runs.spec import CREATE_SKILL, EVALUATE
from skillfleet_nb.runs.task import LM_SETUP, OFFLINE_SETUP

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import StoreStatus

_WIDEST, _WIDEST_NAME = 60, 40  # characters of a cell
_NAMED = 5  # jobs of a state that the overview names
_NEXT = {"pending_hitl": "answer", "running": "watch", "pending": "watch", "interrupted": "resume"}
"""Jobs that the overview names, and the command for each."""


@dataclass(frozen=True)
class Note:
    """A few words."""

    text: str

    def __str__(self) -> str:
        return visible(self.text)

    __repr__ = __str__

    def html(self) -> str:
        """Show it as HTML."""
        return preformatted(self.text)

    def _repr_html_(self) -> str:
        return str(self.html())


@dataclass(frozen=True)
class SplitsView(Readable):
    """What a job is given: its splits, as `Splits.describe` tells them, and the program that it starts from."""

    described: str
    start: str

    def text(self) -> str:
        """Return a line a split, and the start."""
        return f"{self.described}\n{self.start}"

    __repr__ = Readable.__str__

    def html(self) -> Markup:
        """Show the splits as a table; what describes one stands two spaces apart."""
        rows = [re.split(r" {2,}", line.strip()) for line in self.described.splitlines()]
        rows = [[f"{name} (sealed)" if sealed else name, *facts] for name, *facts, sealed in map(_sealed, rows)]
        return join([table([], rows), fill("<div>{}</div>", self.start)])


def _sealed(split: list[str]) -> list[str]:
    """Put at the end of what describes a split whether it is sealed, else nothing."""
    return split if split[-1].startswith("sealed") else [*split, ""]


@dataclass(frozen=True)
class Written(Readable):
    """A file that was written; a page links to what lies below the working folder, as a notebook does."""

    file: Path

    def text(self) -> str:
        """Say which."""
        return f"wrote {self.file}"

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        place = self.file if not self.file.is_absolute() else Path(seen_from_here(self.file))
        if place.is_absolute() or ".." in place.parts:
            return fill("<div>wrote {}</div>", str(self.file))
        return fill("<div>wrote <a href='{}' target='_blank'>{}</a></div>", url_quote(place.as_posix()), str(self.file))


@dataclass(frozen=True)
class Parts(Readable):
    """Several answers, one after the other."""

    answers: list[Any]

    def text(self) -> str:
        """Return one after the other."""
        return "\n\n".join(as_text(a) for a in self.answers)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        return join(_as_html(a) for a in self.answers)


def _in_words(state: str) -> str:
    return JobState(state).in_words


def _as_html(answer: Any) -> Markup:
    """Return an answer as HTML; a chart is its picture, which reads on light and dark pages."""
    from markupsafe import Markup

    svg: Markup | None = getattr(answer, "svg", None)
    if svg is not None:
        return fill("<div style='overflow-x:auto' tabindex='0' role='region' aria-label='chart'>{}</div>", svg)
    html = answer._repr_html_()
    return preformatted(as_text(answer)) if html is None else Markup(html)  # noqa: S704  escaped where it was made


def as_text(answer: object) -> str:
    """Return an answer as text for a terminal."""
    text = getattr(answer, "text", None)
    return visible(str(text()) if callable(text) else str(answer))


@dataclass(frozen=True)
class ProgressLine(Readable):
    """Where a job is, in one line; in a notebook with a bar, and `note` below."""

    line: str
    share: float | None = None
    note: str = ""

    def text(self) -> str:
        """Return the line, and the note below."""
        return f"{self.line}\n{self.note}" if self.note else self.line

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        return join([progress_bar(self.line, self.share), fill("<div>{}</div>", self.note) if self.note else ""])


@dataclass(frozen=True)
class Table(Readable):
    """A data frame, tidy: `limit` rows, long texts cut; :attr:`frame` has it all."""

    frame: pd.DataFrame
    limit: int = 50

    def _cells(self) -> tuple[list[str], list[list[str]], list[int], str]:
        shown = self.frame.head(self.limit)
        numeric = [i for i, kind in enumerate(shown.dtypes) if getattr(kind, "kind", "O") in "iuf"]
        days = {i for i, kind in enumerate(shown.dtypes) if kind == "datetime64[ms]" and _are_days(shown.iloc[:, i])}
        rows = [
            [_cell(v.date() if i in days and not is_missing(v) else v) for i, v in enumerate(row)]
            for row in shown.itertuples(index=False)
        ]
        n = len(self.frame)
        below = f"{n:,} row{'s' * (n != 1)}" + (f", {len(shown)} shown" if n > len(shown) else "")
        return [str(c) for c in shown.columns], rows, numeric, below

    def text(self) -> str:
        """Return the columns aligned, and how many rows there are."""
        header, rows, numeric, below = self._cells()
        return f"{text_table(header, rows, numeric=numeric)}\n{below}" if header else below

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        header, rows, numeric, below = self._cells()
        return join([table(header, rows, numeric=numeric), fill("<div style='opacity:.7'>{}</div>", below)])


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
                _cell(r.name, _WIDEST_NAME),
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
            f"{n:,} job{'s' * (n != 1)}" + (f", {len(rows)} shown" if n > len(rows) else ""),
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


class OptimizerTable(Table):
    """The list of optimizers, or the parameters of one."""

    def _cells(self) -> tuple[list[str], list[list[str]], list[int], str]:
        rows = [[str(v) for v in row] for row in self.frame.itertuples(index=False)]
        below = (
            f"{as_typed('optimizers NAME')} lists the parameters of one; --set parameter=value passes them to optimize"
        )
        return [str(c) for c in self.frame.columns], rows, [], below


@dataclass(frozen=True)
class StatusView(Readable):
    """The state of the store."""

    status: StoreStatus
    encryption: str

    def _rows(self) -> list[list[str]]:
        s = self.status
        waiting = f"{s.pending_segments} journal files have grown since" if s.pending_segments else "up to date"
        return [
            ["home", str(s.home)],
            ["journal", f"{amount(s.journal_bytes)}, {s.compacted:,} of its jobs compacted"],
            ["programs", amount(s.programs_bytes)],
            ["database", f"{amount(s.database_bytes)}, {waiting}"],
            ["schema", f"version {s.schema_version}, pending: {', '.join(s.pending_migrations) or 'none'}"],
            ["folded", f"{s.jobs:,} jobs, {s.events:,} events"],
            ["orphans", ", ".join(s.orphans) or "none"],
            ["torn lines", f"{s.torn_lines:,}"],
            ["trash", f"{counted(s.trash_jobs, 'job')}, {amount(s.trash_bytes)}" if s.trash_jobs else "empty"],
            ["backups", ", ".join(s.backups) or "none"],
            ["encryption", self.encryption],
            ["attach", s.attach],
        ]

    def text(self) -> str:
        """Return the facts, one a line."""
        return "\n".join(f"{word:<10}  {value}" for word, value in self._rows())

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        return table([], self._rows())


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
                rows.append([_cell(name, _WIDEST_NAME), _in_words(state), line])
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


def amount(size: int) -> str:
    """Write a size in bytes for a person."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"  # noqa: PLR2004  a million


def _are_days(times: pd.Series[Any]) -> bool:
    """Tell whether a column holds days: a DATE of SQL, which pandas has as midnights."""
    present = times.dropna()
    return bool((present == present.dt.normalize()).all())


def _cell(value: object, widest: int = _WIDEST) -> str:
    if is_missing(value):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, timedelta):
        return str(value).removeprefix("0 days ")
    return one_line(str(value), widest)


def _change(before: object, after: object) -> str:
    if is_missing(after):
        return ""
    start = "" if is_missing(before) else f"{points(before)} → "
    return f"{start}{points(after)}"
