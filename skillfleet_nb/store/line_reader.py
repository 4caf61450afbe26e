"""Reading the lines of a segment in turn, wherever in it they are by now.

The checksum of a line names the place it was written at.  Whoever doubles a line, takes one out or edits one by hand
moves all lines behind it; each of those tells by its checksum where it was written, and by its number whether it comes
next.  So what is done to one line costs no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.envelope import is_sealed, read_event, sealed_place
from skillfleet_nb.store.segments import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from skillfleet_nb.envelope import Event

_LONGEST, _FURTHEST = 1 << 16, 1 << 20  # bytes that one line, and all that are missing between two, may have taken
_PLACES = 0xFFFFFFFF  # a checksum begins with 32 bits


class LineReader:
    """Reads lines that follow one another.

    Parameters
    ----------
    seed
        The segment's, from :func:`~skillfleet_nb.store.segments.seed`.
    earlier
        Yields the lines before the first that is read, each with the offset behind it; asked only where that does
        not lie where it was written.
    offset
        Of the first line that is read.  A line may take more room in its file than it has bytes: it was encrypted.
    """

    def __init__(
        self, seed: int, earlier: Callable[[], Iterable[tuple[bytes, int]]] | None = None, offset: int = 0
    ) -> None:
        self._seed = seed
        self._earlier = earlier
        self._behind = offset  # the last line that was read
        self._moved = 0  # from where lines are to where they were written
        self._seq = self._end = 0  # of the last event; the offset behind it where it was written

    def event(self, line: bytes, end: int) -> Event | None:
        """Read the next line, which ends at an offset; None where it holds no event, or one that was read already."""
        start, self._behind = self._behind, end
        event = read_event(line, place(self._seed, start + self._moved)) or self._moved_event(line, start)
        if event is None or (self._moved and event.seq <= self._seq and is_sealed(line)):
            return None
        self._seq, self._end = event.seq, end + self._moved
        return event

    def _moved_event(self, line: bytes, start: int) -> Event | None:
        """Read a line that does not lie where the last one lets expect it."""
        if not is_sealed(line) or not line.endswith(b"\n"):
            return None
        if not self._seq and self._earlier is not None:
            earlier, self._earlier = self._earlier, None
            behind, self._behind = self._behind, 0
            for before in earlier():
                self.event(*before)
            self._behind = behind
        wanted, event = sealed_place(line), read_event(line)
        if wanted is None or event is None or not self._seq:  # without a sound line before it: of another segment
            return None
        written = (wanted ^ self._seed) & _PLACES
        missing, gap = event.seq - self._seq - 1, written - self._end
        if missing < 0 or (written != start and not 0 <= gap <= min(missing * _LONGEST, _FURTHEST)):
            return None
        self._moved = written - start
        return event
