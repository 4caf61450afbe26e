"""Reading events: a line of a journal becomes a payload in its envelope, validated."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Annotated, Any, Literal, Union

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from skillfleet_nb.events import PAYLOADS, Payload


class _Envelope(BaseModel):
    model_config = ConfigDict(strict=True)  # a number in quotes is damage

    seq: int = Field(gt=0, lt=1 << 53)  # the largest whole numbers every JSON reader agrees on; more is damage
    at: AwareDatetime
    kind: str


class Event(_Envelope):
    """One fact of a stream: `seq` counts from 1 within the stream, `at` is UTC, `payload` what happened."""

    payload: Payload


class NewerEvent(Event):
    """An event that this version cannot read in full, because a later one wrote it.

    Its payload lacks the fields that are not known; where its kind is not, or does not fit, it is a bare
    :class:`~skillfleet_nb.events.Payload`.
    """


class _Unread(_Envelope):
    payload: dict[str, Any]


@cache
def _reader() -> TypeAdapter[Event]:
    kinds, fields = [], dict[str, Any]()
    for kind, payload in PAYLOADS.items():
        fields = {"kind": (Literal[kind], ...), "payload": (payload, ...)}
        kinds.append(create_model(f"{payload.__name__}Event", __base__=Event, **fields))
    union: Any = Annotated[Union[tuple(kinds)], Field(discriminator="kind")]  # noqa: UP007  made of a list
    return TypeAdapter(union)


def read_event(line: bytes) -> Event | None:
    """Read a line of a journal; None where it holds no event.

    Parsing and validating are one pass, which takes as long as parsing the line into a dictionary.

    Examples
    --------
    >>> line = b'{"seq":1,"at":"2026-01-01T10:00:00Z","kind":"phase","payload":{"text":"searching"}}'
    >>> read_event(line).payload
    Phase(kind='phase', text='searching')
    >>> type(read_event(line.replace(b"phase", b"of tomorrow"))).__name__
    'NewerEvent'
    """
    try:
        return _reader().validate_json(line)
    except ValidationError:
        return _read_newer(line)


def _read_newer(line: bytes) -> NewerEvent | None:
    try:
        unread = _Unread.model_validate_json(line)
    except ValidationError:
        return None
    payload = Payload(kind=unread.kind)
    with suppress(ValidationError):
        payload = _reader().validate_json(line, extra="ignore").payload
    return NewerEvent(seq=unread.seq, at=unread.at, kind=unread.kind, payload=payload)
