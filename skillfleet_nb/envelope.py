"""Reading events: a line of a journal becomes an event, whose payload is validated when it is asked for.

A line carries a checksum of itself and of its place: the stream, the segment and the offset it was written at.  So a
flipped bit is found, and a line that was copied elsewhere counts for nothing there.  Lines of older journals have none.
"""

from __future__ import annotations

import re
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from zlib import crc32

import orjson
from pydantic import TypeAdapter, ValidationError

from skillfleet_nb.events import PAYLOADS, CallOutcome, JobState, LMCall, Outcome, Payload, StopKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SEQ_LIMIT = 1 << 53  # the largest whole numbers every JSON reader agrees on; more is damage
_CALL, _CALL_FIELDS = "lm_call", len(LMCall.model_fields) - 1  # its kind is in the envelope

_outcome: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(*CallOutcome._fields)
_checked: Callable[[tuple[Any, ...]], Outcome] = TypeAdapter(Outcome).validator.validate_python


class Event:
    """One fact of a stream.

    Payloads are validated where they are looked at, each kind by its own class: nearly all events are calls
    of models, most readers only add them up, and validating all fields of a call takes as long as parsing
    its line.  The fold, which keeps what it does not know, looks at `fields` alone.

    Attributes
    ----------
    seq
        Its number within the stream, from 1.
    at
        When, UTC.
    kind
        Its kind, one of ``skillfleet_nb.events.PAYLOADS`` or of a later version.
    fields
        The payload as it was written.
    """

    __slots__ = ("_is_newer", "_payload", "at", "fields", "kind", "seq")

    def __init__(self, seq: int, at: datetime, kind: str, fields: dict[str, Any]) -> None:
        self.seq = seq
        self.at = at
        self.kind = kind
        self.fields = _upgraded(fields) if kind == "state" else fields
        self._payload: Payload | None = None

    @property
    def payload(self) -> Payload:
        """What happened; a bare `Payload` where this version does not know the kind, or the fields do not fit."""
        if self._payload is None:
            self._payload, self._is_newer = _payload(self.kind, self.fields)
        return self._payload

    @property
    def call(self) -> Outcome | None:
        """What a call of a model took, at a fifth of the cost of its payload; None of other events."""
        if self.kind != _CALL:
            return None
        try:
            return _checked(_outcome(self.fields))
        except (ValidationError, KeyError):
            # of an older version, which wrote fewer fields, or damaged
            return _outcome(vars(self.payload)) if isinstance(self.payload, LMCall) else None

    @property
    def is_newer(self) -> bool:
        """Whether a later version wrote it: it has a kind or fields that this one does not know.

        Of a call, only the number of its fields is looked at.
        """
        if self.kind == _CALL and len(self.fields) <= _CALL_FIELDS:
            return False
        return self.payload is not None and self._is_newer

    def __eq__(self, other: object) -> bool:
        mine = (self.seq, self.at, self.kind, self.fields)
        return isinstance(other, Event) and mine == (other.seq, other.at, other.kind, other.fields)

    __hash__ = None  # type: ignore[assignment]  # its fields are a dictionary

    def __repr__(self) -> str:
        return f"Event({self.seq}, {self.at.isoformat()}, {self.kind!r}, {self.fields!r})"


def _payload(kind: str, fields: dict[str, Any]) -> tuple[Payload, bool]:
    model = PAYLOADS.get(kind)
    if model is None:
        return Payload(kind=kind), True
    try:
        return model.model_validate(fields), False
    except ValidationError:
        pass
    try:
        return model.model_validate(fields, extra="ignore"), True
    except ValidationError:
        return Payload(kind=kind), True


_SEALED, _UNSEALED = b'{"crc":"', b'{"seq":'
_DIGITS = re.compile(rb"[0-9a-f]{8}")
_CRC, _BODY = slice(len(_SEALED), len(_SEALED) + 8), len(_SEALED) + 10  # eight hexadecimal digits, `",`


