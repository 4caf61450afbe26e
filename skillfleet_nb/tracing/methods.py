"""What the facade says of traces: trees of calls, and where they are sent."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from shlex import quote
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError, NotFoundError, unknown
from skillfleet_nb.messages import as_typed
from skillfleet_nb.store import Trail, queries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skillfleet_nb.reports.accessor import Programs
    from skillfleet_nb.reports.registered import Registered
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store
    from skillfleet_nb.store.blobs import Blobs
    from skillfleet_nb.tracing.mlflow_sync import Synced
    from skillfleet_nb.tracing.monitored import Monitored
    from skillfleet_nb.tracing.traces import Traces
    from skillfleet_nb.tracing.usage import Usage


class TracingMethods(ABC):
    """Shortcuts to the facade's traces."""

    store: Store

    @abstractmethod
    def job(self, name_or_id: Job | str) -> Job:
        """Find a job."""

    @property
    @abstractmethod
    def programs(self) -> Programs:
        """The programs that jobs scored."""

    @property
    @abstractmethod
    def blobs(self) -> Blobs:
        """Images, audio and files."""

    @property
    @abstractmethod
    def registry(self) -> Registered:
        """The programs that are kept by name and version."""

    @property
    def monitored(self) -> list[str]:
        """What programs are monitored as, the last asked first."""
        return list(queries.monitored_programs(self.store).program)

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
            names = self.monitored
            if of not in names:
                jobs = list(dict.fromkeys(queries.job_names(self.store).name))
                raise unknown("job or monitored program", str(of), [*names, *jobs]) from None
            return self._predicted(str(of), example, limit)
        return self._made(job, example)

    def usage(self, program: str | Monitored, *, window: str | float = "1h") -> Usage:
        """Say how a monitored program was used in the last while: calls, success, latency, tokens, cost, quality.

        Parameters
        ----------
        program
            What it is monitored as, or what ``sf.monitored`` returned.
        window
            How far to look back: seconds, or a text such as ``"15m"``, ``"1h"`` or ``"1d"``.

        Returns
        -------
        Usage
            Figures, their course over time, and the newest calls as trees.

        Raises
        ------
        NotFoundError
            If nothing is monitored or registered as `program`.
        InputError
            If `window` is no time, or longer than ten years.
        """
        from skillfleet_nb.tracing.usage import usage_of, window_seconds

        window_s = window_seconds(window)
        if not isinstance(program, str):
            return usage_of(self.store, program.name, window_s, read=self.blobs.read)
        monitored = self.monitored
        if program not in monitored and program not in (registered := self.registry.names):
            hint = "" if monitored else "sf.monitored(program, name=…) records what a program does."
            raise unknown("monitored program", program, [*monitored, *registered], hint=hint)
        return usage_of(self.store, program, window_s, read=self.blobs.read)

    def _predicted(self, program: str, prefix: str | None, limit: int) -> Traces:
        from skillfleet_nb.tracing.traces import Traces

        frame = queries.spans(self.store, program, limit=limit, prefix=prefix or "")
        if frame.empty:
            newest = [one[:8] for one in queries.newest_predictions(self.store, program, limit=5)]
            raise unknown("prediction", str(prefix), newest, hint=f"They are those of {program!r}.")
        frame["attributes"] = frame.attributes.map(json.loads)
        note = "" if prefix else as_typed(f"traces {quote(program)} --example {frame.trace_id[0][:8]}") + " shows one"
        return Traces(program, frame, note, self.blobs.read)

    def _made(self, job: Job, example: str | None) -> Traces:
        from skillfleet_nb.reports.stored_programs import calls_for
        from skillfleet_nb.tracing.job_spans import job_spans
        from skillfleet_nb.tracing.traces import Traces

        name = job.name
        if example is None:
            note = f"{as_typed(f'traces {quote(name)} --example ID')} shows what was asked and answered for one example"
            return Traces(name, job_spans(self.store, job.id, name), note)
        programs = self.programs.of(job.id)
        if example not in programs.examples:
            raise unknown(f"example of {name}", example, list(programs.examples))
        calls = calls_for(self.store, programs, example)
        spans = job_spans(self.store, job.id, name, calls, with_tools=False)
        asked = set(spans[spans.parent_id.notna()].trace_id)
        return Traces(f"{name}, example {example}", spans[spans.trace_id.isin(asked)], read=self.blobs.read)

    def export_traces(
        self, of: Job | str, endpoint: str | None = None, *, headers: Mapping[str, str] | None = None, limit: int = 1000
    ) -> int:
        """Send traces of a job or of a monitored program to a receiver of OTLP/HTTP; return the number of spans.

        Spans keep their ids, so that sending again is harmless where the receiver goes by them.

        Parameters
        ----------
        of, limit
            As for :meth:`traces`.
        endpoint
            Address of the receiver; by default ``$OTEL_EXPORTER_OTLP_ENDPOINT``.
        headers
            Sent along, such as a key.

        Raises
        ------
        NotFoundError, InputError, MissingExtraError, ServerError
            If there is no such job or program, no address, no exporter, or the receiver is away or refuses.
        """
        from skillfleet_nb.tracing.job_spans import job_spans
        from skillfleet_nb.tracing.otel import exporter, send

        to = exporter(endpoint, headers)
        try:
            job = self.job(of) if isinstance(of, str) else of
        except NotFoundError:
            spans, name = self.traces(of, limit=limit).frame, str(of)
        else:
            calls = queries.call_spans(self.store, job.id, content=True)
            spans, name = job_spans(self.store, job.id, job.name, calls), job.name
        Trail(self.store.home).record("export", endpoint or "OTLP", f"traces of {name}")
        return send(spans, to)

    def export_mlflow(self, job: Job | str, tracking_uri: str | None = None, *, experiment: str = "skillfleet") -> str:
        """Make a job a run of MLflow, or tell its run what it does not have yet; return the run's id.

        Parameters
        ----------
        job
            The job, its name or id; it may still run.
        tracking_uri
            Address of an MLflow server; by default ``$MLFLOW_TRACKING_URI``.
        experiment
            Where the run stands.

        Raises
        ------
        NotFoundError, InputError, MissingExtraError
            If there is no such job, no address, or no MLflow here.
        ServerError
            If the server is away, refuses, or has another major version; exporting again tells the rest.
        """
        from skillfleet_nb.tracing.mlflow_export import export_job
        from skillfleet_nb.tracing.mlflow_registry import mirror
        from skillfleet_nb.tracing.mlflow_server import connected

        one = self.job(job)
        client, uri = connected(tracking_uri)
        Trail(self.store.home).record("export", uri, f"{one.name} to MLflow")
        run_id = export_job(self.store, one, client, uri, experiment)
        mirror(self.store, client, uri, {one.id: run_id})
        return run_id

    def sync_mlflow(self, *jobs: Job | str, tracking_uri: str | None = None, experiment: str = "skillfleet") -> Synced:
        """Tell an MLflow server what it does not have of all jobs, or of some, and of registered programs.

        Raises
        ------
        NotFoundError, InputError, MissingExtraError, ServerError
            As :meth:`export_mlflow` does; a job that cannot be told does not keep the others from it.
        """
        from skillfleet_nb.tracing.mlflow_sync import sync_jobs

        return sync_jobs(self.store, self.job, tracking_uri, experiment, jobs)

    def import_mlflow(self, run: str, tracking_uri: str | None = None) -> Job:
        """Take over a run of ``mlflow.dspy.autolog`` as a job: its parameters, evaluations, rows and programs.

        Calls and cost are not among what such a run has, and times are those of the import.

        Raises
        ------
        NotFoundError, InputError
            If the server has no such run, or it is not DSPy's, not over, or was exported from a home.
        MissingExtraError, ServerError
            As :meth:`export_mlflow` does.
        """
        from skillfleet_nb.tracing.mlflow_import import import_run
        from skillfleet_nb.tracing.mlflow_server import connected

        client, uri = connected(tracking_uri)
        return self.job(import_run(self.store.home, client, uri, run))
