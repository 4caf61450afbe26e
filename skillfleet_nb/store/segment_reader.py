"""Reading segments, in whichever form they are by now."""

from __future__ import annotations

import os
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

from skillfleet_nb.envelope import is_sealed, read_event
from skillfleet_nb.errors import HomeError
from skillfleet_nb.store import parquet
from skillfleet_nb.store.line_reader import LineReader
from skillfleet_nb.store.segments import Line, place, seed, segments

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
    end = 0
    with segment.path.open("rb") as file:
        for line in file:
            end += len(line)
            yield line, end


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
    reader = LineReader(seed(segment.path), lambda: takewhile(lambda line: line[1] <= offset, raw_lines(segment)))
    end = offset
    with segment.path.open("rb") as file:
        file.seek(offset)
        for line in file:
            end += len(line)
            whole = line.endswith(b"\n")
            yield reader.event(line, end) if whole else None, end, whole, is_sealed(line)


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
    event = read_event(lines[-1] + b"\n", place(here, end - len(torn) - len(lines[-1]) - 1)) if lines else None
    if event is not None:
        return event.seq
    return max((event.seq for event, *_ in _read_plain(segment, 0) if event is not None), default=0)
