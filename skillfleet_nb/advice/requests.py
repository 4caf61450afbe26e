"""What a person asks of advice, in one record each: a task, and what is to be said of it.

As for runs, the options of a task are those of :class:`~skillfleet_nb.runs.request.TaskRequest`, and stand there alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skillfleet_nb.advice.selector import Requirements
from skillfleet_nb.errors import InputError
from skillfleet_nb.runs.request import TaskRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skillfleet_nb.typing import Metric

_FEWEST_TWICE = 5


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class HeadroomRequest(TaskRequest):
    """A task whose headroom is asked for.

    Parameters
    ----------
    n, k
        Examples tried, and tries of each: one as it is, one with demos, the rest drawn at random.
    budget_usd
        No call starts beyond it.
    """

    metric: Metric = field()  # must be given here
    n: int = 24
    k: int = 4
    budget_usd: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.metric is None:
            raise InputError("headroom needs a metric: give metric=, a function metric(example, pred, trace=None)")
        Requirements(self.budget_usd)  # refuses one that means nothing
        for name, value in (("n", self.n), ("k", self.k)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} = {value!r}: give a whole number from 1")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class NoiseRequest(TaskRequest):
    """A task whose noise is asked for.

    Parameters
    ----------
    n
        Examples on which the program is run twice, from 5.
    effect
        The gain that is to be seen, above 0, up to 1: how many test rows show it.
    budget_usd
        No call starts beyond it.
    """

    metric: Metric = field()  # must be given here
    n: int = 40
    effect: float = 0.05
    budget_usd: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.metric is None:
            raise InputError("noise needs a metric: give metric=, a function metric(example, pred, trace=None)")
        Requirements(self.budget_usd)  # refuses one that means nothing
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < _FEWEST_TWICE:
            raise InputError(f"n = {self.n!r}: give a whole number from {_FEWEST_TWICE}")
        if isinstance(self.effect, bool) or not isinstance(self.effect, int | float) or not 0 < self.effect <= 1:
            percent = "; divide by 100 if it is in points" if isinstance(self.effect, int | float) else ""
            raise InputError(f"effect = {self.effect!r}: give a gain of scores above 0, up to 1{percent}")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EstimateRequest(TaskRequest):
    """A run that is to be forecast.

    Parameters
    ----------
    optimizer, params
        As for ``fleet.optimize``; the metric may be left out.
    probe
        Training examples the program is run on to measure its calls, which costs a little and is
        recorded; 0 reads all off the prompts and calls nothing.
    """

    optimizer: str
    params: Mapping[str, object] | None = None
    probe: int = 3


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RecommendRequest(TaskRequest):
    """A task for which an optimizer is to be recommended.

    Parameters
    ----------
    budget_usd, max_minutes
        Limits, the probe included; None is none.
    quality_target
        Score aimed at, in [0, 1]: its chance is told, and from 0.95 fine-tuning is considered.
    complexity, style, domain
        What you know of the task, in a word each; earlier runs on tasks of the same count more.
    probe
        Training examples to measure the program's calls on, once per task; 0 calls nothing.
    """

    metric: Metric = field()  # must be given here
    budget_usd: float | None = None
    quality_target: float = 0.85
    max_minutes: float | None = None
    complexity: str | None = None
    style: str | None = None
    domain: str | None = None
    probe: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        for what, word in self.words.items():
            if not word.strip():
                raise InputError(f"{what} = {word!r}: give a word, or leave it out")

    @property
    def requirements(self) -> Requirements:
        """What the choice has to keep."""
        return Requirements(self.budget_usd, self.quality_target, self.max_minutes)

    @property
    def words(self) -> dict[str, str]:
        """What is known of the task, in a word each."""
        words = {"domain": self.domain, "style": self.style, "complexity": self.complexity}
        return {what: word for what, word in words.items() if word is not None}