def seal(body: bytes, place: int) -> bytes:
    """Make a line of its body, which is all behind the first brace, with a checksum of it and its place before it.

    Examples
    --------
    >>> seal(b'"seq":1}', 0)
    b'{"crc":"54542aa2","seq":1}'
    """
    return b'{"crc":"%08x",%b' % (crc32(body, place), body)


def is_sealed(line: bytes) -> bool:
    """Tell whether a line carries a checksum of itself and its place."""
    return line.startswith(_SEALED)


def unsealed(line: bytes) -> tuple[bytes, bytes]:
    """Part a sound line from its checksum, which is empty where there is none; the two make it again."""
    return (b"{" + line[_BODY:], line[:_BODY]) if line.startswith(_SEALED) else (line, b"")


def sealed_place(line: bytes) -> int | None:
    """Return the place that the checksum of a sealed line was made for: where it is damaged, any number or None.

    A checksum is an affine map of its place over GF(2), so the map of this body is made from its images of single
    bits, and turned round.

    Examples
    --------
    >>> sealed_place(seal(b'"seq":1}', 5120))
    5120
    """
    body = line[_BODY:]
    basis: list[tuple[int, int]] = []
    if not _DIGITS.fullmatch(line[_CRC]):
        return None
    constant = crc32(body)
    image, place = int(line[_CRC], 16) ^ constant, 0
    for bit in range(32):
        reduced, cause = crc32(body, 1 << bit) ^ constant, 1 << bit
        for vector, its_cause in basis:
            if reduced ^ vector < reduced:
                reduced, cause = reduced ^ vector, cause ^ its_cause
        basis.append((reduced, cause))
    for vector, its_cause in basis:
        if image ^ vector < image:
            image, place = image ^ vector, place ^ its_cause
    return place


def read_event(line: bytes, place: int | None = None) -> Event | None:
    """Read a line of a journal; None where it holds no event, or does not fit its checksum.

    Parameters
    ----------
    place
        Where it was found; None leaves the checksum alone.

    Examples
    --------
    >>> line = b'{"seq":1,"at":"2026-01-01T10:00:00Z","kind":"phase","payload":{"text":"searching"}}'
    >>> read_event(line).payload
    Phase(kind='phase', text='searching')
    >>> read_event(line.replace(b"phase", b"of tomorrow")).is_newer
    True
    """
    try:
        if line.startswith(_SEALED):
            if place is not None and line[_CRC] != b"%08x" % crc32(line[_BODY:], place):
                return None
        elif not line.startswith(_UNSEALED):
            return None
        raw = orjson.loads(line)
        seq, at, kind, fields = raw["seq"], datetime.fromisoformat(raw["at"]), raw["kind"], raw["payload"]
        if type(seq) is int and 0 < seq < _SEQ_LIMIT and at.tzinfo and type(kind) is str and type(fields) is dict:
            return Event(seq, at, kind, fields)
    except (ValueError, TypeError, KeyError):
        pass
    return None


def _upgraded(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a change of state as this version writes them; older ones wrote no `stop_kind`."""
    if "stop_kind" in fields:
        return fields
    return {**fields, "stop_kind": _stop_kind(fields.get("state"), str(fields.get("stop_reason") or ""))}


_LM_FAILED = re.compile(r"failed on the first call: |calls of .* failed, the last with |predictions failed with ")


def _stop_kind(state: object, reason: str) -> StopKind | None:
    """Read off the words of an older journal why a job stopped."""
    if state == JobState.COMPLETED:
        return StopKind.BUDGET if reason.startswith("budget") else StopKind.FINISHED
    if state == JobState.FAILED:
        if _LM_FAILED.search(reason):
            return StopKind.LM_FAILING
        return StopKind.METRIC if reason.startswith("metric ") else StopKind.ERROR
    if state == JobState.CANCELLED:
        return StopKind.CANCELLED
    return StopKind.INTERRUPTED if state == JobState.INTERRUPTED else None
