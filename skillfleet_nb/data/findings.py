"""What an analysis finds: small records that a report holds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from skillfleet_nb.format import counted


class Bands(BaseModel):
    """Rows by quality: high from 0.8, low below 0.5, medium between."""

    model_config = ConfigDict(frozen=True)
    high: int
    medium: int
    low: int


class Performer(BaseModel):
    """An example by name, with its rank in [0, 1] and its row."""

    model_config = ConfigDict(frozen=True)
    name: str
    score: float
    row: int


class Likeness(BaseModel):
    """Rows that repeat or contradict each other; `similarity` in [-1, 1] is the cosine of their inputs."""

    model_config = ConfigDict(frozen=True)
    rows: tuple[int, ...]
    labels: tuple[str | None, ...]
    similarity: float
    exact: bool
    text: str


class Suspect(BaseModel):
    """A label that confident learning takes for an error; `suspicion` in [0, 1]."""

    model_config = ConfigDict(frozen=True)
    row: int
    label: str
    suggested: str
    suspicion: float
    text: str


class Judged(BaseModel):
    """What a model judged: grades in [0, 1] with their reasons by example id, and what they cost now.

    `unread` answers did not come or could not be read; `stopped` says what ended the asking early.
    """

    model_config = ConfigDict(frozen=True)
    model: str
    grades: dict[str, tuple[float, str]] = Field(exclude=True, repr=False)
    calls: int = 0
    cost_usd: float | None = 0.0
    unread: int = 0
    stopped: str | None = None

    def text(self, graded: int, analysed: int) -> str:
        """Say in a line how many rows have a grade, and what it cost.

        Examples
        --------
        >>> Judged(model="acme/one", grades={"a": (1.0, ""), "b": (0.5, "")}, calls=1, cost_usd=None).text(2, 3)
        'acme/one graded 2 of 3, mean 0.75; 1 call now'
        """
        mean = f", mean {sum(g for g, _ in self.grades.values()) / len(self.grades):.2f}" if self.grades else ""
        cost = f", ${self.cost_usd:.4f}" if self.cost_usd else ""
        line = f"{self.model} graded {graded:,} of {analysed:,}{mean}; {counted(self.calls, 'call')} now{cost}"
        line += f"; {counted(self.unread, 'answer')} could not be read" if self.unread else ""
        return line + (f"; stopped by its {self.stopped}, the next analysis goes on" if self.stopped else "")
