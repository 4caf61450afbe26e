"""Where registered versions are used: jobs that start from them, and live programs that answered with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.format import ago, counted, is_missing, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import TypeAlias

    import pandas as pd

    Uses: TypeAlias = Mapping[str, Mapping[int, "Use"]]
    """Of each name, the versions that are used."""

_NAMED = 3  # jobs


class Use(NamedTuple):
    """Jobs that start from a version, answers of live programs, and when the last of these was."""

    jobs: tuple[str, ...] = ()
    answers: int = 0
    answered_at: datetime | None = None


def uses_of(frame: pd.DataFrame) -> Uses:
    """Read what :func:`~skillfleet_nb.store.queries.program_uses` found."""
    uses: dict[str, dict[int, Use]] = {}
    for row in frame.to_dict("records"):
        moment = None if is_missing(row["answered_at"]) else row["answered_at"]
        uses.setdefault(row["name"], {})[int(row["version"])] = Use(tuple(row["jobs"]), int(row["answers"]), moment)
    return uses


def in_words(uses: Iterable[Use]) -> str:
    """Say what uses come to, empty where there is none.

    Examples
    --------
    >>> in_words([Use(("first", "second"), 1200)]), in_words([])
    ('about 1,200 live answers; jobs first, second', '')
    """
    uses = list(uses)
    answers, jobs = sum(u.answers for u in uses), sorted({job for u in uses for job in u.jobs})
    last = max((u.answered_at for u in uses if u.answered_at is not None), default=None)
    said = []
    if answers:
        said.append(f"about {counted(answers, 'live answer')}" + (f", the last {ago(last)}" if last else ""))
    if jobs:
        named = ", ".join(shortened(job, 30) for job in jobs[:_NAMED])
        more = f" and {len(jobs) - _NAMED:,} more" if len(jobs) > _NAMED else ""
        said.append(f"{'job' if len(jobs) == 1 else 'jobs'} {named}{more}")
    return "; ".join(said)
