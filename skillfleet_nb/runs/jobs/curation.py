"""Jobs put in order: renamed, tagged, noted, archived, deleted, brought back and given up for good."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError, JobError, unknown
from skillfleet_nb.events import CURATION, Curated
from skillfleet_nb.format import counted
from skillfleet_nb.messages import as_typed
from skillfleet_nb.runs.jobs.names import free_name
from skillfleet_nb.runs.spec import tags_of
from skillfleet_nb.store import Journal, Trail, queries, trash

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store
    from skillfleet_nb.store.erasure import Erased
    from skillfleet_nb.store.trash import Deleted, Emptied

_WAIT_S = 10.0  # for others who write at this moment; one takes some milliseconds


class Curation:
    """What a person makes of jobs afterwards; each change is recorded, and none touches what a job did.

    Parameters
    ----------
    store
        Of the home.
    find
        Finds a job by its name or id, or as it is.
    known
        The handles of this process by id: that of a deleted job is let go of.
    """

    def __init__(self, store: Store, find: Callable[[Job | str], Job], jobs: MutableMapping[str, Job]) -> None:
        self._store, self._find, self._known = store, find, jobs
        self._trail = Trail(store.home)

    def rename(self, job: Job | str, name: str) -> Job:
        """Call a job by another name, one that no other job of the home has.

        Raises
        ------
        NotFoundError
            If there is no such job.
        InputError
            If the name is empty or taken.
        """
        renamed, name = self._find(job), name.strip()
        if not name:
            raise InputError("a job's name has a letter in it: give another")
        names = queries.job_names(self._store)
        taken = names[(names.name == name) & (names.job_id != renamed.id)]
        if not taken.empty:
            raise InputError(f"{name!r} is the name of job {taken.job_id.iloc[0]} already: give another")
        self._write(Curated(job=renamed.id, name=name))
        return renamed

    def note(self, job: Job | str, text: str) -> Job:
        """Keep what is to be remembered of a job; an empty text takes it away; raises `NotFoundError`."""
        noted = self._find(job)
        self._write(Curated(job=noted.id, note=text.strip()))
        return noted

    def tag(self, jobs: Sequence[Job | str], *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> list[Job]:
        """Give jobs tags to be found by, and take others away; raises `NotFoundError` or `InputError`."""
        more, less = tags_of(add), set(tags_of(remove))
        tagged = self._all(jobs)
        edits = []
        for job in tagged:
            tags = tuple(dict.fromkeys([*(t for t in job.progress.tags if t not in less), *more]))
            if tags != job.progress.tags:
                edits.append(Curated(job=job.id, tags=tags))
        self._write(*edits)
        return tagged

    def archive(self, jobs: Sequence[Job | str], *, undo: bool = False) -> list[Job]:
        """Put jobs out of sight of lists, or back into them; they stay in every count; raises `NotFoundError`."""
        archived = self._all(jobs)
        self._write(*(Curated(job=job.id, archived=not undo) for job in archived if job.progress.archived == undo))
        return archived

    def delete(self, jobs: Sequence[Job | str]) -> list[Deleted]:
        """Move jobs into the home's trash, where :meth:`restore` finds them.

        Raises
        ------
        NotFoundError
            If there is no such job.
        JobError
            If one is at work; nothing is moved then.
        """
        moved = self._store.discard({one.job_id: one.name for one in self.would_delete(jobs)})
        for one in moved:
            self._known.pop(one.job_id, None)
            self._trail.record("job.delete", one.job_id, f"{one.name}, into the trash")
        return moved

    def would_delete(self, jobs: Sequence[Job | str]) -> list[Deleted]:
        """Tell what :meth:`delete` would move; raises as that does."""
        doomed = self._all(jobs)
        busy = next((job.name for job in doomed if not job.state.is_finished()), None)
        if busy is not None:
            raise JobError(f"{busy!r} is at work: {as_typed(f'cancel {busy}')}, or wait until it ends")
        return [trash.would_put(self._store.home, job.id, job.name) for job in doomed]

    def deleted(self) -> list[Deleted]:
        """List the jobs in the trash, the last one first."""
        return trash.deleted(self._store.home)

    def restore(self, jobs: Sequence[Job | str] = ()) -> list[Deleted]:
        """Bring deleted jobs back, by name or id; without any, the one that was deleted last.

        One whose name another job has by now comes back under that name with a number.

        Returns
        -------
        list of Deleted
            Each by the name that it has now.

        Raises
        ------
        NotFoundError
            If there is none of that name in the trash, with the nearest.
        JobError
            If the trash is empty.
        """
        there = self.deleted()
        if not there:
            raise JobError("the trash is empty: nothing was deleted, or it was emptied")
        wanted = []
        for job in jobs or (there[0].job_id,):
            called = job if isinstance(job, str) else job.id
            one = next((d for d in there if called in {d.job_id, d.name}), None)
            if one is None:
                raise unknown("deleted job", called, [d.name for d in there])
            wanted.append(one)
        return [self._put_back(one) for one in dict.fromkeys(wanted)]

    def _put_back(self, one: Deleted) -> Deleted:
        with free_name(self._store, one.name) as free:
            back = replace(one, name=free or one.name)
            trash.put_back(self._store.home, one.job_id)
            if back.name != one.name:
                self._write(Curated(job=one.job_id, name=back.name))
        self._trail.record("job.restore", one.job_id, back.name)
        return back

    def would_empty(self) -> Emptied:
        """Tell what :meth:`empty` would delete."""
        return trash.would_empty(self._store.home)

    def empty(self) -> Emptied:
        """Delete for good what lies in the trash, and the images and files that only its jobs refer to."""
        doomed = self.would_empty()
        named = ", ".join(one.job_id for one in doomed.jobs)
        files = counted(len(doomed.blobs), "file")
        self._trail.record("trash.empty", named, f"{counted(len(doomed.jobs), 'job')}, {files}")
        trash.empty(self._store.home, doomed)
        return doomed

    def erase(self, jobs: Sequence[Job | str], *, dry_run: bool = False) -> list[Erased]:
        """Erase jobs for good, of the journal or the trash, from backups and the database too.

        Programs, images and files that nothing else refers to go with them.  The audit trail keeps a proof: what was
        erased, its size and SHA-256, and whether anything of it was found again.

        Parameters
        ----------
        jobs
            By name or id or as they are.
        dry_run
            Whether only to tell what would be erased.

        Raises
        ------
        NotFoundError
            If there is no such job.
        JobError
            If one is at work; nothing is erased then.
        """
        in_trash = {one.job_id: one.name for one in self.deleted()}
        doomed: dict[str, str] = {}
        for job in jobs:
            thrown = {job_id: name for job_id, name in in_trash.items() if job in {job_id, name}}
            doomed |= thrown or {one.id: one.name for one in [self._find(job)]}
        erased = self._store.erase(doomed, dry_run=dry_run)
        if not dry_run:
            for one in erased:
                self._known.pop(one.job_id, None)
        return erased

    def _all(self, jobs: Sequence[Job | str]) -> list[Job]:
        """Find jobs, each once; nothing is changed where one of them is not found."""
        return list({job.id: job for job in map(self._find, jobs)}.values())

    def _write(self, *edits: Curated) -> None:
        if edits:
            with Journal(self._store.home, CURATION, wait_s=_WAIT_S, join=True) as journal:
                journal.append_many(edits, sync=True)
