"""Which jobs: what a person asks for, as a condition in SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.events import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

_PAUSED = "paused"  # a job that is running, or asks, and makes no call


def condition(
    *,
    ids: Iterable[str] | None = None,
    state: str | None = None,
    optimizer: str | None = None,
    domain: str | None = None,
    tag: str | None = None,
    since: str | date | None = None,
    until: str | date | None = None,
    text: str | None = None,
    archived: bool | None = None,
) -> tuple[str, list[object]]:
    """Write a condition over ``jobs`` and the values to bind to it; True without any wish.

    Raises
    ------
    NotFoundError
        If `state` is no state of a job.
    InputError
        If a day is none.

    Examples
    --------
    >>> condition(tag="v2", state="completed")
    ('state = ? and list_contains(tags, ?)', ['completed', 'v2'])
    """
    states = [*(str(s) for s in JobState), _PAUSED]
    if state is not None and state not in states:
        raise unknown("state", state, states)
    wishes: dict[str, object] = {
        "list_contains(?, job_id)": None if ids is None else list(ids),
        "paused = ?": True if state == _PAUSED else None,
        "state = ?": None if state == _PAUSED else state,
        "optimizer = ?": optimizer,
        "domain = ?": domain,
        "list_contains(tags, ?)": tag,
        "created_at >= ?": _day("since", since),
        "created_at < ?": _day("until", until, after=True),
        "archived = ?": archived,
        "contains(lower(name), ?)": text.strip().lower() if text and text.strip() else None,
    }
    asked = {wish: value for wish, value in wishes.items() if value is not None}
    return " and ".join(asked) or "true", list(asked.values())


def _day(what: str, value: str | date | None, *, after: bool = False) -> datetime | None:
    """Find where a day begins in UTC, or where it is over."""
    if value is None or value == "":
        return None
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise InputError(f"{what} = {value!r}: give a day such as {datetime.now(UTC):%Y-%m-%d}") from None
    return datetime.combine(day, time(), UTC) + timedelta(days=after)
