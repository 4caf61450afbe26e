"""Routes for a page that shows the dashboard without a kernel, as that of ``skillfleet serve`` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pydantic import Field

from skillfleet_nb.errors import InputError
from skillfleet_nb.server.route import Answer, Asked, Call, Nothing, route
from skillfleet_nb.server.wire import Name
from skillfleet_nb.widgets.curating import Action, Edit, curate

if TYPE_CHECKING:
    from skillfleet_nb.runs.jobs.job import Job

_MOST_JOBS, _LONGEST, _LONGEST_LIST = 1000, 4000, 30_000  # the last is a part of an address


class Drawn(Answer):
    """What draws the dashboard: its module, its style sheet, and the columns that are shown at first."""

    esm: str
    css: str
    library: str
    columns: list[str]


class Which(Asked):
    """Which jobs."""

    archived: bool = Field(default=False, description="those that were archived, in place of the others")


class Grid(Answer):
    """Jobs by column, the newest first: scores are in [0, 1], times in seconds since 1970."""

    columns: dict[str, list[Any]]
    n: int


class OfJobs(Asked):
    """Of which jobs."""

    jobs: str = Field(default="", max_length=_LONGEST_LIST, description="names or ids, with commas between them")


class WhichCurves(OfJobs):
    """Whose learning curves."""

    chosen: bool = Field(default=False, description="whether somebody chose these jobs; else they are the newest")


class Where(Asked):
    """What is opened."""

    path: str = Field(
        max_length=_LONGEST,
        description="a job, a program of it and an example of that, or @trends, @insights or @money: each encoded as "
        "a part of an address, with slashes between them",
    )

    @property
    def parts(self) -> list[str]:
        """What is opened, from the outermost on."""
        return [unquote(part) for part in self.path.split("/")]

    @property
    def job(self) -> str | None:
        """The job that it is of."""
        return None if self.parts[0].startswith("@") else self.parts[0]


class ToCurate(Asked):
    """What is done to jobs."""

    what: Action
    jobs: list[Name] = Field(min_length=1, max_length=_MOST_JOBS, description="names or ids")
    text: str = Field(
        default="", max_length=_LONGEST, description="the name, the note, or the tags, of which -tag takes one away"
    )


class Curated(Answer):
    """What was done, and the requests that take it back, with the words for that."""

    told: str
    undo: list[dict[str, Any]]
    undone: str


@route("GET", "dashboard", "what draws the dashboard", "read", gives=Drawn)
def _drawn(c: Call[Nothing]) -> object:
    from skillfleet_nb.widgets import grid
    from skillfleet_nb.widgets.job_rows import SHOWN

    del c
    return Drawn(esm=grid.module(), css=grid.style(), library=grid.VERSION, columns=list(SHOWN))


@route("GET", "dashboard/jobs", "the rows of the dashboard", "read", takes=Which, gives=Grid, kept="home")
def _jobs(c: Call[Which]) -> object:
    from skillfleet_nb.widgets.job_rows import rows_of

    rows = rows_of(c.fleet.jobs(archived=c.asked.archived))
    return Grid(columns=rows, n=len(rows["id"]))


@route("GET", "dashboard/curves", "learning curves of jobs", "read", takes=WhichCurves, kept="home")
def _curves(c: Call[WhichCurves]) -> object:
    from skillfleet_nb.widgets import grid

    return grid.curves(c.fleet, {job.id: job.name for job in _of(c)}, chosen=c.asked.chosen)


@route("GET", "dashboard/analysis", "which optimizers and parameters mattered", "read", takes=OfJobs, kept="home")
def _analysis(c: Call[OfJobs]) -> object:
    from skillfleet_nb.widgets import grid

    return {"html": grid.analysis(c.fleet, [job.id for job in _of(c)])}


@route("GET", "dashboard/page", "the page of what is opened", "read", takes=Where, kept="home")
def _page(c: Call[Where]) -> object:
    from skillfleet_nb.widgets.opened import opened

    # nothing can be put into a variable here
    return {**opened(c.fleet, c.asked.parts), "use": ""}


@route("POST", "curation", "rename, tag, note, archive, delete or restore jobs", "write", takes=ToCurate, gives=Curated)
def _curate(c: Call[ToCurate]) -> object:
    done = curate(c.fleet, Edit(c.asked.what, c.asked.jobs, c.asked.text))
    return Curated(told=done.told, undo=[edit._asdict() for edit in done.undo], undone=done.undone)


def _of(c: Call[Any]) -> list[Job]:
    names = [name for part in c.asked.jobs.split(",") if (name := part.strip())]
    if len(names) > _MOST_JOBS:
        raise InputError(f"{len(names):,} jobs: name {_MOST_JOBS:,} at most")
    return [c.fleet.job(name) for name in names]
