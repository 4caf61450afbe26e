"""Reading segments, in whichever form they are by now."""

from __future__ import annotations

import os
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

from skillfleet_nb.envelope import is_sealed, read_event
from skillfleet_nb.errors import HomeError
from skillfleet_nb.store import cipher, parquet
from skillfleet_nb.store.line_reader import LineReader
from skillfleet_nb.store.segments import Line, label, place, seed, segments
from skillfleet_nb.store.unlocking import cipher_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from skillfleet_nb.envelope import Event
    from skillfleet_nb.store.segments import Segment

_LOOKS = 5  # each time a file is gone it has changed its form, which it does twice in its life


def read(segment: Segment, offset: int = 0) -> Iterator[Line]:
    """Yield the lines of a segment behind `offset`, in whatever form it is by now; none where it is gone.

    A compacted file that is damaged counts from there on as one line without an event.  So does a line without a
    checksum, of an older journal, whose number an earlier line has: it is a copy.
    """
    now: Segment | None = segment
    for _ in range(_LOOKS):
        if now is None:
            return
        try:
            numbers = _Numbers(now, offset)
            for event, end, whole, sealed in _lines(now, offset):
                yield event if event and numbers.admit(event, sealed=sealed) else None, end, whole
        except FileNotFoundError:
            now = next((s for s in segments(segment.path.parent) if s.name == segment.name), None)
        else:
            return


def raw_lines(segment: Segment) -> Iterator[tuple[bytes, int]]:
    """Yield the lines of a segment as bytes, each with the offset behind it.

    Raises
    ------
    HomeError
        If a compacted file is damaged.
    """
    if segment.compacted:
        yield from parquet.raw_lines(segment.path)
        return
    for line, end, _ in _plain_lines(segment, 0):
        yield line, end


def last_lines(segment: Segment, most: int) -> list[bytes]:
    """Return the whole lines of a segment that lie within so many bytes of its end.

    Raises
    ------
    HomeError
        If a compacted file is damaged.
    """
    start = max(0, segment.size - most)
    if segment.compacted:
        lines, before = [], 0
        for line, end in raw_lines(segment):
            if before >= start and line.endswith(b"\n"):
                lines.append(line)
            before = end
        return lines
    with segment.path.open("rb") as file:
        file.seek(start)
        pieces = file.read().split(b"\n")
    lines = [piece + b"\n" for piece in pieces[1 if start else 0 : -1]]
    if any(map(cipher.is_line, lines)):
        return list(map(cipher_for(segment.path).lines(label(segment.path)).decrypted, lines))
    return lines


def last_seq(stream: Sequence[Segment]) -> int:
    """Return the highest number in a stream, 0 where it has no sound line.

    Raises
    ------
    HomeError
        If a compacted file that would tell is damaged.
    """
    # of all, for the last may be a copy of an earlier one
    return max((parquet.last_seq(s.path) if s.compacted else _last_seq_plain(s) for s in stream), default=0)


class _Numbers:
    """Tells lines from copies by the numbers of their events, where no checksum tells their place.

    A line goes on from the earlier segments, and one without a checksum also from those without before it.
    """

    def __init__(self, segment: Segment, offset: int) -> None:
        self._segment, self._offset = segment, offset

    def admit(self, event: Event, *, sealed: bool) -> bool:
        """Look at the next event of the segment."""
        if sealed:  # its checksum was looked at, save in a compacted file, which may be copied as a whole
            return not self._segment.compacted or event.seq > self._earlier
        is_new = event.seq > max(self._earlier, self._bare)
        self._bare = max(self._bare, event.seq)
        return is_new

    @cached_property
    def _earlier(self) -> int:
        """The highest number of the earlier segments."""
        try:
            return last_seq([s for s in segments(self._segment.path.parent) if s.number < self._segment.number])
        except HomeError:  # damaged, which is told where it is read
            return 0

    @cached_property
    def _bare(self) -> int:
        """The highest number of the lines without a checksum so far."""
        highest = 0
        if self._offset:
            for event, end, _, sealed in _lines(self._segment, 0):
                if end > self._offset:
                    break
                if event is not None and not sealed:
                    highest = max(highest, event.seq)
        return highest


def _lines(segment: Segment, offset: int) -> Iterator[tuple[Event | None, int, bool, bool]]:
    """Yield each line behind `offset`, and whether it carries a checksum."""
    return parquet.read(segment, offset) if segment.compacted else _read_plain(segment, offset)


def _read_plain(segment: Segment, offset: int) -> Iterator[tuple[Event | None, int, bool, bool]]:
    def earlier() -> Iterator[tuple[bytes, int]]:
        return takewhile(lambda line: line[1] <= offset, raw_lines(segment))

    reader = LineReader(seed(segment.path), earlier, offset)
    for line, end, whole in _plain_lines(segment, offset):
        yield reader.event(line, end) if whole else None, end, whole, is_sealed(line)


def _plain_lines(segment: Segment, offset: int) -> Iterator[tuple[bytes, int, bool]]:
    """Yield the lines of a file as its writer left it, decrypted, each with the offset behind it there."""
    end, decrypted = offset, None
    with segment.path.open("rb") as file:
        file.seek(offset)
        for line in file:
            end += len(line)
            if line.startswith(cipher.LINES):
                decrypted = decrypted or cipher_for(segment.path).lines(label(segment.path)).decrypted
                line = decrypted(line)  # noqa: PLW2901  which is the same one
            yield line, end, line.endswith(b"\n")


def _last_seq_plain(segment: Segment) -> int:
    here = seed(segment.path)
    with segment.path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        block = 1 << 16
        while True:
            start = max(0, end - block)
            file.seek(start)
            *lines, torn = file.read(end - start).split(b"\n")
            if len(lines) > 1 or start == 0:  # the first piece may be the end of a longer line
                break
            block *= 4
    last = lines[-1] + b"\n" if lines else b""
    where = place(here, end - len(torn) - len(last))
    if cipher.is_line(last):
        last = cipher_for(segment.path).lines(label(segment.path)).decrypted(last)
    event = read_event(last, where) if lines else None
    if event is not None:
        return event.seq
    return max((event.seq for event, *_ in _read_plain(segment, 0) if event is not None), default=0)
