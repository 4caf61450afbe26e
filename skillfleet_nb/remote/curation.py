"""Names, notes, tags and the archive of a server's jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from skillfleet_nb.errors import InputError
from skillfleet_nb.remote.job import RemoteJob
from skillfleet_nb.remote.unserved import Unserved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from skillfleet_nb.remote.connection import Connection


class RemoteCuration(Unserved):
    """Put a server's jobs in order; methods and errors are those of ``fleet.curation``."""

    _called = "curation.{name}"
    _instead = "use the server's page, or a notebook or shell of its machine"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rename(self, name_or_id: str, name: str) -> RemoteJob:
        """Call a job by another name; raises `InputError`, `NotFoundError` or `ServerError`."""
        return self._done("rename", [name_or_id], name)[0]

    def note(self, name_or_id: str, text: str) -> RemoteJob:
        """Keep what is to be remembered of a job, an empty text to take it away; raises as :meth:`rename` does."""
        return self._done("note", [name_or_id], text)[0]

    def tag(self, names: Sequence[str], add: Sequence[str] = (), remove: Sequence[str] = ()) -> list[RemoteJob]:
        """Give jobs tags, each a word, or take some away; raises as :meth:`rename` does."""
        if wrong := [tag for tag in (*add, *remove) if len(tag.split()) != 1 or tag.startswith("-")]:
            raise InputError(f"tag {wrong[0]!r}: a server takes single words, such as v2")
        return self._done("tag", names, " ".join([*add, *(f"-{tag}" for tag in remove)]))

    def archive(self, names: Sequence[str], *, undo: bool = False) -> list[RemoteJob]:
        """Put jobs out of sight of lists, or back; raises as :meth:`rename` does."""
        return self._done("unarchive" if undo else "archive", names)

    def _done(self, what: str, names: Iterable[str], text: str = "") -> list[RemoteJob]:
        ids = [self._job(name).id for name in names]
        self._connection.change("/curation", {"what": what, "jobs": ids, "text": text})
        return [self._job(job) for job in ids]

    def _job(self, name_or_id: str) -> RemoteJob:
        return RemoteJob(self._connection, self._connection.get(f"/jobs/{quote(name_or_id, safe='')}"))
