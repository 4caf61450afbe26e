"""What all runs of a server's home say: the methods of ``Fleet``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from skillfleet_nb.insights.insight import Insight, Insights
from skillfleet_nb.insights.money import MoneyReport
from skillfleet_nb.insights.score_forecast import ScoreForecast
from skillfleet_nb.insights.trends import Trends
from skillfleet_nb.remote.rows import all_rows
from skillfleet_nb.remote.unserved import Unserved

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from skillfleet_nb.events.insights import Decision
    from skillfleet_nb.remote.connection import Connection


class RemoteInsights:
    """What all runs say; methods and errors are those of :class:`skillfleet_nb.Fleet`."""

    _connection: Connection

    @property
    def notes(self) -> RemoteNotes:
        """The knowledge base of the server's home."""
        return RemoteNotes(self._connection)

    def insights(self, task: str | None = None, *, everything: bool = False) -> Insights:
        """Say what the home's runs show; raises `JobError`, `NotFoundError` or `ServerError`."""
        answer = self._connection.get("/insights", task=task, everything=str(everything).lower())
        return Insights.model_validate(answer)

    def trends(self, by: str = "optimizer", *, task: str | None = None, relative: float = 0.2) -> Trends:
        """Say what runs gained; raises `JobError`, `NotFoundError`, `InputError` or `ServerError`."""
        return Trends.model_validate(self._connection.get("/trends", by=by, task=task, relative=relative))

    def roi(self, value_per_point: float | str | None = None, **options: object) -> MoneyReport:
        """Reckon the return on money; raises `JobError`, `NotFoundError`, `InputError` or `ServerError`."""
        return MoneyReport.model_validate(self._connection.get("/roi", value_per_point=value_per_point, **options))

    def forecast_score(self, job: str, calls: int | None = None) -> ScoreForecast:
        """Say what further calls would add; raises `NotFoundError`, `JobError`, `InputError` or `ServerError`."""
        answer = self._connection.get(f"/jobs/{quote(job, safe='')}/forecast", calls=calls)
        return ScoreForecast.model_validate(answer)


class RemoteNotes(Unserved):
    """Notes and pinned insights of a server's home."""

    _called = "notes.{name}"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def listing(self) -> pd.DataFrame:
        """List the pinned insights and the notes, the oldest first."""
        return all_rows(self._connection, "/notes")

    def add(self, text: str, evidence: Sequence[str] = ()) -> str:
        """Keep a note; returns its id; raises `InputError`, `NotFoundError` or `ServerError`."""
        return str(self._connection.post("/notes", {"text": text, "evidence": list(evidence)})["told"])

    def remove(self, note_id: str) -> str:
        """Take a note away, and return what it said; raises `NotFoundError` or `ServerError`."""
        return str(self._connection.post(f"/notes/{quote(note_id, safe='')}/remove")["told"])

    def decide(self, insight_id: str, decision: Decision | None) -> Insight:
        """Accept, dismiss or pin an insight, or take that back; raises `NotFoundError` or `ServerError`."""
        path = f"/insights/{quote(insight_id, safe='')}/decision"
        return Insight.model_validate(self._connection.post(path, {"decision": decision}))
