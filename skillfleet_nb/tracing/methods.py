"""What the facade says of traces: trees of calls, and where they are sent."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError, NotFoundError, unknown
from skillfleet_nb.messages import as_typed
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from skillfleet_nb.reports.accessor import Programs
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store
    from skillfleet_nb.store.blobs import Blobs
    from skillfleet_nb.tracing.traces import Traces


class TracingMethods(ABC):
    """Shortcuts to the facade's traces."""

    store: Store

    @abstractmethod
    def job(self, name_or_id: str) -> Job:
        """Find a job."""

    @property
    @abstractmethod
    def programs(self) -> Programs:
        """The programs that jobs scored."""

    @property
    @abstractmethod
    def blobs(self) -> Blobs:
        """Images, audio and files."""

    def traces(self, of: Job | str, example: str | None = None, *, limit: int = 20) -> Traces:
        """Show trees of calls: of a job by its trials, of a monitored program by its predictions.

        Parameters
        ----------
        of
            The job, its name or id; or what a program is monitored as.
        example
            Of a job, an example: its calls alone, with their texts.  Of a program, a prediction: the first characters
            of its `trace_id`.
        limit
            Predictions that are shown, the newest first.

        Returns
        -------
        Traces
            Trees to read, and ``traces.frame``, with a row a call.

        Raises
        ------
        NotFoundError
            If there is no such job, program, example or prediction.
        InputError
            If `limit` is no positive number.
        """
        if limit < 1:
            raise InputError(f"limit={limit!r}: give how many predictions to show, 1 or more.")
        try:
            job = self.job(of) if isinstance(of, str) else of
        except NotFoundError:
            names = list(queries.monitored_programs(self.store).program)
            if of not in names:
                jobs = list(dict.fromkeys(queries.job_names(self.store).name))
                raise unknown("job or monitored program", str(of), [*names, *jobs]) from None
            return self._predicted(str(of), example, limit)
        return self._made(job, example)

    def _predicted(self, program: str, prefix: str | None, limit: int) -> Traces:
        from skillfleet_nb.tracing.traces import Traces

        frame = queries.spans(self.store, program, limit=limit, prefix=prefix or "")
        if frame.empty:
            newest = queries.predictions(self.store, program, limit=5).trace_id.str[:8]
            raise unknown("prediction", str(prefix), list(newest), hint=f"They are those of {program!r}.")
        frame["attributes"] = frame.attributes.map(json.loads)
        note = "" if prefix else as_typed(f"traces {program} --example {frame.trace_id[0][:8]}") + " shows one"
        return Traces(program, frame, note, self.blobs.read)

    def _made(self, job: Job, example: str | None) -> Traces:
        from skillfleet_nb.reports.stored_programs import calls_for
        from skillfleet_nb.tracing.job_spans import job_spans
        from skillfleet_nb.tracing.traces import Traces

        name = job.name
        if example is None:
            note = f"{as_typed(f'traces {name} --example ID')} shows what was asked and answered for one example"
            return Traces(name, job_spans(self.store, job.id, name), note)
        programs = self.programs.of(job.id)
        if example not in programs.examples:
            raise unknown(f"example of {name}", example, list(programs.examples))
        calls = calls_for(self.store, programs, example)
        spans = job_spans(self.store, job.id, name, calls)
        asked = set(spans[spans.parent_id.notna()].trace_id)
        return Traces(f"{name}, example {example}", spans[spans.trace_id.isin(asked)], read=self.blobs.read)
