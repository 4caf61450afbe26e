"""Answers as JSON: what the facade returns, without live objects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import BaseModel, Field

from skillfleet_nb.errors import JobError
from skillfleet_nb.events import JobState
from skillfleet_nb.format import is_missing
from skillfleet_nb.server.route import Answer, Rows

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.runs.jobs.job import Job

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z


Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
"""A lower and an upper bound."""


class Question(Answer):
    """What a job asks a person."""

    review_id: str
    asks: str
    about: str
    question: str
    details: dict[str, str]
    draft: str
    options: dict[str, str]
    note: str


class JobNow(Answer):
    """Where a job is: scores are in [0, 1], money in USD, times in seconds and UTC."""

    id: str
    name: str
    state: str
    finished: bool
    optimizer: str
    engine: str
    tags: list[str]
    domain: str | None
    note: str
    archived: bool
    attempts: int
    trials: int
    baseline: float | None
    best: float | None
    best_program: str | None
    calls: int
    cached: int
    tokens: int
    cost_usd: float | None
    elapsed_s: float
    eta_s: Pair | None
    share_done: float | None
    phase: str
    paused: bool
    question: Question | None
    warnings: list[str]
    stop_kind: str | None
    stop_reason: str | None
    error: str | None
    verdict: str | None
    splits: str
    started_at: datetime | None
    finished_at: datetime | None
    line: str = Field(description="all of it in one line, as a terminal shows it")
    summary: list[list[str]] = Field(description="what matters of it, as pairs of a word and its value")


class Came(Answer):
    """What a job came to, as ``RunResult`` in Python; `program` is the best one's state, which DSPy loads."""

    state: str
    stop_kind: str | None
    stop_reason: str
    baseline_score: float | None
    best_score: float | None
    test_baseline: float | None
    test_score: float | None
    test_delta: float | None
    test_delta_interval: Pair | None
    p_value: float | None
    test_interval: Pair | None
    verdict: str | None
    failed_share: float | None
    summary: str
    lm_calls: int
    cached_calls: int
    cost_usd: float | None
    wall_s: float
    members: list[dict[str, Any]] | None
    created: dict[str, Any] | None
    program_id: str | None
    program: dict[str, Any] | None


def job_now(job: Job) -> JobNow:
    """Tell where a job is."""
    p = job.progress
    asked, eta_s = p.question, p.eta_s
    return JobNow(
        id=job.id, name=p.name, state=str(p.state), finished=p.state.is_finished(), optimizer=p.optimizer,
        engine=p.engine, tags=list(p.tags), domain=p.domain, note=p.note, archived=p.archived, attempts=p.attempts,
        trials=p.trials, baseline=p.baseline, best=p.best, best_program=p.best_program, calls=p.calls,
        cached=p.cached, tokens=p.totals.tokens, cost_usd=p.cost_usd,
        elapsed_s=p.elapsed_s, eta_s=None if eta_s is None else list(eta_s),
        share_done=p.share_done, phase=p.doing, paused=p.paused,
        question=None if asked is None else Question(**asked.model_dump(exclude={"kind", "programs"})),
        warnings=list(p.warnings), stop_kind=None if p.stop_kind is None else str(p.stop_kind),
        stop_reason=p.stop_reason, error=p.error, verdict=p.result.verdict if p.result else None, splits=p.splits,
        started_at=p.started_at, finished_at=p.finished_at, line=p.line(), summary=[list(row) for row in job.summary()],
    )  # fmt: skip


def came_to(job: Job) -> Came:
    """Tell what a finished job came to, from its record alone: nothing of it is loaded or run.

    Raises
    ------
    JobError
        If it is not finished, or came to nothing.
    """
    from skillfleet_nb.store import load_program

    p = job.progress
    if not p.state.is_finished():
        raise JobError(f"job {p.name!r} is still {p.state}: wait until it ends, or cancel it")
    if p.result is None:
        raise JobError(f"job {p.name!r} ({p.state}) came to nothing: {p.error or p.stop_reason or 'see its log'}")
    r, members = p.result, p.members_frame()
    same = {name: getattr(r, name) for name in Came.model_fields if name in type(r).model_fields}
    return Came(
        **same, state=str(p.state), stop_kind=None if p.stop_kind is None else str(p.stop_kind),
        stop_reason=p.stop_reason or "", test_delta_interval=_pair(r.test_delta_low, r.test_delta_high),
        test_interval=_pair(r.test_low, r.test_high), lm_calls=p.calls, cached_calls=p.cached, cost_usd=p.cost_usd,
        wall_s=p.elapsed_s, members=None if members is None else records(members),
        created=None if p.created is None else p.created.model_dump(mode="json"), program_id=p.best_program,
        program=None if p.best_program is None else load_program(job.home, p.best_program),
    )  # fmt: skip


def is_final(job: Job) -> bool:
    """Tell whether nothing will ever be added to a job: complete, by no limit that could be raised."""
    p = job.progress
    return p.state is JobState.COMPLETED and str(p.stop_kind) != "budget"


def rows(frame: pd.DataFrame, offset: int = 0, limit: int | None = None) -> Rows:
    """Return some rows of a frame, and how many there are."""
    part = frame.iloc[offset : None if limit is None else offset + limit]
    return Rows(columns=columns(frame), rows=records(part), total=len(frame), offset=offset)


def columns(frame: pd.DataFrame) -> list[str]:
    """Name the columns of a frame."""
    return [str(name) for name in frame.columns]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as plain values."""
    names = columns(frame)
    return [
        {name: plain(value) for name, value in zip(names, row, strict=True)} for row in frame.itertuples(index=False)
    ]


def plain(value: Any) -> Any:
    """Make plain values, lists and objects of what the facade returns.

    Examples
    --------
    >>> from skillfleet_nb.advice.forecast import Interval
    >>> plain({"calls": Interval(1, 2, 3), "score": float("nan")})
    {'calls': {'low': 1, 'expected': 2, 'high': 3}, 'score': None}
    """
    if value is None or isinstance(value, str | bool | int):
        # what the writer of JSON holds: DuckDB's hugeint has twice the bits
        is_written = not isinstance(value, int) or -(2**63) <= value < 2**64
        return value if is_written and not isinstance(value, Enum) else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date | Path | Enum):
        return _in_words(value)
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields if name != "kind"}
    if is_dataclass(value) and not isinstance(value, type):
        shown = {one.name: getattr(value, one.name) for one in fields(value) if not one.name.startswith("_")}
        return {name: plain(part) for name, part in shown.items()}
    return _of_parts(value)


def _in_words(value: Any) -> str | None:
    if value != value:  # noqa: PLR0124  pandas' missing time
        return None
    return str(value.isoformat()) if isinstance(value, date) else str(value)


def _of_parts(value: Any) -> Any:
    if hasattr(value, "itertuples"):
        return records(value)
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: plain(part) for name, part in zip(value._fields, value, strict=True)}
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, bytes | bytearray):
        return [plain(part) for part in value]
    if hasattr(value, "tolist"):  # of numpy
        return plain(value.tolist())
    return None if is_missing(value) else str(value)


def encoded(answer: object) -> bytes:
    """Write an answer as JSON."""
    return orjson.dumps(plain(answer), option=_OPTIONS)


def _pair(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]
