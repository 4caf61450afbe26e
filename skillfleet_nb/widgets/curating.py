"""What the dashboard does to chosen jobs, each with what takes it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from skillfleet_nb.errors import unknown
from skillfleet_nb.format import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.fleet import Fleet

Action = Literal["rename", "note", "tag", "archive", "unarchive", "delete", "restore"]
ACTIONS: tuple[str, ...] = get_args(Action)


class Edit(NamedTuple):
    """One of :data:`ACTIONS` on jobs, by id; `text` is the name, the note, or the tags (``-tag`` takes one away)."""

    what: str
    jobs: Sequence[str]
    text: str = ""


class Done(NamedTuple):
    """What was done, in words, and the edits that take it back, with the words for that."""

    told: str
    undo: tuple[Edit, ...]
    undone: str

    def take_back(self, fleet: Fleet) -> str:
        """Undo it; return what was done, in words."""
        for edit in self.undo:
            curate(fleet, edit)
        return self.undone


def curate(fleet: Fleet, edit: Edit) -> Done:
    """Do what an edit says.

    Raises
    ------
    SkillfleetError
        As :class:`~skillfleet_nb.runs.jobs.curation.Curation` does.
    """
    c, (what, jobs, text) = fleet.curation, edit
    n = counted(len(jobs), "job")
    if what == "restore":
        c.restore(jobs)
        return Done(f"{n} back from the trash", (Edit("delete", jobs),), f"moved {n} to the trash again")
    if what == "tag":
        return _tag(fleet, jobs, text)
    if what in {"archive", "unarchive"}:
        back = what == "unarchive"
        c.archive(jobs, undo=back)
        there = {False: f"archived {n}", True: f"{n} back in the list"}
        return Done(there[back], (Edit("archive" if back else "unarchive", jobs),), there[not back])
    if what == "delete":
        ids = [one.job_id for one in c.delete(jobs)]
        return Done(f"moved {n} to the trash", (Edit("restore", ids),), f"{n} back from the trash")
    if what not in ACTIONS:
        raise unknown("action", what, ACTIONS)
    first = fleet.job(jobs[0])
    name, note = first.name, first.progress.note
    if what == "rename":
        renamed = c.rename(first.id, text).name
        return Done(f"{name} is now {renamed}", (Edit("rename", [first.id], name),), f"called so again: {name}")
    c.note(first.id, text)
    return Done(f"noted of {name}", (Edit("note", [first.id], note),), f"the note of {name} is as before")


def _tag(fleet: Fleet, jobs: Sequence[str], text: str) -> Done:
    words = text.replace(",", " ").split()
    less, more = [w[1:] for w in words if w.startswith("-") and len(w) > 1], [w for w in words if not w.startswith("-")]
    before = {job: fleet.job(job).progress.tags for job in jobs}
    fleet.curation.tag(jobs, add=more, remove=less)
    texts: dict[str, list[str]] = {}  # what takes it back, of which jobs
    for job, tags in before.items():
        back = " ".join([*(tag for tag in less if tag in tags), *(f"-{tag}" for tag in more if tag not in tags)])
        texts.setdefault(back, []).append(job)
    undo = tuple(Edit("tag", ids, back) for back, ids in texts.items() if back)
    return Done(f"tags of {counted(len(jobs), 'job')} changed", undo, "the tags are as before")
