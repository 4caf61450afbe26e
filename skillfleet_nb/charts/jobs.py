"""The jobs that a chart shows, under names that tell them apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from skillfleet_nb.charts.style import shortened
from skillfleet_nb.example import in_words
from skillfleet_nb.format import counted
from skillfleet_nb.runs.spec import CREATE_SKILL, EVALUATE
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from skillfleet_nb.store import Store

_MOST = 30
_READ = 3  # jobs whose examples are read, which takes a while


@dataclass(frozen=True)
class Jobs:
    """Jobs of a home.

    Attributes
    ----------
    store
        Where their facts are.
    ids
        In the order given; None are all that searched: what an evaluation cost is no price of its score.
    """

    store: Store
    ids: tuple[str, ...] | None = None

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Rows of the relation ``jobs``, newest first, with `job`: a name that no other one has."""
        rows = queries.jobs(self.store, ids=self.ids)
        if self.ids is None:
            rows = rows[~rows["optimizer"].isin([EVALUATE, CREATE_SKILL])]
        return rows.assign(job=_told_apart(rows))

    @property
    def search(self) -> bool:
        """Whether one of them tries candidates: neither an evaluation nor the creation of a skill does."""
        return not self.frame["optimizer"].isin([EVALUATE, CREATE_SKILL]).all()

    @cached_property
    def labels(self) -> dict[str, str]:
        """Names by id, in the order given; the first thirty."""
        names = dict(zip(self.frame["job_id"], self.frame["job"], strict=True))
        ids = list(names) if self.ids is None else self.ids
        return {job_id: str(names.get(job_id, job_id)) for job_id in ids[:_MOST]}

    def labelled(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Add `job`, the label of each row's job, and put the rows in the order of the labels."""
        place = {job_id: number for number, job_id in enumerate(self.labels)}
        frame = frame.sort_values("job_id", key=lambda ids: ids.map(place), kind="stable")
        return frame.assign(job=frame["job_id"].map(self.labels))

    def inputs(self, example_ids: Iterable[str]) -> dict[str, str]:
        """Tell what examples are, by id; those that no job kept are left out."""
        from skillfleet_nb.runs.jobs.job import Job

        left, words = set(example_ids), dict[str, str]()
        for job_id, name in list(self.labels.items())[:_READ]:
            if left:
                examples = Job(self.store.home, job_id, name).examples()
                words |= {i: in_words(examples[i].inputs().toDict()) for i in left & examples.keys()}
                left -= words.keys()
        return words

    @property
    def left_out(self) -> str:
        """Says how many :attr:`labels` leaves out; empty where it holds all."""
        more = (len(self.frame) if self.ids is None else len(self.ids)) - len(self.labels)
        return f"{counted(more, 'further job')} {'is' if more == 1 else 'are'} left out." if more else ""

    @property
    def title(self) -> str:
        """The name of the only job, or how many there are."""
        names = list(self.labels.values())
        return shortened(names)[names[0]] if len(names) == 1 else f"{len(names)} jobs"


def _told_apart(jobs: pd.DataFrame) -> pd.Series[str]:
    """Names of jobs; those that share one get the end of their id as well."""
    same = jobs["name"].duplicated(keep=False)
    return jobs["name"].where(~same, jobs["name"] + " (" + jobs["job_id"].str[-6:] + ")")
