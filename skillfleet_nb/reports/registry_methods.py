"""What the facade says of registered programs: the methods of ``Fleet`` that speak of names, versions and aliases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from skillfleet_nb.runs.request import TuneRequest, takes

if TYPE_CHECKING:
    from pathlib import Path

    import dspy
    import pandas as pd

    from skillfleet_nb.programs.live import LiveProgram
    from skillfleet_nb.programs.loading import Differences
    from skillfleet_nb.programs.registry import Move, ProgramVersion
    from skillfleet_nb.reports.evidence import Evidence
    from skillfleet_nb.reports.registered import Registered
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.request import RunRequest
    from skillfleet_nb.typing import Program, Rows


class RegistryMethods(ABC):
    """Shortcuts to the facade's ``registry``."""

    @property
    @abstractmethod
    def registry(self) -> Registered:
        """Registered programs."""

    @abstractmethod
    def _run(self, request: RunRequest) -> Job:
        """Start a job."""

    @takes(TuneRequest)
    def tune(self, *source: Any, **options: Any) -> Job:
        """Start tuning the signatures of a program, and return at once.

        Failures are sorted by kind, a model proposes better instructions and field descriptions, and what is proven on
        validation is accepted: the optimizer ``tune_signature``.  :meth:`register` keeps what it came to, with the
        reasons as its note.

        Returns
        -------
        Job
            A handle; ``job.result()`` waits for what it comes to.

        Raises
        ------
        InputError, NotFoundError, JobError, LMError
            In one line, with nothing spent: above all, where data and metric are neither given nor kept.
        """
        request, adapter = self.registry.tuning(TuneRequest(*source, **options))
        with adapter:
            return self._run(request)

    def register(
        self, source: Job | str | Path | Program, name: str, note: str | None = None, *, golden: Rows | None = None
    ) -> ProgramVersion:
        """Keep a program as the next version of a name; one that is registered already stays the version it is.

        Parameters
        ----------
        source
            A job or its name, for its best program; the id of a program that a job scored; a program as it is;
            or a JSON file of one.
        name
            Letters, digits, dots, dashes and underscores, a letter first.
        note
            What to remember of it.
        golden
            Rows of its inputs: it is asked now what it answers on the first five of them, which is kept to be looked at
            when it is loaded.  Of a job's program that is known without a call.

        Returns
        -------
        ProgramVersion
            With `version`, `content_id` and `scores`, which are those of the job, none where there is none.

        Raises
        ------
        InputError, NotFoundError, JobError
            If the name cannot be one, there is no such program, or a state would not be the whole program.

        Examples
        --------
        >>> import dspy, tempfile, skillfleet_nb as sf
        >>> fleet = sf.Fleet(tempfile.mkdtemp())
        >>> fleet.register(dspy.Predict("text -> intent"), "intents").version
        1
        >>> _ = fleet.alias("intents", "production", 1)
        >>> list(fleet.program("intents@production").signature.fields)
        ['text', 'intent']
        """
        return self.registry.register(source, name, note, golden)

    def versions(self, name: str | None = None) -> pd.DataFrame:
        """List registered versions, newest first: the relation ``program_versions``, and their `aliases`.

        Raises
        ------
        NotFoundError
            If there is no such name.
        """
        return self.registry.versions(name)

    def program(
        self,
        ref: str,
        signature: Program | type[dspy.Signature] | None = None,
        *,
        differences: Differences = "refuse",
        check: bool | int | None = None,
    ) -> dspy.Module:
        """Make a registered program, ready to be called; see :meth:`Registered.load`.

        Raises
        ------
        NotFoundError, InputError
            If there is no such version or alias, its class is not to be found, or fields differ, each named.
        """
        return self.registry.load(ref, signature, differences=differences, check=check)

    def live(
        self,
        ref: str,
        signature: Program | type[dspy.Signature] | None = None,
        *,
        record: float = 0.01,
        check: bool | int | None = None,
    ) -> LiveProgram:
        """Follow an alias: a promotion is picked up within a quarter of a second; see :meth:`Registered.live`.

        Raises
        ------
        NotFoundError, InputError
            As :meth:`program` does.
        """
        return self.registry.live(ref, signature, record=record, check=check)

    def alias(self, name: str, alias: str, version: int, *, force: str | None = None) -> Evidence:
        """Set an alias, such as ``production``, to a version; see :meth:`Registered.move`.

        Raises
        ------
        NotFoundError
            If there is no such name or version.
        JobError
            If the evidence speaks against it and `force` gives no reason, or another moved the alias meanwhile.
        """
        return self.registry.move(name, alias, version, force=force)

    def rollback(self, name: str, alias: str, to: int | None = None) -> Move:
        """Set an alias back to the version before, or to an earlier one; raises as :meth:`Registered.rollback` does."""
        return self.registry.rollback(name, alias, to)
