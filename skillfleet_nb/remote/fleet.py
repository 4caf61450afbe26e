"""``RemoteFleet``: the methods of ``Fleet`` that a server answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from skillfleet_nb.advice.forecast import Forecast
from skillfleet_nb.advice.headroom import Headroom
from skillfleet_nb.advice.noise import NoiseFloor
from skillfleet_nb.advice.recommendation import Recommendation
from skillfleet_nb.advice.requests import EstimateRequest, HeadroomRequest, NoiseRequest, RecommendRequest
from skillfleet_nb.data.load import records
from skillfleet_nb.errors import InputError
from skillfleet_nb.remote.cache import TTL_S
from skillfleet_nb.remote.connection import Connection
from skillfleet_nb.remote.curation import RemoteCuration
from skillfleet_nb.remote.insights import RemoteInsights
from skillfleet_nb.remote.job import RemoteJob
from skillfleet_nb.remote.rows import all_rows, frame
from skillfleet_nb.remote.tracing import RemoteTracing
from skillfleet_nb.remote.unserved import Unserved
from skillfleet_nb.runs.creation import CreateRequest
from skillfleet_nb.runs.request import ResumeRequest, RunRequest, takes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    import pandas as pd

    from skillfleet_nb.runs.review.answers import Answer

_ROWS, _NAMES = {"train", "val", "test"}, {"program", "metric", "lm", "prompt_lm", "creator"}


class RemoteFleet(RemoteInsights, RemoteTracing, Unserved):
    """Jobs of a server, with the methods of :class:`~skillfleet_nb.Fleet`.

    What cannot travel is named: a program, ``"module:attribute"`` of an installed package, ``"name@version"`` of a
    registered one, or ``{"signature": "text -> label"}``; a metric by its name, or as a function of a module that the
    server has too; a model by its name.  Data are a text, a file of the server's; a ``Path``, a file of this machine,
    which is sent; or rows.  A run goes on when this process ends.

    Parameters
    ----------
    url
        Of the Jupyter server, such as ``http://127.0.0.1:8888``.
    token
        Its token.
    cache_s
        Seconds for which answers about complete jobs are shown without asking; None keeps nothing on disk.

    Examples
    --------
    ::

        fleet = RemoteFleet("http://127.0.0.1:8888", token)
        job = fleet.optimize("house:program", train="data.csv", metric="house:metric", optimizer="gepa", lm="offline")
        result = job.result()             # or, in a coroutine: await job
        jobs = await fleet.aio.jobs()     # any method, without blocking
    """

    def __init__(self, url: str, token: str = "", *, cache_s: float | None = TTL_S) -> None:
        self._connection = Connection(url, token, cache_s)

    def __repr__(self) -> str:
        return f"RemoteFleet({self._connection.url!r})"

    @property
    def aio(self) -> Asynchronous:
        """Every method as a coroutine, which waits on a thread."""
        return Asynchronous(self)

    @property
    def advice(self) -> RemoteAdvice:
        """Advice before money is spent."""
        return RemoteAdvice(self._connection)

    @property
    def curation(self) -> RemoteCuration:
        """Names, notes, tags and the archive of jobs."""
        return RemoteCuration(self._connection)

    @property
    def age_s(self) -> float:
        """Seconds since the last answer was known to be right; 0 where the server was asked."""
        return self._connection.age_s

    @takes(RunRequest)
    def optimize(self, *program: Any, **options: Any) -> RemoteJob:
        """Start optimising a program on the server, in a process of its own, and return at once.

        Raises
        ------
        InputError, NotFoundError, LMError, ServerError
            In one line, with nothing spent.
        """
        return self._started("/jobs", "program", program, options)

    @takes(ResumeRequest)
    def resume(self, *name_or_id: Any, **options: Any) -> RemoteJob:
        """Go on with a job, in a process of its own on the server.

        Raises
        ------
        JobError, InputError, ServerError
            In one line.
        """
        (name,) = name_or_id or (options.pop("name_or_id"),)
        job = self._connection.post(f"/jobs/{quote(str(name), safe='')}/resume", sent(options))
        return RemoteJob(self._connection, job)

    @takes(CreateRequest)
    def create_skill(self, *task: Any, **options: Any) -> RemoteJob:
        """Start creating a skill below the server's folder.

        Raises
        ------
        InputError, NotFoundError, LMError, ServerError
            In one line, with nothing spent.
        """
        return self._started("/skills/create", "task", task, options)

    def _started(self, path: str, first: str, values: tuple[Any, ...], options: dict[str, Any]) -> RemoteJob:
        body = sent({**dict.fromkeys([first], values[0] if values else options.get(first)), **options})
        return RemoteJob(self._connection, self._connection.post(path, body))

    def jobs(
        self,
        state: str | None = None,
        *,
        optimizer: str | None = None,
        domain: str | None = None,
        tag: str | None = None,
        since: str | date | None = None,
        until: str | date | None = None,
        text: str | None = None,
        archived: bool | None = None,
    ) -> pd.DataFrame:
        """List jobs, newest first; parameters as those of :meth:`skillfleet_nb.Fleet.jobs`."""
        return all_rows(
            self._connection, "/jobs", state=state, optimizer=optimizer, domain=domain, tag=tag, since=since,
            until=until, text=text, archived=None if archived is None else str(archived).lower(),
        )  # fmt: skip

    def job(self, name_or_id: str) -> RemoteJob:
        """Find a job by its id, or the newest one by its name; raises `NotFoundError`."""
        return RemoteJob(self._connection, self._connection.get(f"/jobs/{quote(name_or_id, safe='')}"))

    def answer(self, name_or_id: str, text: str = "", choice: str | None = None) -> Answer:
        """Answer what a job asks; see :meth:`skillfleet_nb.Fleet.answer`."""
        return self.job(name_or_id).answer(text, choice)

    def questions(self) -> pd.DataFrame:
        """List what jobs ask a person now, oldest first."""
        return frame(self._connection.get("/hitl"))

    def trials(self, job_id: str) -> pd.DataFrame:
        """List the trials of a job in order."""
        return all_rows(self._connection, f"/jobs/{quote(job_id, safe='')}/trials")

    def sql(
        self, query: str, parameters: Mapping[str, object] | None = None, *, rows: int | None = None
    ) -> pd.DataFrame:
        """Ask anything of the recorded facts; the server has limits of time and of rows.

        Raises
        ------
        QueryError
            If it is not valid, would do more than read, or has more rows than the server sends.
        """
        answer = self._connection.post("/sql", {"query": query, "parameters": dict(parameters or {}), "rows": rows})
        if answer["truncated"] and rows is None:
            raise InputError(
                f"the answer has over {len(answer['rows']):,} rows, which the server does not send: add a limit"
            )
        return frame(answer)

    def optimizers(self, name: str | None = None) -> pd.DataFrame:
        """List the optimizers that the server has, or the parameters of one."""
        return frame(self._connection.get("/optimizers", name=name))

    def versions(self) -> pd.DataFrame:
        """List registered versions, newest first."""
        return frame(self._connection.get("/programs"))

    def close(self) -> None:
        """Let go of the connections."""
        self._connection.close()


class RemoteAdvice:
    """Advice of a server.  Reached as ``fleet.advice``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @takes(EstimateRequest)
    def estimate(self, *program: Any, **options: Any) -> Forecast:
        """Forecast what a run will buy, cost and take.

        Raises
        ------
        InputError, NotFoundError, LMError, ServerError
            In one line.
        """
        return Forecast.model_validate(self._advice("/estimate", program, options))

    @takes(RecommendRequest)
    def recommend(self, *program: Any, **options: Any) -> Recommendation:
        """Recommend an optimizer for a budget.

        Raises
        ------
        InputError, LMError, ServerError
            In one line.
        """
        return Recommendation.model_validate(self._advice("/optimization/recommend", program, options))

    @takes(HeadroomRequest)
    def headroom(self, *program: Any, **options: Any) -> Headroom:
        """Say what optimising can win here at most.

        Raises
        ------
        InputError, LMError, ServerError
            In one line.
        """
        return Headroom.model_validate(self._advice("/headroom", program, options))

    @takes(NoiseRequest)
    def noise(self, *program: Any, **options: Any) -> NoiseFloor:
        """Say which gains this task can show at all.

        Raises
        ------
        InputError, LMError, ServerError
            In one line.
        """
        return NoiseFloor.model_validate(self._advice("/noise", program, options))

    def weights(self) -> pd.DataFrame:
        """Say what each optimizer has been worth."""
        return frame(self._connection.get("/ensemble"))

    def _advice(self, path: str, program: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return self._connection.post(path, sent({"program": program[0] if program else None, **options}))


class Asynchronous:
    """The methods of a remote fleet as coroutines."""

    def __init__(self, fleet: RemoteFleet) -> None:
        self._fleet = fleet

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._fleet, name)

        async def run(*arguments: Any, **options: Any) -> Any:
            return await asyncio.to_thread(method, *arguments, **options)

        return run


def sent(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as they travel.

    Raises
    ------
    InputError
        If one is an object that cannot.
    """
    body = {name: value for name, value in options.items() if value is not None and name != "engine"}
    for name in _ROWS & body.keys():
        body[name] = _rows(body[name], name)
    for name in _NAMES & body.keys():
        body[name] = _name(name, body[name])
    if isinstance(body.get("root"), Path):
        body["root"] = str(body["root"])
    return {name: list(value) if isinstance(value, tuple) else value for name, value in body.items()}


def _rows(value: Any, name: str) -> Any:
    if isinstance(value, str | dict):
        return value
    if isinstance(value, Path):
        from skillfleet_nb.store import read_examples

        return read_examples(value)
    return [dict(row.items()) if hasattr(row, "items") else row for row in records(value, name)]


def _name(what: str, value: Any) -> Any:
    if isinstance(value, str | dict):
        return value
    module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if what == "metric" and module not in {None, "__main__"} and path and "<" not in path:
        return f"{module}:{path}"
    raise InputError(
        f"{what} is {type(value).__name__}, which does not travel: name it, as module:attribute of what the server has "
        "installed" + (', or describe it: {"signature": "text -> label"}' if what == "program" else "")
    )
