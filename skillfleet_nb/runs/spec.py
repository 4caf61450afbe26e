"""What defines a run, and what it came to: plain records without live objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    import dspy
    import pandas as pd

    from skillfleet_nb.events import JobState, SkillCreated, StopKind
    from skillfleet_nb.skills import Skill

EVALUATE = "evaluate"
"""What stands in the place of an optimizer in a job that only scores."""
CREATE_SKILL = "create_skill"
"""What stands in the place of an optimizer in a job that creates a skill."""

LIMITS = {"usd": "budget_usd", "calls": "max_calls", "tokens": "max_tokens", "minutes": "max_minutes"}
"""The options that are limits, by their names in a :class:`Budget`."""


def tags_of(tags: Sequence[str]) -> tuple[str, ...]:
    """Tidy the tags of a job; one text is one tag, and commas part several.

    Raises
    ------
    InputError
        If one is empty or no text.

    Examples
    --------
    >>> tags_of("support"), tags_of(["support, v2", "v2"])
    (('support',), ('support', 'v2'))
    """
    texts = [tags] if isinstance(tags, str) or not isinstance(tags, Iterable) else list(tags)
    wrong = next((t for t in texts if not isinstance(t, str) or not t.strip(" ,")), None)
    if wrong is not None:
        raise InputError(f"tag {wrong!r}: give words, for example tags=['support', 'v2']")
    return tuple(dict.fromkeys(part.strip() for text in texts for part in text.split(",") if part.strip()))


class Budget(BaseModel):
    """Bounds of a run; None is unbounded."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    usd: float | None = None
    calls: int | None = None
    tokens: int | None = None
    minutes: float | None = None

    @classmethod
    def of(cls, **limits: object) -> Budget:
        """Read limits as they were given, by the names of the fields.

        Raises
        ------
        InputError
            For one that is no number.

        Examples
        --------
        >>> Budget.of(usd="2", calls=50)
        Budget(usd=2.0, calls=50, tokens=None, minutes=None)
        """
        try:
            return cls.model_validate(limits)
        except ValidationError as exc:
            name = str(exc.errors()[0]["loc"][0])
            kind = "whole number" if name in {"calls", "tokens"} else "number"
            raise InputError(
                f"{LIMITS[name]} = {limits[name]!r}: it must be a {kind} above 0; leave it out for no limit"
            ) from None


class Review(BaseModel):
    """When a run asks a person: before a program is accepted, and before it pays more than each of these USD."""

    model_config = ConfigDict(frozen=True)

    accept: bool = False
    cost_usd: tuple[float, ...] = ()

    @classmethod
    def of(cls, review: str | Sequence[str] | Review | None) -> Review:
        """Read when a run is to ask: ``"accept"``, ``"cost=0.50"``, several of them, or ``"none"``.

        Raises
        ------
        InputError
            Naming what is allowed.

        Examples
        --------
        >>> Review.of(["accept", "cost=0.5"])
        Review(accept=True, cost_usd=(0.5,))
        """
        if isinstance(review, Review):
            return review
        parts = list(review or ()) if isinstance(review, Iterable | None) and not isinstance(review, str) else [review]
        if parts == ["none"]:
            return cls()
        accept, costs = False, set()
        for part in parts:
            what, equals, value = str(part).partition("=")
            if what == "accept" and not equals:
                accept = True
                continue
            try:
                limit = float(value.strip().removeprefix("$"))
            except ValueError:
                limit = 0.0
            if what != "cost" or not 0 < limit < float("inf"):
                raise InputError(
                    f"review {part!r}: write accept, or cost=USD with an amount above 0, such as cost=0.50"
                )
            costs.add(limit)
        return cls(accept=accept, cost_usd=tuple(sorted(costs)))


