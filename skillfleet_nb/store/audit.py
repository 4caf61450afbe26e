"""The audit trail of a home: who did what, in a stream of its own that nobody can change unseen.

Each entry holds the SHA-256 of the line before it and a seal, an HMAC under the user's key, which lies outside every
home; so whoever can write the home alone can neither forge, alter, move nor remove a line within the trail.  What ends
it is the *checkpoint*: number and hash of the last line, sealed and kept beside the key.  It is written behind the
entry, which a crash between the two leaves sealed and beyond the checkpoint; that is no fault.

An entry that finds another end than the checkpoint's goes on from the checkpoint's all the same: what was removed stays
seen, until somebody accepts it, which is an entry too, over the hash of all that lies before it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import orjson

from skillfleet_nb.envelope import read_event
from skillfleet_nb.errors import InputError, JobError, UnwritableError
from skillfleet_nb.events.audit import AUDIT, Audited
from skillfleet_nb.format import one_line, shortened
from skillfleet_nb.messages import as_typed
from skillfleet_nb.security import user_folder, user_key
from skillfleet_nb.store.audit_verification import (
    ACCEPT,
    Fault,
    Verification,
    Verified,
    content_of,
    digest_of,
    key_name,
    seal_of,
)
from skillfleet_nb.store.home import atomic_write, writing
from skillfleet_nb.store.journal import Journal
from skillfleet_nb.store.people import person
from skillfleet_nb.store.redacting import redactor_of
from skillfleet_nb.store.requests import encodable
from skillfleet_nb.store.segment_reader import last_lines, raw_lines
from skillfleet_nb.store.segments import place, seed, segments

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from skillfleet_nb.envelope import Event
    from skillfleet_nb.store.home import Home

Action = Literal[
    "job.start", "job.resume", "job.cancel", "job.delete", "job.restore", "job.erase", "trash.empty",
    "program.register", "program.promote", "export", "import", "home.compact", "home.reset", "home.restore",
    "home.encrypt", "home.rotate", "home.decrypt", "audit.accept",
]  # fmt: skip
"""What is done to a home otherwise than by request to a server."""

_WAIT_S = 10.0  # for others who write to the trail at this moment
_LONGEST = 400  # characters of a text of an entry
_LAST = 16 * 1024  # bytes in which the last line lies: no entry is longer
_MOST_LOOKED_BACK = 1 << 20  # bytes at the end of the trail among which a checkpoint's line is looked for
_NOW_AND_THEN = 64  # new homes
_WIDEST = 80
_WRITTEN = re.compile(r"(\d{1,12}):([0-9a-f]{64})")


@dataclass(frozen=True)
class _Checkpoint:
    """The end of a trail as it was last seen: number, hash and time of its last line."""

    line: int
    digest: str
    seal: str = ""

    def sealed(self, path: Path, key: bytes) -> Self:
        return type(self)(self.line, self.digest, seal_of(key, f"{path}\n{self.line}\n{self.digest}".encode()))

    def __str__(self) -> str:
        return f"{self.line}:{self.digest}"


class Trail:
    """The audit trail of a home.  Reached as ``fleet.audit``.

    Examples
    --------
    >>> import tempfile
    >>> from skillfleet_nb.store import Home
    >>> trail = Trail(Home.find(tempfile.mkdtemp()))
    >>> trail.record("export", "facts")
    >>> trail.entries()["action"].tolist(), trail.verify().is_intact
    (['export'], True)
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def record(self, action: Action, target: str = "", detail: str = "") -> None:
        """Write down what is done, by whoever is at work; raises as :meth:`append` does.

        What only reads is done in a home that cannot be written too, and goes unrecorded there.
        """
        with suppress(*((UnwritableError,) if action == "export" else ())):
            self.append(Audited(user=person(), action=action, target=target, detail=detail))

    def append(self, entry: Audited) -> None:
        """Write an entry at the end of the trail, on disk when this returns.

        Raises
        ------
        HomeError
            If the home cannot be written.
        JobError
            If others wrote to the trail for so long that it was not this one's turn, or the user's key is damaged.
        """
        redactor = redactor_of(self._home)
        texts = {name: value for name, value in _fields(entry).items() if isinstance(value, str)}
        shown = {name: one_line(str(encodable(redactor.text(value))), _LONGEST) for name, value in texts.items()}
        with Journal(self._home, AUDIT, wait_s=_WAIT_S, join=True) as journal:
            key, folder = self._key(), journal.path.parent
            if entry.action == ACCEPT:
                shown["detail"] = digest_of(b"".join(line for line, _ in self._lines()))
            chained = {"previous": self._previous(folder, key), "key": key_name(key), "seal": ""}
            unsealed = entry.model_copy(update={**shown, **chained})
            sealed = unsealed.model_copy(update={"seal": seal_of(key, content_of(_fields(unsealed))) if key else ""})
            number = journal.append(sealed, sync=True)
            if key:
                self._keep(_Checkpoint(number, digest_of(_end(folder, _LAST)[-1])), key)

    def entries(self) -> pd.DataFrame:
        """List the entries, oldest first: `line`, `at`, `user`, `action`, `target`, `detail`, `status`, `error`, `job`.

        They are as they lie there: :meth:`verify` says whether they can be relied on.
        """
        import pandas as pd

        rows = [{"line": event.seq, "at": event.at, **event.fields} for _, event in self._lines() if event is not None]
        columns = ["line", "at", "user", "action", "target", "detail", "status", "error", "job"]
        return pd.DataFrame(rows, columns=columns)

    def exports(self, job_id: str = "") -> list[str]:
        """List where something was exported to and still is, or may be; with a job, since that was started."""
        entries = self.entries()
        began = entries[(entries.action == "job.start") & (entries.target == job_id)].line
        since = entries[entries.line >= (began.iloc[0] if len(began) else 0)]
        targets = dict.fromkeys(since[since.action == "export"].target)
        return [target for target in targets if "://" in target or Path(target).exists()]

    def verify(self, checkpoint: str | None = None) -> Verified:
        """Look whether the trail is as it was written: no line altered, added, moved, or removed, also at its end.

        Parameters
        ----------
        checkpoint
            ``NUMBER:HASH`` of a line, as an earlier answer told it, that must still be there.

        Raises
        ------
        InputError
            If `checkpoint` is none.
        JobError
            If this user's key is damaged.
        """
        asked = None if checkpoint is None else _parsed(checkpoint)
        key = self._key()
        try:
            kept = self._checkpoint(key)
            faults = []
        except JobError as altered:
            kept, faults = None, [Fault(0, str(altered))]
        verification = Verification(key)
        for line, event in self._lines():
            verification.add(line, event)
        faults = [*faults, *verification.faults]
        for wanted, whose in ((kept, "the checkpoint beside this user's key"), (asked, "the checkpoint given")):
            if wanted is not None and wanted.digest not in verification.hashes:
                faults.append(
                    Fault(0, f"the trail was cut or replaced: {whose} knows a line {wanted.line}, which is not there")
                )
        remarks = list(verification.remarks)
        if verification.count and kept is None and not faults:
            remarks.append(f"no checkpoint is kept of {self._home.root}: moved or copied here, it may lack its end")
        head = f"{verification.count}:{verification.previous}"
        return Verified(verification.count, head, tuple(faults), tuple(verification.accepted), tuple(remarks))

    def accept(self, reason: str) -> None:
        """Accept what :meth:`verify` finds now, such as the trail of a home that was deleted and made anew.

        It stays on record, with who accepted it and why.

        Raises
        ------
        InputError
            If no reason is given.
        """
        if not reason.strip():
            raise InputError("give a reason why the faults of the trail are accepted: it is written down")
        self.record(ACCEPT, reason)

    def _lines(self) -> Iterator[tuple[bytes, Event | None]]:
        for segment in segments(self._home.journal_dir(AUDIT)):
            here, start = seed(segment.path), 0
            for line, end in raw_lines(segment):
                yield line, read_event(line, place(here, start))
                start = end

    def _previous(self, folder: Path, key: bytes) -> str:
        """Return the hash that the next entry goes on from: the last line's, or one that is seen not to be there."""
        last = digest_of(_end(folder, _LAST)[-1])
        try:
            kept = self._checkpoint(key)
        except JobError:
            return ""
        if kept is None or kept.digest == last or kept.digest in map(digest_of, _end(folder, _MOST_LOOKED_BACK)):
            return last
        return kept.digest

    def _key(self) -> bytes:
        try:
            return user_key()
        except InputError:  # there is no place for one
            return b""

    def _file(self) -> Path:
        name = hashlib.sha256(os.fsencode(self._home.root.resolve())).hexdigest()[:32]
        return user_folder() / "audit" / f"{name}.json"

    def _checkpoint(self, key: bytes) -> _Checkpoint | None:
        if not key:
            return None
        file = self._file()
        try:
            fields = orjson.loads(file.read_bytes())
            kept = _Checkpoint(**fields["checkpoint"])
            intact = hmac.compare_digest(kept.sealed(self._home.root.resolve(), key).seal, kept.seal)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError):
            intact = False
        if not intact:
            raise JobError(f"the checkpoint '{file}' was altered or made with another key: look into it, delete it")
        return kept

    def _keep(self, end: _Checkpoint, key: bytes) -> None:
        file, root = self._file(), self._home.root.resolve()
        fields = {"home": str(root), "checkpoint": asdict(end.sealed(root, key))}
        with writing(file):
            if not file.exists():
                file.parent.mkdir(mode=0o700, exist_ok=True)
                _forget_passing(file.parent)
            atomic_write(file, orjson.dumps(fields))


