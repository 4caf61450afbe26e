"""Reading segments, in whichever form they are by now."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from skillfleet_nb.envelope import is_sealed, read_event
from skillfleet_nb.errors import HomeError
from skillfleet_nb.store import parquet
from skillfleet_nb.store.segments import Line, place, seed, segments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

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
    end = 0
    with segment.path.open("rb") as file:
        for line in file:
            end += len(line)
            yield line, end


def last_seq(stream: Sequence[Segment]) -> int:
    """Return the highest number in a stream: that of a last sound line, 0 where there is none.

    Raises
    ------
    HomeError
        If a compacted file that would tell is damaged.
    """
    # of all, for the last may be a copy of an earlier one
    return max((parquet.last_seq(s.path) if s.compacted else _last_seq_plain(s.path) for s in stream), default=0)


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
    return parquet.read(segment, offset) if segment.compacted else _read_plain(segment.path, offset)


def _read_plain(path: Path, offset: int) -> Iterator[tuple[Event | None, int, bool, bool]]:
    here = seed(path)
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            whole = line.endswith(b"\n")
            event = read_event(line, place(here, offset)) if whole else None
            offset += len(line)
            yield event, offset, whole, is_sealed(line)


def _last_seq_plain(path: Path) -> int:
    here = seed(path)
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        block = 1 << 16
        while True:
            start = max(0, end - block)
            file.seek(start)
            lines = file.read(end - start).split(b"\n")
            behind = end - len(lines[-1])
            # the first piece may be the end of a longer line, the last is empty or torn
            for line in reversed(lines[0 if start == 0 else 1 : -1]):
                behind -= len(line) + 1
                event = read_event(line + b"\n", place(here, behind))
                if event is not None:
                    return event.seq
            if start == 0:
                return 0
            block *= 4
