"""The runs of a home: filter them, compare their curves and costs, open one; live while any of them runs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets as w
import traitlets as t

from skillfleet_nb.commands.views import JobReport, JobTable, RunHistory
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.events import JobState
from skillfleet_nb.html import fill, preformatted
from skillfleet_nb.widgets.face import Face

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    import pandas as pd
    from markupsafe import Markup

    from skillfleet_nb.charts import Chart
    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.widgets.face import Change

_STATIC = Path(__file__).parent / "static"
_PAGE, _CURVES = 15, 5
_TURN_S = 2.0
_ALL = "all"
_CHOICES = ("state", "optimizer", "domain", "tag")
_UNFINISHED = [str(state) for state in JobState if not state.is_finished()]


class RunTable(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget is untyped
    """One page of runs; Python keeps it in step with the filter, a click on a name comes as a message."""

    _esm = _STATIC / "job_table.js"
    _css = _STATIC / "job_table.css"
    rows = t.List().tag(sync=True)
    ticked = t.List(t.Unicode()).tag(sync=True)
    page = t.Int(0).tag(sync=True)
    pages = t.Int(1).tag(sync=True)
    told = t.Unicode("").tag(sync=True)


class Dashboard(Face):
    """The runs of a home to look through.  Whatever can be clicked is a method as well.

    Parameters
    ----------
    fleet
        Of the home.

    Examples
    --------
    >>> import tempfile
    >>> from skillfleet_nb import Fleet
    >>> view = Dashboard(Fleet(tempfile.mkdtemp()))
    >>> view.filter(state="running")
    >>> len(view.found)
    0
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.answer = RunHistory(fleet)
        self._lock = threading.RLock()
        self._follower: threading.Thread | None = None
        self._closed = threading.Event()
        self._running = False
        self._opened: str | None = None
        self._drawn: dict[str, Any] = {}
        self._quiet: int | None = None  # thread that sets controls itself
        self.table = RunTable()
        self._controls = self._made_controls()
        self._pareto, self._curves, self._detail, self._problem = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        self.box = self._laid_out()
        self.refresh()
        self.table.observe(self._changed, ["page", "ticked"])
        self.table.on_msg(self._clicked)

    @property
    def found(self) -> pd.DataFrame:
        """The runs that the filter leaves, newest first; columns as in the relation ``jobs``."""
        return self._found

    def filter(self, **wishes: str | date | None) -> None:
        """Show only some runs, as :meth:`skillfleet_nb.Fleet.jobs` picks them; None takes a wish back.

        Raises
        ------
        InputError
            If there is no such wish, or a value is not possible.
        """
        from skillfleet_nb.errors import unknown

        for name, value in wishes.items():
            if name not in self._controls:
                raise unknown("filter", name, self._controls)
            control = self._controls[name]
            if value is not None and name in _CHOICES and value not in control.options:
                raise unknown(name, str(value), [o for o in control.options if o != _ALL])
        with self._lock, self._held():
            for name, value in wishes.items():
                empty = _ALL if name in _CHOICES else "" if name == "text" else None
                self._controls[name].value = empty if value is None else value
            self.table.page = 0
        self.refresh()

    def compare(self, jobs: Sequence[str]) -> None:
        """Draw the learning curves of these runs, by name or id."""
        self.table.ticked = [self._fleet.job(job).id for job in jobs]

    def open(self, job: str | None) -> None:
        """Show the page of a run, by name or id; None goes back to the list."""
        self._opened = None if job is None else self._fleet.job(job).id
        self._drawn.pop("detail", None)
        self.refresh()

    def refresh(self) -> None:
        """Look again; while runs are unfinished this happens by itself."""
        with self._lock:
            try:
                self._draw()
                self._problem.value = ""
            except SkillfleetError as exc:
                self._problem.value = preformatted(str(exc))

    def close(self) -> None:
        """Take the dashboard off its page, and stop looking."""
        self.box.close()
        self._closed.set()

    def _made_controls(self) -> dict[str, Any]:
        style = {"description_width": "initial"}
        made: dict[str, Any] = {
            "text": w.Text(description="name", placeholder="part of a name", continuous_update=False, style=style)
        }
        made |= {name: w.Dropdown(options=[_ALL], description=name, style=style) for name in _CHOICES}
        made |= {name: w.DatePicker(description=name, style=style) for name in ("since", "until")}
        for control in made.values():
            control.layout.width = "auto"
            control.observe(self._changed, ["value"])
        return made

    def _laid_out(self) -> Any:
        wrap = {"flex_flow": "row wrap", "align_items": "center"}
        again = w.Button(description="Refresh", tooltip="look for new jobs", layout=w.Layout(width="90px"))
        again.on_click(lambda _: self.refresh())
        back = w.Button(description="All jobs", layout=w.Layout(width="110px"))
        back.on_click(lambda _: self.open(None))
        filters = w.HBox([*self._controls.values(), again], layout=w.Layout(**wrap))
        for picture in (self._pareto, self._curves):
            picture.layout.max_width = "100%"  # a narrow page scrolls the picture, which the keyboard reaches
        side_by_side = w.Layout(flex_flow="row wrap", align_items="flex-start", overflow="visible")
        charts = w.HBox([self._pareto, self._curves], layout=side_by_side)
        self._listing = w.VBox([filters, self.table, charts])
        self._page_of_one = w.VBox([back, self._detail], layout=w.Layout(display="none"))
        return w.VBox([self._problem, self._listing, self._page_of_one])

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Let controls be set without looking after each."""
        self._quiet = threading.get_ident()
        try:
            yield
        finally:
            self._quiet = None

    def _changed(self, change: Change) -> None:
        if self._quiet == threading.get_ident():
            return
        with self._lock:
            if change["owner"] is not self.table:
                with self._held():
                    self.table.page = 0
            self.refresh()

    def _clicked(self, _: object, message: object, __: object) -> None:
        if isinstance(message, dict) and isinstance(message.get("open"), str):
            try:
                self.open(message["open"])
            except SkillfleetError as exc:
                self._problem.value = preformatted(str(exc))

    def _draw(self) -> None:
        everything = self._fleet.jobs()
        self._offer(everything)
        self._found = self._fleet.jobs(**self._wishes())
        self._turn(len(everything))
        self._listing.layout.display = None if self._opened is None else "none"
        self._page_of_one.layout.display = "none" if self._opened is None else None
        seen = self._found[["job_id", "state", "lm_calls", "best_score", "test_score"]].astype(str)
        if self._opened is None:
            self._once("pareto", seen.to_csv(), self._draw_pareto)
            self._once("curves", seen.to_csv() + str(self.table.ticked), self._draw_curves)
        else:
            one = everything[everything["job_id"] == self._opened].astype(str)
            self._once("detail", one.to_csv(), self._draw_detail)
        self._running = bool(everything["state"].isin(_UNFINISHED).any())
        if self._running:
            self._follow()

    def _once(self, part: str, facts: str, draw: Callable[[], None]) -> None:
        """Draw a part only where its facts are new: most turns find nothing."""
        if self._drawn.get(part) != facts:
            draw()
            self._drawn[part] = facts

    def _wishes(self) -> dict[str, Any]:
        values = {name: control.value for name, control in self._controls.items()}
        return {k: None if v in (_ALL, "") else v for k, v in values.items()}

    def _offer(self, jobs: pd.DataFrame) -> None:
        """Offer what there is to choose from; a choice stays, also when its last run is gone."""
        tags = {str(tag) for given in jobs["tags"] for tag in given}
        there = {**{c: set(jobs[c].dropna().astype(str)) for c in ("state", "optimizer", "domain")}, "tag": tags}
        with self._held():
            for name, found in there.items():
                control = self._controls[name]
                options = [_ALL, *sorted(found | ({control.value} - {_ALL}))]
                if list(control.options) != options:
                    chosen = control.value
                    control.options = options
                    control.value = chosen

    def _turn(self, total: int) -> None:
        n = len(self._found)
        pages = max(1, -(-n // _PAGE))
        page = min(max(self.table.page, 0), pages - 1)
        shown = self._found.iloc[page * _PAGE : (page + 1) * _PAGE]
        told = f"{n:,} of {total:,} job{'s' * (total != 1)}"
        told = told if total else "no jobs yet: %skillfleet optimize starts one"
        with self._held(), self.table.hold_sync():
            self.table.rows, self.table.told = _rows(shown), told
            self.table.pages, self.table.page = pages, page

    def _draw_pareto(self) -> None:
        self._pareto.value = _picture(self._fleet.charts.pareto(*self._found["job_id"])) if len(self._found) else ""

    def _draw_curves(self) -> None:
        ticked = [job for job in self.table.ticked if job in set(self._found["job_id"])]
        chosen = ticked or self._found["job_id"].head(_CURVES).tolist()
        which = "" if ticked or len(self._found) <= 1 else f"the newest {len(chosen)}; tick jobs to compare these"
        if chosen:
            drawn = _picture(self._fleet.charts.convergence(*chosen))
            self._curves.value = fill("{}<div style='opacity:.75;padding-left:12px'>{}</div>", drawn, which)
        else:
            self._curves.value = ""

    def _draw_detail(self) -> None:
        job = self._fleet.job(str(self._opened))
        self._detail.value = JobReport(job, self._fleet.trials(job.id)).html()

    def _follow(self) -> None:
        """Look every two seconds while runs are unfinished, on one thread."""
        if self._follower is None:
            self._follower = threading.Thread(target=self._turns, name="skillfleet-dashboard", daemon=True)
            self._follower.start()

    def _turns(self) -> None:
        while True:
            self._closed.wait(_TURN_S)
            with self._lock:
                if self.box.comm is not None:
                    self.refresh()
                    if self._running:
                        continue
                self._follower = None
                return


def _rows(jobs: pd.DataFrame) -> list[dict[str, str]]:
    domains = jobs["domain"].fillna("").astype(str)
    cells = [dict(zip(JobTable.HEADER, row, strict=True)) for row in JobTable(jobs, limit=_PAGE).rows()]
    facts = zip(jobs["job_id"], jobs["name"], jobs["tags"], domains, cells, strict=True)
    return [
        {**shown, "id": str(job), "whole": str(name), "tags": ", ".join(tags), "domain": domain}
        for job, name, tags, domain, shown in facts
    ]


def _picture(chart: Chart) -> Markup:
    scrolling = "<div style='overflow-x:auto' tabindex='0' role='region' aria-label='{}'>{}</div>"
    return fill(scrolling, chart.title, chart.svg)
