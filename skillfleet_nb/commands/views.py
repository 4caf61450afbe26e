"""How answers look: each has a text for terminals and an HTML for notebooks, with the same facts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as url_quote

from skillfleet_nb.format import counted, is_missing, one_line, seen_from_here, visible
from skillfleet_nb.html import Readable, drawing, fill, join, preformatted, progress_bar, table, text_table
from skillfleet_nb.messages import as_typed

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from skillfleet_nb.store import StoreStatus

_WIDEST = 60  # characters of a cell


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

    @drawing()
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
            [cell(v.date() if i in days and not is_missing(v) else v) for i, v in enumerate(row)]
            for row in shown.itertuples(index=False)
        ]
        n = len(self.frame)
        below = counted(n, "row") + (f", {len(shown)} shown" if n > len(shown) else "")
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
        grown = "has grown since" if s.pending_segments == 1 else "have grown since"
        waiting = f"{counted(s.pending_segments, 'journal file')} {grown}" if s.pending_segments else "up to date"
        return [
            ["home", str(s.home)],
            ["journal", f"{amount(s.journal_bytes)}, {s.compacted:,} of its jobs compacted"],
            ["programs", amount(s.programs_bytes)],
            ["database", f"{amount(s.database_bytes)}, {waiting}"],
            ["schema", f"version {s.schema_version}, pending: {', '.join(s.pending_migrations) or 'none'}"],
            ["folded", f"{counted(s.jobs, 'job')}, {counted(s.events, 'event')}"],
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


def amount(size: int) -> str:
    """Write a size in bytes for a person."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"  # noqa: PLR2004  a million


def _are_days(times: pd.Series[Any]) -> bool:
    """Tell whether a column holds days: a DATE of SQL, which pandas has as midnights."""
    present = times.dropna()
    return bool((present == present.dt.normalize()).all())


def cell(value: object, widest: int = _WIDEST) -> str:
    """Write what stands in a cell of a table; what is longer than `widest` characters is cut."""
    if is_missing(value):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, timedelta):
        return str(value).removeprefix("0 days ")
    return one_line(str(value), widest)
