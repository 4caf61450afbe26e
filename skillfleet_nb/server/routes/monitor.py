"""Routes for pages that draw the monitor without a kernel, as JupyterLab's sidebar does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.server.route import Answer, Call, Nothing, route

if TYPE_CHECKING:
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.jobs.picture import Picture


class Page(Answer):
    """What draws the monitor: its module, and its style sheet."""

    esm: str
    css: str


@route("GET", "monitor", "the module and the style sheet that draw a job's picture", "read", gives=Page)
def _monitor(c: Call[Nothing]) -> object:
    del c
    from pathlib import Path

    from skillfleet_nb import widgets
    from skillfleet_nb.design import script, stylesheet

    folder = Path(widgets.__file__).with_name("static")
    return Page(esm=script(folder / "monitor.js"), css=stylesheet(folder / "monitor.css"))


@route("GET", "jobs/{job}/picture", "what the monitor draws of a job", "read", kept="job", ticks=True)
def _picture(c: Call[Nothing]) -> object:
    job = c.fleet.job(c.path["job"])
    picture = job.picture()
    asked = picture["question"] or {}
    return {
        **picture,
        "diff": _changes(job, (picture["tried"] or {}).get("programs")),
        "proposed": _changes(job, asked.get("programs")),
        "still": _still(job, picture) if picture["finished"] else "",
    }


def _changes(job: Job, programs: tuple[str, str] | None) -> str:
    from skillfleet_nb.runs.jobs.picture import changes

    return str(changes(job.home, *programs) or "") if programs else ""


def _still(job: Job, picture: Picture) -> str:
    from skillfleet_nb.reports.after_run import failing, next_steps
    from skillfleet_nb.runs.jobs.picture import changes
    from skillfleet_nb.store.blobs import Blobs
    from skillfleet_nb.widgets.still import After, still

    compared = (picture["result"] or {}).get("programs")
    steps = [*next_steps(job), *filter(None, [job.next_step()])]
    after = After(*failing(job), steps, Blobs(job.home).read)
    return str(still(picture, changes(job.home, *compared) if compared else None, "", after))
