"""What the dashboard does to chosen jobs, each with what takes it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.errors import unknown
from skillfleet_nb.format import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.fleet import Fleet

ACTIONS = ("rename", "note", "tag", "archive", "unarchive", "delete")


class Done(NamedTuple):
    """What was done, in words, and what takes it back and tells so."""

    told: str
    undo: Callable[[], str]


def curate(fleet: Fleet, what: str, jobs: Sequence[str], text: str = "") -> Done:
    """Do one of :data:`ACTIONS` to jobs, by id; `text` is the name, the note, or the tags (``-tag`` takes one away).

    Raises
    ------
    SkillfleetError
        As :class:`~skillfleet_nb.runs.jobs.curation.Curation` does.
    """
    c, n = fleet.curation, counted(len(jobs), "job")
    first = fleet.job(jobs[0])
    name, note = first.name, first.progress.note
    if what == "rename":
        message = f"{name} is now {c.rename(first.id, text).name}"
        return Done(message, lambda: f"called so again: {c.rename(first.id, name).name}")
    if what == "note":
        c.note(first.id, text)
        return Done(f"noted of {name}", lambda: f"the note of {c.note(first.id, note).name} is as before")
    if what == "tag":
        return _tag(fleet, jobs, text)
    if what in {"archive", "unarchive"}:
        back = what == "unarchive"
        c.archive(jobs, undo=back)
        there = {False: f"archived {n}", True: f"{n} back in the list"}
        return Done(there[back], lambda: _after(there[not back], c.archive(jobs, undo=not back)))
    if what == "delete":
        gone = c.delete(jobs)
        ids = [one.job_id for one in gone]
        return Done(f"moved {n} to the trash", lambda: _after(f"{n} back from the trash", c.restore(ids)))
    raise unknown("action", what, ACTIONS)


def _after(message: str, done: object) -> str:
    """Tell what was done."""
    del done
    return message


def _tag(fleet: Fleet, jobs: Sequence[str], text: str) -> Done:
    words = text.replace(",", " ").split()
    less, more = [w[1:] for w in words if w.startswith("-") and len(w) > 1], [w for w in words if not w.startswith("-")]
    before = {job: fleet.job(job).progress.tags for job in jobs}
    fleet.curation.tag(jobs, add=more, remove=less)

    def undo() -> str:
        for job, tags in before.items():
            fleet.curation.tag([job], add=tags, remove=[tag for tag in more if tag not in tags])
        return "the tags are as before"

    return Done(f"tags of {counted(len(jobs), 'job')} changed", undo)
