"""Verification of an audit trail: its lines looked at one after the other, and what is wrong with them."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from skillfleet_nb.events.audit import Audited
from skillfleet_nb.format import counted

if TYPE_CHECKING:
    from skillfleet_nb.envelope import Event

ACCEPT: Final = "audit.accept"
"""The action of an entry that accepts all faults before it."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line of the trail; line 0 stands for the trail as a whole."""

    line: int
    what: str

    def __str__(self) -> str:
        return f"line {self.line} {self.what}" if self.line else self.what


@dataclass(frozen=True)
class Verified:
    """What came of looking at every line of a trail.

    Attributes
    ----------
    entries
        How many were read.
    head
        Number and hash of the last line, to be kept elsewhere: ``verify(checkpoint=…)`` takes it.
    faults
        What was tampered with, and not accepted since.
    accepted
        What was found before somebody accepted it.
    remarks
        What can not be told, or is as a crash leaves it.
    """

    entries: int
    head: str
    faults: tuple[Fault, ...] = ()
    accepted: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def is_intact(self) -> bool:
        """Whether nothing was found that nobody has accepted."""
        return not self.faults

    def __str__(self) -> str:
        said = "intact" if self.is_intact else f"{counted(len(self.faults), 'fault')}: {self.faults[0]}"
        lines = [f"audit trail of {counted(self.entries, 'line')}, {said}", f"checkpoint: {self.head}"]
        lines += [str(fault) for fault in self.faults[1:]]
        lines += [f"accepted: {fault}" for fault in self.accepted]
        return "\n".join([*lines, *self.remarks])

    __repr__ = __str__


class Verification:
    """Looks at the lines of a trail one after the other, and keeps what is wrong with them."""

    def __init__(self, key: bytes) -> None:
        self._key, self._mine = key, key_name(key)
        self._all = hashlib.sha256()
        self.count, self.previous = 0, digest_of(b"")
        self.hashes = {self.previous}
        self.faults: list[Fault] = []
        self.accepted: list[Fault] = []
        self.remarks: list[str] = []

    def add(self, line: bytes, event: Event | None) -> None:
        """Look at the next line."""
        if not line.endswith(b"\n"):
            self.remarks.append(f"behind line {self.count} is half a line, as a crash leaves it: it counts for nothing")
            self._all.update(line)
            return
        self.count += 1
        if (what := self._wrong(event)) is not None:
            self.faults.append(Fault(self.count, what))
        elif event is not None and self._accepts(event):
            self.accepted += self.faults
            self.faults = []
        self._all.update(line)
        self.previous = digest_of(line)
        self.hashes.add(self.previous)

    def _wrong(self, event: Event | None) -> str | None:
        """Say what is wrong with a line."""
        if event is None:
            return "was altered: it holds no entry"
        if not isinstance(event.payload, Audited):
            return f"is no entry but {event.kind!r}"
        if self._accepts(event):
            return None
        if event.fields.get("previous") != self.previous:
            return "does not follow the line before it: lines were removed, moved or added"
        return self._wrong_with_seal(event, event.payload)

    def _wrong_with_seal(self, event: Event, entry: Audited) -> str | None:
        if not self._mine:
            self._remark("no seal can be looked at: this user has no key (set XDG_CONFIG_HOME to a folder of yours)")
            return None
        if not entry.key:
            return "bears no seal: its writer had no place for a key, or took it off"
        if entry.key != self._mine:
            return f"is sealed with another key than this user's ({entry.key}, by {entry.user!r})"
        return None if self._is_sealed(event) else "was altered: its seal does not fit"

    def _is_sealed(self, event: Event) -> bool:
        made = seal_of(self._key, content_of({**event.fields, "seal": ""}))
        return hmac.compare_digest(made.encode(), str(event.fields.get("seal")).encode())

    def _accepts(self, event: Event) -> bool:
        """Tell whether an entry accepts what lies before it, and it is that."""
        fields = event.fields
        if fields.get("action") != ACCEPT or fields.get("detail") != self._all.copy().hexdigest():
            return False
        return bool(self._key) and self._is_sealed(event)

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)


def content_of(fields: dict[str, object]) -> bytes:
    """Return the bytes of an entry's fields that its seal is over."""
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def digest_of(line: bytes) -> str:
    """Return the SHA-256 of a line, in hexadecimal digits."""
    return hashlib.sha256(line).hexdigest()


def seal_of(key: bytes, content: bytes) -> str:
    """Return the HMAC of some content under a user's key, in hexadecimal digits."""
    return hmac.digest(key, b"audit\n" + content, "sha256").hex()


def key_name(key: bytes) -> str:
    """Name a key without telling it; an empty text for none."""
    return hashlib.sha256(b"name\n" + key).hexdigest()[:16] if key else ""
