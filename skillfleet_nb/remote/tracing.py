"""Calls of a server's jobs and of its programs in use: the methods of ``Fleet``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from skillfleet_nb.errors import InputError
from skillfleet_nb.remote.rows import frame
from skillfleet_nb.tracing.traces import Traces
from skillfleet_nb.tracing.usage import Usage

if TYPE_CHECKING:
    from skillfleet_nb.remote.connection import Connection


class RemoteTracing:
    """Calls as trees, and programs in use; methods and errors are those of :class:`skillfleet_nb.Fleet`."""

    _connection: Connection

    @property
    def monitored(self) -> list[str]:
        """What programs are monitored as on the server, the last asked first."""
        return list(self._connection.get("/monitored")["programs"])

    def usage(self, program: str, *, window: str | float = "1h") -> Usage:
        """Say how a program was used in the last while; raises `NotFoundError`, `InputError` or `ServerError`."""
        made = Usage.model_validate(self._connection.get(f"/monitored/{quote(program, safe='')}", window=str(window)))
        return made.looking(lambda window_s: self.usage(program, window=window_s))

    def traces(self, of: str, example: str | None = None, *, limit: int = 20) -> Traces:
        """Show trees of calls; images and sound stay on the server.

        Raises
        ------
        NotFoundError, InputError, ServerError
            As :meth:`skillfleet_nb.Fleet.traces` does.
        """
        answer = self._connection.get(f"/traces/{quote(of, safe='')}", example=example, limit=limit)
        return Traces(answer["of"], frame(answer["spans"]), answer["note"])

    def export_mlflow(self, job: str, tracking_uri: str | None = None, *, experiment: str = "skillfleet") -> str:
        """Make a job a run of the MLflow server that the server names in ``MLFLOW_TRACKING_URI``; return its id.

        Raises
        ------
        InputError
            If another address is given: a server asks none that a request names.
        NotFoundError, MissingExtraError, ServerError
            As :meth:`skillfleet_nb.Fleet.export_mlflow` does.
        """
        if tracking_uri is not None:
            raise InputError(
                f"tracking_uri={tracking_uri!r}: a server exports to the address in its own MLFLOW_TRACKING_URI alone; "
                "leave it out."
            )
        answer = self._connection.post(f"/jobs/{quote(job, safe='')}/mlflow", {"experiment": experiment})
        return str(answer["run_id"])
