"""What ``Fleet`` has of the store: questions in SQL, blobs, and the audit trail."""

from __future__ import annotations

from abc import ABC
from functools import cached_property
from typing import TYPE_CHECKING

from skillfleet_nb.store import queries
from skillfleet_nb.store.audit import Trail
from skillfleet_nb.store.blobs import Blobs
from skillfleet_nb.store.redacting import redactor_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from skillfleet_nb.store.home import Home
    from skillfleet_nb.store.store import Store


class StoreMethods(ABC):
    """What lies in a home."""

    home: Home
    store: Store

    @cached_property
    def audit(self) -> Trail:
        """The audit trail: who did what in this home, and whether anybody changed what it says."""
        return Trail(self.home)

    @cached_property
    def blobs(self) -> Blobs:
        """Images, audio and files, which prompts refer to: ``fleet.blobs.find(prompt)`` shows the first."""
        return Blobs(self.home)

    def sql(
        self,
        query: str,
        parameters: Mapping[str, object] | None = None,
        *,
        seconds: float | None = None,
        rows: int | None = None,
    ) -> pd.DataFrame:
        """Ask anything of the recorded facts; see ``docs/sql.md`` for the relations.

        Parameters
        ----------
        query
            One statement that only reads.
        parameters
            Values by name for ``:name`` and ``{{name}}`` in the query: bound to it, never written into its text.
        seconds, rows
            What it may take and answer at most; by default as the settings say, and all rows.

        Raises
        ------
        QueryError
            If it is not valid, or would do more than read.

        Examples
        --------
        >>> import tempfile
        >>> from skillfleet_nb import Fleet
        >>> Fleet(tempfile.mkdtemp()).sql("select count(*) as n from jobs where name = :name", {"name": "a"}).n.tolist()
        [0]
        """
        return self.store.sql(query, parameters, seconds=seconds, rows=rows)

    def redact(self, text: str) -> tuple[str, dict[str, int]]:
        """Return a text as it would be written in this home, and how many pieces were taken out of it by kind.

        Raises
        ------
        InputError, NotFoundError
            If the settings cannot be read, or name no installed hook.
        """
        redactor = redactor_of(self.home)
        clean = redactor.text(text)
        return clean, dict(redactor.counts)

    def redactions(self) -> pd.DataFrame:
        """Count what was taken out before it was written: `job_id`, `name` (of a job), `what`, `pieces`."""
        return queries.redactions(self.store)
