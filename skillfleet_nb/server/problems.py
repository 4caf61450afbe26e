"""Errors as ``application/problem+json`` (RFC 9457), with the one line that a notebook or a shell shows."""

from __future__ import annotations

from http import HTTPStatus

from pydantic import Field, ValidationError

from skillfleet_nb.errors import (
    HomeError,
    InputError,
    JobError,
    LMError,
    MissingExtraError,
    NotFoundError,
    QueryError,
    SkillfleetError,
)
from skillfleet_nb.format import visible
from skillfleet_nb.security import Redactor
from skillfleet_nb.server.route import Answer

TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[SkillfleetError], HTTPStatus], ...] = (
    (JobError, HTTPStatus.CONFLICT),
    (MissingExtraError, HTTPStatus.CONFLICT),
    (HomeError, HTTPStatus.SERVICE_UNAVAILABLE),
    (LMError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (QueryError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotFoundError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (InputError, HTTPStatus.UNPROCESSABLE_ENTITY),
)


class Problem(Answer):
    """Why a request was not carried out."""

    title: str
    status: int
    detail: str = Field(description="what was given, what is allowed, what to do next, in a line")
    error: str | None = Field(default=None, description="the class of the error in Python")


class RefusedError(Exception):
    """A request that is refused for what it is, whatever its route does."""

    def __init__(self, status: HTTPStatus, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.headers = status, headers


def problem(exc: BaseException, *, is_named_in_path: bool = False) -> Problem:
    """Say an error as a problem; one that is a defect says no more than that."""
    if isinstance(exc, RefusedError):
        return _problem(exc.status, str(exc))
    if isinstance(exc, ValidationError):
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, _fault(exc), "InputError")
    if isinstance(exc, OSError) and not isinstance(exc, SkillfleetError) and exc.filename is not None:
        detail = f"cannot use {str(exc.filename)!r}: {exc.strerror}; give another path"
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "InputError")
    if not isinstance(exc, SkillfleetError):
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the server has a defect: its log says more")
    status = next((s for kind, s in _STATUS if isinstance(exc, kind)), HTTPStatus.UNPROCESSABLE_ENTITY)
    if isinstance(exc, NotFoundError) and is_named_in_path:
        status = HTTPStatus.NOT_FOUND
    return _problem(status, str(exc), type(exc).__name__)


def _problem(status: HTTPStatus, detail: str, error: str | None = None) -> Problem:
    line = visible(" ".join(detail.split()))
    return Problem(title=status.phrase, status=int(status), detail=Redactor().text(line), error=error)


def _fault(exc: ValidationError) -> str:
    """Say what is wrong with what was sent; what it quotes is cut.

    Of the faults of what may be one thing or another, that counts which lies deepest: it was nearest to fitting.
    """
    faults = exc.errors(include_url=False, include_context=False)
    same = [one for one in faults if one["loc"][:1] == faults[0]["loc"][:1]]
    first = max(same, key=lambda one: len(one["loc"]))
    place = ".".join(map(str, first["loc"])) or "the body"
    value = repr(first.get("input"))
    shown = value if len(value) <= 80 else f"{value[:80]}…"  # noqa: PLR2004  a line
    more = f" ({exc.error_count()} faults in all)" if exc.error_count() > 1 else ""
    return f"{place}: {first['msg']}; given {shown}{more}"