class Spec(BaseModel):
    """Everything that decides a run's outcome, by name and content hash.

    Two runs with equal hashes, optimizer, parameters and seed buy the same calls in the same order,
    so DSPy's cache replays the first one.
    """

    model_config = ConfigDict(frozen=True)

    program: str
    program_hash: str
    metric: str
    metric_hash: str
    data_hashes: dict[str, str]
    sizes: dict[str, int]
    predictors: int = 1
    origins: dict[str, str] = Field(default_factory=dict)
    splits: str = ""
    optimizer: str
    params: dict[str, Any] = Field(default_factory=dict)
    lm: str
    prompt_lm: str
    fallback_lms: tuple[str, ...] = ()
    budget: Budget = Budget()
    target: float | None = None
    review: Review = Review()
    race: str = "off"
    seed: int = 0
    num_threads: int = 1
    cached: bool = True
    expected_calls: tuple[int, int] = (0, 0)
    environment: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class RunResult:
    """What a run came to.  Scores are in [0, 1]; None where a split could not be scored.

    Attributes
    ----------
    program
        The best program found; the given one where nothing better was.
    baseline_score, best_score
        On validation, before and after.
    test_baseline, test_score, test_delta, test_delta_interval, p_value
        On the sealed test split: both scores, their paired difference with its 95% interval, and
        the two-sided permutation p-value (see :func:`skillfleet_nb.stats.paired_comparison`).
    test_interval
        The 95% interval of `test_score`, of a program that was evaluated alone.
    verdict
        ``"improved"``, ``"no evidence"``, ``"worse"``, or None where the test could not be scored.
    failed_share
        Share of the test predictions, of both programs, that failed: each counted as 0, and is no wrong answer.
    stop_kind, stop_reason
        Why the search ended, for programs and in words.
    lm_calls, cached_calls, cost_usd
        Bought calls, calls served from the cache, and USD; cost is None where a price is unknown.
    members
        Of a run of several searches: a row each, as in the relation ``members``.
    individuals
        Of a run that breeds programs: a row each of every generation, as in the relation ``individuals``.
    """

    program: dspy.Module
    state: JobState
    stop_kind: StopKind | None
    stop_reason: str
    baseline_score: float | None
    best_score: float | None
    test_baseline: float | None = None
    test_score: float | None = None
    test_delta: float | None = None
    test_delta_interval: tuple[float, float] | None = None
    p_value: float | None = None
    test_interval: tuple[float, float] | None = None
    verdict: str | None = None
    failed_share: float | None = None
    summary: str = ""
    lm_calls: int = 0
    cached_calls: int = 0
    cost_usd: float | None = 0.0
    wall_s: float = 0.0
    members: pd.DataFrame | None = None
    individuals: pd.DataFrame | None = None

    def __str__(self) -> str:
        return visible(self.summary)

    def __repr__(self) -> str:
        # A cell that ends in job.result() shows this: the program would fill the page.
        return f"<RunResult {self}>"


@dataclass(frozen=True, repr=False, kw_only=True)
class CreationResult(RunResult):
    """What the creation of a skill came to; `test_score` is its quality.

    Attributes
    ----------
    created
        All that was recorded of it, its `findings` among them.
    """

    created: SkillCreated

    @classmethod
    def of(cls, result: RunResult, created: SkillCreated) -> Self:
        """Add to a result what was created."""
        return cls(**{f.name: getattr(result, f.name) for f in fields(result)}, created=created)

    @property
    def skill(self) -> Skill:
        """The skill, as it is on disk now."""
        from skillfleet_nb.skills import Skill

        return Skill.load(self.created.folder)

    @property
    def folder(self) -> str:
        """Where it was written."""
        return self.created.folder

    @property
    def path(self) -> str:
        """The way it took: fast, normal or expert."""
        return self.created.path

    @property
    def score(self) -> float:
        """Its quality, in [0, 1]."""
        return self.created.score

    @property
    def similar(self) -> tuple[str, ...]:
        """The skills that were there and are closest to the task."""
        return self.created.similar

    @property
    def seconds_saved(self) -> float:
        """What the normal way would have taken beyond this, as far as can be told."""
        return self.created.seconds_saved
