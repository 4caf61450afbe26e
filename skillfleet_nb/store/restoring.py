"""What people made of jobs that come back from a backup: their names, notes and tags come back with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.events import CURATION, Curated
from skillfleet_nb.store.home import Home
from skillfleet_nb.store.journal import Journal, follow
from skillfleet_nb.store.names import free, names_held
from skillfleet_nb.store.segments import segments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_WAIT_S = 10.0  # for whoever writes the same stream just now


def curated(folder: Path) -> dict[str, Curated]:
    """Return what people made of the jobs of a home, or of a backup of one, by job."""
    made: dict[str, Curated] = {}
    place = folder / "journal" / CURATION
    if place.is_symlink() or any(file.is_symlink() for file in place.glob("*")):  # no home makes any
        return made
    for event in follow(Home(folder), CURATION).read():
        if isinstance(edit := event.payload, Curated):
            made[edit.job] = _over(made.get(edit.job), edit)
    return made


def put_in_order(
    home: Home, jobs: Sequence[str], was: Mapping[str, Curated], name_by_job: Callable[[], dict[str, str]]
) -> dict[str, str]:
    """Give jobs that came back what they had, and a name of their own where another job has theirs by now.

    Parameters
    ----------
    home
        Where they are by now.
    jobs
        Their ids.
    was
        What was made of them in the backup, where that was not copied; what the home says of a job goes before it.
    name_by_job
        Asks for the names of all jobs of the home, by id.

    Returns
    -------
    dict
        By the name that a job had, the one that it has now, of those that had to change.
    """
    renamed, edits = dict[str, str](), list[Curated]()
    here = curated(home.root)
    with names_held(home):
        names = name_by_job()
        own = {job: here.get(job, Curated(job=job)) for job in jobs if job in names}
        back = {job: _over(was.get(job), edit) for job, edit in own.items()}
        wanted = {job: back[job].name or names[job] for job in own}
        others = {name for job, name in names.items() if job not in wanted}
        taken = others.union(wanted.values())
        for job, name in wanted.items():
            now = free(name, taken) if name in others else name
            if now != name:
                renamed[name] = now
                taken.add(now)
            edit = _over(back[job], Curated(job=job, name=now))
            if edit != _over(own[job], Curated(job=job, name=names[job])):
                edits.append(edit)
        if edits:
            with Journal(home, CURATION, wait_s=_WAIT_S, join=True) as journal:
                journal.append_many(edits, sync=True)
    return renamed


def lacks(home: Home, folder: Path, stream: str) -> bool:
    """Tell whether a stream of a backup says what the home's own of that name does not."""
    places = [folder / "journal" / stream, home.journal / stream]
    there, here = ({(part.name, part.size) for part in segments(place)} for place in places)
    return not there <= here


def _over(under: Curated | None, edit: Curated) -> Curated:
    """Lay an edit over earlier ones: what it leaves as it was is theirs."""
    return edit if under is None else under.model_copy(update=edit.model_dump(exclude_none=True))
