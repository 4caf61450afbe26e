"""How answers look: each has a text for terminals and an HTML for notebooks, with the same facts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from skillfleet_nb.markup import preformatted, progress_bar, table, text_table
from skillfleet_nb.runs.progress import duration, money

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.commands.tree import Parser
    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.runs.job import Job
    from skillfleet_nb.store import StoreStatus

_WIDEST, _WIDEST_NAME = 60, 40  # characters of a cell


@dataclass(frozen=True)
class Note:
    """A few words."""

    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return preformatted(self.text)


@dataclass(frozen=True)
class Parts:
    """Several answers, one after the other."""

    answers: list[Any]

    def __str__(self) -> str:
        return "\n\n".join(as_text(a) for a in self.answers)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(a._repr_html_() for a in self.answers)


def as_text(answer: Any) -> str:
    """Return an answer as text for a terminal."""
    text = getattr(answer, "text", None)
    return str(text()) if callable(text) else str(answer)


@dataclass(frozen=True)
class ProgressLine:
    """Where a job is, in one line; in a notebook with a bar, and `note` below."""

    line: str
    share: float | None = None
    note: str = ""

    def __str__(self) -> str:
        return f"{self.line}\n{self.note}" if self.note else self.line

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return progress_bar(self.line, self.share) + (f"<div>{escape(self.note)}</div>" if self.note else "")


@dataclass(frozen=True)
class Table:
    """A data frame, tidy: `limit` rows, long texts cut; :attr:`frame` has it all."""

    frame: pd.DataFrame
    limit: int = 50

    def _cells(self) -> tuple[list[str], list[list[str]], list[int], str]:
        shown = self.frame.head(self.limit)
        numeric = [at for at, kind in enumerate(shown.dtypes) if getattr(kind, "kind", "O") in "iuf"]
        rows = [[_cell(v) for v in row] for row in shown.itertuples(index=False)]
        n = len(self.frame)
        below = f"{n:,} row{'s' * (n != 1)}" + (f", {len(shown)} shown" if n > len(shown) else "")
        return [str(c) for c in shown.columns], rows, numeric, below

    def __str__(self) -> str:
        header, rows, numeric, below = self._cells()
        return f"{text_table(header, rows, numeric=numeric)}\n{below}" if header else below

    __repr__ = __str__

    def _repr_html_(self) -> str:
        header, rows, numeric, below = self._cells()
        return table(header, rows, numeric=numeric) + f"<div style='opacity:.7'>{below}</div>"


class JobTable(Table):
    """The job list: what a person looks for first; :attr:`frame` has every column."""

    def _cells(self) -> tuple[list[str], list[list[str]], list[int], str]:
        header = ["name", "state", "optimizer", "validation", "test", "verdict", "calls", "cost", "time", "started"]
        rows = [
            [
                _cell(r.name, _WIDEST_NAME),
                str(r.state),
                str(r.optimizer),
                _change(r.baseline_score, r.best_score),
                _change(r.test_baseline, r.test_score),
                "" if _none(r.verdict) else str(r.verdict),
                f"{int(r.lm_calls or 0):,}",
                money(None if _none(r.cost_usd) else float(r.cost_usd)),
                "" if _none(r.wall_s) else duration(float(r.wall_s)),
                _ago(r.created_at),
            ]
            for r in (SimpleNamespace(**{str(k): v for k, v in row.items()}) for row in self._records())
        ]
        if not rows:
            return [], [], [], "no jobs yet: %skillfleet optimize starts one, %skillfleet demo shows one"
        n = len(self.frame)
        return header, rows, [6, 7], f"{n:,} job{'s' * (n != 1)}" + (f", {len(rows)} shown" if n > len(rows) else "")

    def _records(self) -> list[dict[Any, Any]]:
        return self.frame.head(self.limit).to_dict("records")


class OptimizerTable(Table):
    """The list of optimizers, or the parameters of one."""

    def _cells(self) -> tuple[list[str], list[list[str]], list[int], str]:
        rows = [[str(v) for v in row] for row in self.frame.itertuples(index=False)]
        below = "optimizers NAME lists the parameters of one; --set parameter=value passes them to optimize"
        return [str(c) for c in self.frame.columns], rows, [], below


@dataclass(frozen=True)
class StatusView:
    """The state of the store."""

    status: StoreStatus

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
            ["backups", ", ".join(s.backups) or "none"],
            ["attach", s.attach],
        ]

    def __str__(self) -> str:
        return "\n".join(f"{word:<10}  {value}" for word, value in self._rows())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return table([], self._rows())


@dataclass(frozen=True)
class JobReport:
    """One job in full: facts, learning curve, and what changed in the prompts."""

    job: Job
    trials: pd.DataFrame

    def _diff(self) -> Any:
        from skillfleet_nb.errors import SkillfleetError

        try:
            return self.job.diff()
        except SkillfleetError as exc:
            return Note(str(exc))

    def __str__(self) -> str:
        from skillfleet_nb.charts import convergence_data, sparkline

        best = convergence_data(self.trials).best.dropna().tolist()
        curve = f"best so far  {sparkline(best)}\n\n" if best else ""
        return f"{self.job}\n{curve}{self._diff()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from skillfleet_nb.charts import convergence, convergence_data, to_svg

        data = convergence_data(self.trials)
        chart = to_svg(convergence(data, title="learning curve")) if len(data) > 1 else ""
        diff = self._diff()._repr_html_()
        return f"<div>{self.job._repr_html_()}<div style='margin:8px 0'>{chart}</div>{diff}</div>"


@dataclass(frozen=True)
class Overview:
    """What ``%skillfleet`` alone shows: where one is, and what one can do."""

    fleet: Fleet
    parser: Parser
    lm: str | None

    def __str__(self) -> str:
        jobs = self.fleet.jobs()
        lm = (
            self.lm
            or "none: dspy.configure(lm=dspy.LM('openai/…')), or skillfleet_nb.offline_lm() to try without a key"
        )
        commands = [[name, _help(self.parser, name)] for name in self.parser.children()]
        newest = f"\n\n{JobTable(jobs, limit=3)}" if len(jobs) else ""
        return (
            f"home  {self.fleet.home}\nLM    {lm}{newest}\n\n"
            f"{text_table(['command', ''], commands)}\n\n{self.parser.prog} help COMMAND tells more"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return preformatted(str(self))


def _help(parser: Parser, command: str) -> str:
    for action in parser._actions:  # noqa: SLF001  argparse has no public way to a subcommand's help
        for choice in getattr(action, "_choices_actions", ()):
            if choice.dest == command:
                return str(choice.help)
    return ""


def amount(size: int) -> str:
    """Write a size in bytes for a person."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"  # noqa: PLR2004  a million


def _none(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or repr(value) in {"NaT", "<NA>"}


def _cell(value: Any, widest: int = _WIDEST) -> str:
    if _none(value):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    text = " ".join(str(value).split())
    return text if len(text) <= widest else text[: widest - 1] + "…"


def _change(before: Any, after: Any) -> str:
    if _none(after):
        return ""
    start = "" if _none(before) else f"{100 * float(before):.1f} → "
    return f"{start}{100 * float(after):.1f}"


def _ago(at: Any) -> str:
    if _none(at):
        return ""
    moment = at.to_pydatetime() if hasattr(at, "to_pydatetime") else at
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"{duration((datetime.now(UTC) - moment).total_seconds())} ago"