def _end(folder: Path, most: int) -> list[bytes]:
    """Return the last whole lines of a stream: those within so many bytes, or one; an empty one where there is none."""
    lines: list[bytes] = []
    size = 0
    for segment in reversed(segments(folder)):
        lines = last_lines(segment, most) + lines
        size += segment.size
        if lines and size >= most:
            break
    return lines or [b""]


def _parsed(checkpoint: str) -> _Checkpoint:
    written = _WRITTEN.fullmatch(checkpoint.strip())
    if written is None:
        raise InputError(
            f"{shortened(checkpoint, _WIDEST)!r} is no checkpoint: give NUMBER:HASH, "
            f"as {as_typed('audit verify')} tells it"
        )
    return _Checkpoint(int(written[1]), written[2])


def _forget_passing(folder: Path) -> None:
    """Delete checkpoints of temporary homes that are gone; looked for now and then."""
    files = list(folder.glob("*.json"))
    if len(files) % _NOW_AND_THEN != _NOW_AND_THEN - 1:
        return
    passing = Path(tempfile.gettempdir()).resolve()
    for file in files:
        with suppress(OSError, ValueError, KeyError):
            home = Path(orjson.loads(file.read_bytes())["home"])
            if home.is_relative_to(passing) and not home.parent.exists():
                file.unlink()


def _fields(entry: Audited) -> dict[str, object]:
    return {name: value for name, value in vars(entry).items() if name != "kind"}
