"""All jobs of a home in MLflow, again and again: the journal is the backlog, and a server that is away costs no run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.events import JobState
from skillfleet_nb.format import counted
from skillfleet_nb.html import Readable
from skillfleet_nb.store import Trail, queries
from skillfleet_nb.tracing.mlflow_export import export_job, progress_mark, row_of, runs_of
from skillfleet_nb.tracing.mlflow_registry import mirror
from skillfleet_nb.tracing.mlflow_server import asked, connected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store


@dataclass(frozen=True, repr=False)
class Synced(Readable):
    """What one look sent.

    Attributes
    ----------
    uri
        Of the server.
    runs
        The run of each job that was told something, by the job's name.
    same
        Jobs of which the server had everything.
    versions
        Registered versions that the server has.
    trouble
        Why some job was not told; empty where all were.
    """

    uri: str
    runs: dict[str, str]
    same: int
    versions: int
    trouble: str = ""

    def text(self) -> str:
        """Say it in lines."""
        lines = [f"{name} is run {run_id}" for name, run_id in self.runs.items()]
        also = f", {counted(self.versions, 'registered version')} with aliases" if self.versions else ""
        summary = f"{self.uri}: {counted(len(self.runs), 'job')} sent, {self.same} up to date{also}"
        return "\n".join([*lines, summary, *([self.trouble] if self.trouble else [])])


def sync_jobs(
    store: Store,
    find: Callable[[Job | str], Job],
    tracking_uri: str | None,
    experiment: str,
    only: Sequence[Job | str] = (),
) -> Synced:
    """Tell a server what it does not have of the home's jobs, or of those named `only`; see `Synced`."""
    client, uri = connected(tracking_uri)
    wanted = {find(job).id for job in only}
    with asked(uri):
        marks = runs_of(client, experiment)
    sent: dict[str, str] = {}
    runs: dict[str, str] = {job_id: run_id for job_id, (run_id, _) in marks.items()}
    same, trouble = 0, ""
    for _, series in queries.jobs(store).iloc[::-1].iterrows():
        row = row_of(series)
        job_id = str(row["job_id"])
        if wanted and job_id not in wanted:
            continue
        if marks.get(job_id, ("", ""))[1] == progress_mark(row):
            same += 1
            continue
        if job_id not in marks or JobState(row["state"]).is_finished():  # the first time, and with its end
            Trail(store.home).record("export", uri, f"{row['name']} to MLflow")
        try:
            sent[str(row["name"])] = runs[job_id] = export_job(store, find(job_id), client, uri, experiment)
        except SkillfleetError as exc:  # the others are told all the same
            trouble = f"{row['name']}: {exc}"
    return Synced(uri, sent, same, mirror(store, client, uri, runs), trouble)
