"""What a comparison of runs comes to: an object that tells it as text, as HTML and as a dict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.errors import JobError, unknown
from skillfleet_nb.html import Readable
from skillfleet_nb.programs.diff import ProgramDiff, diff_programs
from skillfleet_nb.reports.comparison_page import ComparisonPage
from skillfleet_nb.reports.stored_programs import programs_of
from skillfleet_nb.store import load_program

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.config import Settings
    from skillfleet_nb.reports.stored_programs import StoredProgram
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.stats import PairedComparison, UnpairedComparison
    from skillfleet_nb.store import Store

NONE = "-"
"""What stands where a run has nothing."""


@dataclass(frozen=True)
class Run:
    """One of the runs compared.

    Attributes
    ----------
    job
        The job.
    label
        Its name, at most 36 characters of it; with a piece of its id where two would read the same.
    setup
        What it was set up with, as pairs of a word and its value.
    facts
        Its row of the relation ``jobs``.
    """

    job: Job
    label: str
    setup: dict[str, str]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """How a run differs from the first, by the scores of their best programs.

    Attributes
    ----------
    run, against
        Labels of the two.
    split
        ``"test"``, or ``"val"`` where one has no test score: there both scores are too good, for
        the programs were chosen by them.
    by
        The comparison, paired or not.
    """

    run: str
    against: str
    split: Literal["test", "val"]
    by: PairedComparison | UnpairedComparison

    @property
    def is_paired(self) -> bool:
        """Whether it goes over rows that both scored."""
        return hasattr(self.by, "p_value")

    def sentence(self) -> str:
        """Say it in one sentence."""
        where = "" if self.split == "test" else "on validation, by which both were chosen, "
        return f"{self.run} against {self.against}: {where}{self.by.sentence()}"


@dataclass(frozen=True, repr=False)
class Comparison(Readable):
    """Runs compared; made by ``fleet.reports.compare``.

    Attributes
    ----------
    runs
        The runs, in the order given; the first is what the others are compared with.
    differences
        One for each other run that has scores.
    disagreements
        Rows of the split compared that all of them scored and not all alike, the widest apart first:
        `example_id`, `input`, `expected`, and for each run its score in [0, 1] and output as JSON,
        in columns `score N` and `output N`, N counting the runs from 1.
    agreed
        Number of rows that all scored alike, and of these those that were answered differently.
    notes
        What to know before reading on.
    """

    runs: tuple[Run, ...]
    differences: tuple[Difference, ...]
    disagreements: pd.DataFrame
    split: Literal["test", "val"] | None
    agreed: tuple[int, int]
    notes: tuple[str, ...]
    _store: Store = field(repr=False)
    _settings: Settings = field(repr=False)

    @property
    def setup(self) -> dict[str, tuple[str, ...]]:
        """The parts of the set-ups that differ, each with its value in every run."""
        return {word: values for word, values in self._setups().items() if len(set(values)) > 1}

    @property
    def same_setup(self) -> dict[str, str]:
        """The parts of the set-ups that are the same in all."""
        return {word: values[0] for word, values in self._setups().items() if len(set(values)) == 1}

    def _setups(self) -> dict[str, tuple[str, ...]]:
        words = dict.fromkeys(word for run in self.runs for word in run.setup)
        return {word: tuple(run.setup.get(word, NONE) for run in self.runs) for word in words}

    def diff(self, run: str | int = 1) -> ProgramDiff | None:
        """Compare the best program of a run, by label or position, with the first one's; None where one has none."""
        ids = [r.facts["best_program_id"] for r in (self.runs[0], self._run(run))]
        if None in ids:
            return None
        one, other = (load_program(self._store.home, program_id) for program_id in ids)
        return diff_programs(one, other)

    def program(self, run: str | int) -> StoredProgram:
        """Return the best program of a run, by label or position; ``.load()`` makes it one to use.

        Raises
        ------
        NotFoundError
            If there is no such run.
        JobError
            If it has no scored program.
        """
        chosen = self._run(run)
        best = chosen.facts["best_program_id"]
        if best is None:
            raise JobError(f"job {chosen.label!r} ({chosen.facts['state']}) has no scored program yet")
        return programs_of(self._store, self._settings, chosen.job)[best]

    def _run(self, run: str | int) -> Run:
        if isinstance(run, int) and -len(self.runs) <= run < len(self.runs):
            return self.runs[run]
        for one in self.runs:
            if run in (one.label, one.job.id, one.facts["name"]):
                return one
        raise unknown("run of this comparison", str(run), [r.label for r in self.runs])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold."""
        plain = self.disagreements.astype(object).where(self.disagreements.notna(), None)
        return {
            "runs": [
                {"label": r.label, "job_id": r.job.id, "setup": r.setup, **{k: _plain(v) for k, v in r.facts.items()}}
                for r in self.runs
            ],
            "setup": {word: list(values) for word, values in self.setup.items()},
            "same_setup": self.same_setup,
            "split": self.split,
            "differences": [
                {"run": d.run, "against": d.against, "split": d.split, "paired": d.is_paired, **asdict(d.by)}
                for d in self.differences
            ],
            "disagreements": plain.to_dict("records"),
            "agreed": {"rows": self.agreed[0], "answered_differently": self.agreed[1]},
            "notes": list(self.notes),
        }

    def page(self) -> ComparisonPage:
        """Return what is shown of it."""
        return ComparisonPage(
            names=[run.label for run in self.runs],
            facts=[run.facts for run in self.runs],
            sentences=[difference.sentence() for difference in self.differences],
            setup=self.setup,
            same_setup=self.same_setup,
            diffs=[self.diff(i) for i in range(1, len(self.runs))],
            disagreements=self.disagreements,
            agreed=self.agreed,
            split=self.split,
            notes=self.notes,
        )

    def text(self) -> str:
        """Show it as plain text."""
        return self.page().text()

    _repr_pretty_ = Readable._repr_pretty_  # or IPython would take what follows

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(run.label for run in self.runs)}>"

    def html(self) -> str:
        """Show it as HTML."""
        return self.page().html()


def _plain(value: object) -> object:
    value = value.item() if hasattr(value, "item") else value
    return value.isoformat() if hasattr(value, "isoformat") else value
