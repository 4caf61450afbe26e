"""The jobs of a home: sort, filter and group them, compare them, put them in order, and open one down to its calls.

The page gets every job once and then what changed, as messages: nothing of it is a state that a notebook would keep.
What stands in the traits is small, and the same for the kernel and every page: filters, choice, and what is opened.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anywidget
import orjson
import traitlets as t

from skillfleet_nb.commands.job_views import RunHistory
from skillfleet_nb.errors import InputError, SkillfleetError, unknown
from skillfleet_nb.events import JobState
from skillfleet_nb.widgets import grid
from skillfleet_nb.widgets.clicks import let_in
from skillfleet_nb.widgets.curating import Edit, curate
from skillfleet_nb.widgets.face import Face, Twice, checked_name, free, put
from skillfleet_nb.widgets.job_rows import COLUMNS, SHOWN, changed, found, packed, rows_of
from skillfleet_nb.widgets.opened import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd

    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.reports.stored_programs import StoredProgram
    from skillfleet_nb.widgets.curating import Done
    from skillfleet_nb.widgets.face import Change

_TURN_S = 2.0
_UNFINISHED = {str(state) for state in JobState if not state.is_finished()}


class JobGrid(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget is untyped
    """What a page and the kernel share."""

    _esm = grid.module()
    _css = grid.style()
    library = t.Unicode().tag(sync=True)
    filters = t.Dict(value_trait=t.Unicode()).tag(sync=True)
    chosen = t.List(t.Unicode()).tag(sync=True)
    path = t.List(t.Unicode()).tag(sync=True)
    columns = t.List(t.Unicode(), list(SHOWN)).tag(sync=True)
    grouped = t.Bool(True).tag(sync=True)
    archived = t.Bool(False).tag(sync=True)


class Dashboard(Face):
    """The jobs of a home to look through.  Whatever can be clicked is a method as well.

    Parameters
    ----------
    fleet
        Of the home.

    Examples
    --------
    >>> import tempfile
    >>> from skillfleet_nb import Fleet
    >>> view = Dashboard(Fleet(tempfile.mkdtemp()))
    >>> view.filter(state="running", test="> 80")
    >>> len(view.found)
    0
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.answer = RunHistory(fleet)
        self._lock = threading.RLock()
        self._follower: threading.Thread | None = None
        self._closed = threading.Event()
        self._done: Done | None = None
        self._twice = Twice()
        self.box = JobGrid(library=grid.VERSION, **self._remembered())
        let_in(self.box.comm)
        self._jobs, self._rows = self._asked()
        self._follow()
        self.box.on_msg(self._heard)
        self.box.observe(self._chosen, ["chosen", "filters"])
        self.box.observe(self._opened, ["path"])
        self.box.observe(self._looks, ["columns", "grouped"])
        self.box.observe(lambda _: self._renew(), ["archived"])

    @property
    def found(self) -> pd.DataFrame:
        """The jobs that the filters leave, newest first; columns as in the relation ``jobs``."""
        return self._jobs.iloc[found(self._rows, self.box.filters)]

    @property
    def shown(self) -> list[str]:
        """Names of these jobs."""
        return [str(name) for name in self.found["name"]]

    def filter(self, **wishes: str | None) -> None:
        """Show only some jobs, by the columns' words; None takes a wish back.

        A text is found anywhere in what a column shows, in capitals or not; a number is ``"> 80"`` or ``"< 0.5"``,
        scores in points, times in seconds.

        Raises
        ------
        NotFoundError
            If there is no such column.
        """
        for name in wishes:
            if name not in COLUMNS:
                raise unknown("column", name, COLUMNS)
        kept = {**self.box.filters, **wishes}
        self.box.filters = {name: text for name, text in kept.items() if text}

    def choose(self, *jobs: str) -> None:
        """Tick these jobs, by name or id, and no others: their curves are drawn, and commands act on them."""
        self.box.chosen = [self._fleet.job(job).id for job in jobs]

    def open(self, job: str | None = None, program: str | None = None, example: str | None = None) -> None:
        """Show the page of a job, of a program of it, or of an example of that; without any, none.

        ``"@trends"``, ``"@insights"`` and ``"@money"`` are the pages about all runs; with a job, ``"@traces"`` in place
        of a program is that of its calls as trees.
        """
        path = [part for part in (job, program, example) if part is not None]
        if job is not None and not job.startswith("@"):
            path[0] = self._fleet.job(job).id
        opened(self._fleet, path)
        self.box.path = path

    def use(self, name: str, *, replace: bool = False) -> Any:
        """Put the opened program into a variable of the notebook, and return it.

        Raises
        ------
        TakenError
            If the variable has a value already, and `replace` does not say to replace it.
        SkillfleetError
            If no program is opened, it cannot be made, or `name` is no variable's.
        """
        checked_name(name)
        program = self._program().load()
        put(name, program, replace=replace)
        return program

    def save(self, path: str, *, replace: bool = False) -> Path:
        """Write the opened program as JSON that ``dspy`` loads; raises as :meth:`use` does."""
        return self._program().save(free(path, replace=replace))

    def refresh(self) -> None:
        """Look again; while jobs are unfinished this happens by itself."""
        with self._lock:
            self._jobs, new = self._asked()
            rows, gone = changed(self._rows, new)
            self._rows = new
            if rows["id"] or gone:
                self._send_rows(rows, whole=False, gone=gone)
                self._draw_curves()
                if self.box.path and self.box.path[0] in rows["id"]:
                    self._draw_page(focus=False)
            self._follow()

    def analyse(self, *jobs: str) -> str:
        """Compare the optimizers of jobs, and tell which parameters mattered, as HTML."""
        return grid.analysis(self._fleet, jobs)

    def close(self) -> None:
        """Take the dashboard off its page, and stop looking."""
        self.box.close()
        self._closed.set()

    def _asked(self) -> tuple[pd.DataFrame, dict[str, list[Any]]]:
        jobs = self._fleet.jobs(archived=self.box.archived)
        return jobs, rows_of(jobs)

    def _renew(self) -> None:
        """Send every job anew."""
        with self._lock:
            self._jobs, self._rows = self._asked()
            self.box.chosen = [job for job in self.box.chosen if job in set(self._rows["id"])]
            self._send_rows(self._rows, whole=True, gone=[])
            self._follow()

    def _send_rows(self, rows: Mapping[str, list[Any]], *, whole: bool, gone: list[str]) -> None:
        data = packed(rows, whole=whole, gone=gone, total=len(self._rows["id"]))
        self.box.send({"kind": "rows"}, [data])

    def _send_library(self) -> None:
        self.box.send({"kind": "library"}, [grid.LIBRARY.read_bytes()])

    def _heard(self, _: object, message: object, __: object) -> None:
        """Take in what a page asks or does; on whatever thread the kernel reads it."""
        if not isinstance(message, dict):
            return
        try:
            answers: dict[str, Callable[[], None]] = {
                "library": self._send_library,
                "rows": lambda: self._send_rows(self._rows, whole=True, gone=[]),
                "curves": self._draw_curves,
                "page": lambda: self._draw_page(focus=False),
            }
            asked = answers.get(str(message.get("ask")))
            if asked is not None:
                with self._lock:
                    asked()
            if "do" in message:
                self._do(message)
        except (SkillfleetError, OSError) as exc:
            self._tell(str(exc))

    def _do(self, message: Mapping[str, Any]) -> None:
        what, jobs = str(message["do"]), [str(job) for job in message.get("jobs") or ()]
        if what == "refresh":
            self.refresh()
        elif what == "analyse":
            self.box.send({"kind": "analysis", "html": self.analyse(*jobs)})
        elif what == "use":
            name = str(message["name"])
            self._twice(f"use {name}", lambda replace: self.use(name, replace=replace))
            self._tell(f"{message['name']} is program {self.box.path[1]}")
        elif what == "save":
            file = str(message["file"])
            saved = self._twice(f"save {file}", lambda replace: self.save(file, replace=replace))
            self._tell(f"saved {saved}: program.load({message['file']!r}) reads it")
        elif what == "decide":
            decision = message.get("decision")
            insight = self._fleet.notes.decide(str(message["insight"]), decision)
            self._tell(f"{decision or 'undecided again'}: {insight.text}")
            self._draw_page(focus=False)
        elif what == "undo":
            done, self._done = self._done, None
            if done is not None:
                self._tell(done.take_back(self._fleet))
                self._renew()
        elif jobs:
            self._done = curate(self._fleet, Edit(what, jobs, str(message.get("text") or "")))
            if what == "delete" and self.box.path[:1] and self.box.path[0] in jobs:
                self.box.path = []
            self._tell(self._done.told, undo=True)
            self._renew()

    def _tell(self, text: str, *, undo: bool = False) -> None:
        self.box.send({"kind": "told", "text": text, "undo": undo})

    def _chosen(self, change: Change) -> None:
        del change
        with self._lock:
            self._draw_curves()

    def _opened(self, change: Change) -> None:
        del change
        try:
            self._draw_page(focus=True)
        except SkillfleetError as exc:
            self._tell(str(exc))

    def _draw_page(self, *, focus: bool) -> None:
        self.box.send({"kind": "page", "focus": focus, **opened(self._fleet, self.box.path)})

    def _draw_curves(self) -> None:
        """Draw the curves of the chosen jobs, or of the newest that are shown."""
        names = dict(zip(self._rows["id"], self._rows["name"], strict=True))
        ticked = [job for job in self.box.chosen if job in names]
        shown = ticked or [str(job) for job in self.found["job_id"].head(grid.NEWEST)]
        curves = grid.curves(self._fleet, {job: names[job] for job in shown}, chosen=bool(ticked))
        self.box.send({"kind": "curves", **curves})

    def _program(self) -> StoredProgram:
        if len(self.box.path) < 2:  # noqa: PLR2004  a job and a program
            raise InputError("no program is opened: open a job, then one of its programs")
        job, program = self.box.path[:2]
        return self._fleet.programs.find(program, job)

    @property
    def _memory(self) -> Path:
        return self._fleet.home.root / "dashboard.json"

    def _remembered(self) -> dict[str, Any]:
        """Read which columns were chosen in this home, and whether jobs are grouped."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            kept = orjson.loads(self._memory.read_bytes())
            columns = [name for name in kept["columns"] if name in COLUMNS]
            if columns:
                return {"columns": columns, "grouped": bool(kept["grouped"])}
        return {}

    def _looks(self, change: Change) -> None:
        del change
        with suppress(OSError):  # of no weight
            self._fleet.home.ensure()
            self._memory.write_bytes(orjson.dumps({"columns": self.box.columns, "grouped": self.box.grouped}))

    def _follow(self) -> None:
        """Look every two seconds while jobs are unfinished, on one thread."""
        if self._follower is None and not _UNFINISHED.isdisjoint(self._rows["state"]):
            self._follower = threading.Thread(target=self._turns, name="skillfleet-dashboard", daemon=True)
            self._follower.start()

    def _turns(self) -> None:
        while not self._closed.wait(_TURN_S):
            with self._lock:
                try:
                    self.refresh()
                except SkillfleetError as exc:
                    self._tell(str(exc))
                if self.box.comm is not None and not _UNFINISHED.isdisjoint(self._rows["state"]):
                    continue
                break
        self._follower = None
