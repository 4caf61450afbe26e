"""Routes about calls: traces of jobs and of monitored programs, how these are used, and jobs in MLflow."""

from __future__ import annotations

from pydantic import Field

from skillfleet_nb.server.answers import rows
from skillfleet_nb.server.route import Answer, Asked, Call, Nothing, Rows, route
from skillfleet_nb.tracing.usage import Usage


class Monitored(Answer):
    """What programs are monitored as, the last asked first."""

    programs: list[str]


class Window(Asked):
    """How far to look back."""

    window: str = Field(default="1h", max_length=40, description="seconds, or a time such as 15m, 1h or 1d")


class WhichTraces(Asked):
    """Which calls."""

    example: str | None = Field(default=None, description="an example of the job, or a prediction of the program")
    limit: int = Field(default=20, ge=1, le=1000, description="predictions of a program, the newest first")


class Trees(Answer):
    """Calls as rows of the relation ``spans``, which name the call that each was made by."""

    of: str
    note: str = Field(description="what else can be asked")
    spans: Rows


class ToExport(Asked):
    """Where the run stands on the server that this one names in ``MLFLOW_TRACKING_URI``."""

    experiment: str = Field(default="skillfleet", min_length=1, max_length=200)


class Exported(Answer):
    """The job's run."""

    run_id: str


@route("GET", "monitored", "programs in use that are monitored", "read", gives=Monitored, kept="home")
def _monitored(c: Call[Nothing]) -> object:
    return Monitored(programs=c.fleet.monitored)


@route("GET", "monitored/{program}", "how a program was used in the last while", "read", takes=Window, gives=Usage)
def _usage(c: Call[Window]) -> object:
    return c.fleet.usage(c.path["program"], window=c.asked.window)


@route("GET", "traces/{traced}", "trees of calls of a job, or of a monitored program", "read", takes=WhichTraces,
       gives=Trees, kept="home")  # fmt: skip
def _traces(c: Call[WhichTraces]) -> object:
    traces = c.fleet.traces(c.path["traced"], c.asked.example, limit=c.asked.limit)
    return Trees(of=traces.of, note=traces.note, spans=rows(traces.frame))


@route("POST", "jobs/{job}/mlflow", "make a job a run of the MLflow server that this server names", "execute",
       takes=ToExport, gives=Exported)  # fmt: skip
def _export(c: Call[ToExport]) -> object:
    return Exported(run_id=c.fleet.export_mlflow(c.path["job"], experiment=c.asked.experiment))
