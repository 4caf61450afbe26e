"""Reading segments, in whichever form they are by now."""

from __future__ import annotations

import os
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

    A compacted file that is damaged counts from there on as one line without an event.  So does a line whose number
    an earlier line has: it is a copy, which no checksum of its place tells in older journals.
    """
    now: Segment | None = segment
    for _ in range(_LOOKS):
        if now is None:
            return
        try:
            numbers = _Numbers(now, offset)
            if now.compacted:
                for event, end, whole in parquet.read(now, offset):
                    yield event if event and numbers.is_new(event) else None, end, whole
            else:
                yield from _read_plain(now.path, offset, numbers)
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
    """Tells whether the number of an event is new in its stream, where each line goes on from the one before."""

    def __init__(self, segment: Segment, offset: int) -> None:
        self._segment, self._offset = segment, offset
        self._highest: int | None = None

    def is_new(self, event: Event) -> bool:
        """Look at the next event of the segment."""
        if self._highest is None:
            earlier = [s for s in segments(self._segment.path.parent) if s.number < self._segment.number]
            try:
                self._highest = last_seq(earlier)
            except HomeError:  # damaged, which is told where it is read
                self._highest = 0
            if self._offset and not self._segment.compacted:
                self._highest = max(self._highest, _last_seq_plain(self._segment.path, self._offset))
        is_new = event.seq > self._highest
        self._highest = max(self._highest, event.seq)
        return is_new


def _read_plain(path: Path, offset: int, numbers: _Numbers) -> Iterator[Line]:
    here = seed(path)
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            whole = line.endswith(b"\n")
            event = read_event(line, place(here, offset)) if whole else None
            if event is not None and not is_sealed(line) and not numbers.is_new(event):
                event = None
            offset += len(line)
            yield event, offset, whole


def _last_seq_plain(path: Path, end: int | None = None) -> int:
    here = seed(path)
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END) if end is None else end
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
