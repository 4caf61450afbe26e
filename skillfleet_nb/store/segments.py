"""Segments of a stream: events as JSON lines, each file as its writer left it or compacted to Parquet.

Both forms are the same segment under the same name, and offsets count the bytes of its lines as they
were written, so whoever has read half of a segment goes on in the other form as if nothing had happened::

    000001.jsonl                  as written
    000001.5120.parquet           compacted; its lines are 5,120 bytes
    000001.5120.hashed.parquet    compacted, with hashes in place of prompts and responses

While one form replaces another both are there; the last in this list counts.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from zlib import crc32

from skillfleet_nb.envelope import seal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from skillfleet_nb.envelope import Event


_FILE = re.compile(r"(\d{1,12})(?:\.jsonl|\.(\d+)(\.hashed)?\.parquet)")


_MOMENT = len("2026-01-01T10:00:00.000000")

Line: TypeAlias = tuple["Event | None", int, bool]
"""One line of a segment: its event, None where it holds none; the offset behind it; whether it is finished."""


class Segment(NamedTuple):
    """One segment, in the form that counts.

    `name` is that of the file its writer made, in any form; `size` the bytes of its lines; `changed_ns` when a file
    of lines was last written, for a torn one may give way to a whole one of the same length.
    """

    name: str
    path: Path
    size: int
    compacted: bool = False
    hashed: bool = False
    changed_ns: int = 0

    @property
    def number(self) -> int:
        """Its place in the stream, from 1."""
        return int(self.name[: -len(".jsonl")])

    def as_compacted(self, *, hashed: bool) -> Segment:
        """Return the same segment as it will be once it is compacted."""
        ending = ".hashed.parquet" if hashed else ".parquet"
        path = self.path.with_name(f"{self.name[: -len('.jsonl')]}.{self.size}{ending}")
        return Segment(self.name, path, self.size, compacted=True, hashed=hashed)


def seed(path: Path) -> int:
    """Return what stands for a segment, in any form, in the checksums of its lines."""
    return crc32(label(path).encode())


def label(path: Path) -> str:
    """Return what stands for a segment, in any form, where its lines are encrypted."""
    return f"{path.parent.name}/{path.name.partition('.')[0]}"


def place(seed: int, offset: int) -> int:
    """Return what the checksum of the line at an offset begins with."""
    return seed ^ offset  # of which `crc32` takes the last 32 bits


def bytes_on_disk(parts: Iterable[Segment]) -> int:
    """Sum the sizes of files; one that has changed its form since it was listed counts as nothing."""
    total = 0
    for segment in parts:
        with suppress(FileNotFoundError):
            total += segment.path.stat().st_size
    return total


def format_line(seq: int, at: datetime, kind: str, payload: bytes, place: int | None = None) -> bytes:
    """Write an event as a line; `payload` is JSON, `at` UTC, `place` where it will stand; None has no checksum."""
    moment = at.isoformat("T", "microseconds")[:_MOMENT]
    # With a checksum it takes as long as formatting bytes did without one.
    body = f'"seq":{seq},"at":"{moment}Z","kind":"{kind}","payload":'.encode() + payload + b"}\n"
    return b"{" + body if place is None else seal(body, place)


def files(folder: Path) -> list[Segment]:
    """Every file that holds a segment of one stream, oldest segment first, the form that counts last."""
    listed = []
    # a stray file, or a job that a person deletes just now
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            named = _FILE.fullmatch(entry.name)
            if named is None:
                continue
            number, size, hashed = named.groups()
            with suppress(FileNotFoundError):  # changed its form since it was listed
                if entry.is_file():
                    name, path = f"{number}.jsonl", Path(entry.path)
                    if size is None:
                        stat = entry.stat()
                        listed.append(Segment(name, path, stat.st_size, changed_ns=stat.st_mtime_ns))
                    else:
                        listed.append(Segment(name, path, int(size), compacted=True, hashed=hashed is not None))
    return sorted(listed, key=lambda s: (s.name, s.compacted, s.hashed))


def segments(folder: Path) -> list[Segment]:
    """Segments of one stream, oldest first."""
    for _ in range(2):
        listed = list({segment.name: segment for segment in files(folder)}.values())
        if [segment.number for segment in listed] == list(range(1, len(listed) + 1)):
            break  # else one may have changed its form while the folder was read
    return listed


def is_whole(segment: Segment) -> bool:
    """Tell whether a segment is as its writer left it, and no line of it is torn."""
    if segment.compacted:
        return False
    with segment.path.open("rb") as file:
        file.seek(max(0, segment.size - 1))
        return file.read() == b"\n"
