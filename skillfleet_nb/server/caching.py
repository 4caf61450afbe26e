"""How far what an answer rests on has been written: equal positions, equal answers.

A position is read off the sizes of journal segments, so it is told without a query; it becomes an answer's strong ETag.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.events import CURATION
from skillfleet_nb.store import is_alive
from skillfleet_nb.store.home import is_stream
from skillfleet_nb.store.segments import segments

if TYPE_CHECKING:
    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.server.route import Route

_MOST_KEPT, _LARGEST = 256, 1 << 20


class Position(NamedTuple):
    """How far it is written: its ETag, and when that was (seconds since 1970), None where nothing is."""

    etag: str
    at: float | None


def position(fleet: Fleet, route: Route, job: str | None) -> Position | None:
    """Tell how far what a route answers has been written; None where its answer changes without that."""
    home = fleet.home
    if route.kept is None:
        return None
    if route.kept == "job" and job is not None and is_stream(job) and home.journal_dir(job).is_dir():
        alive = is_alive(home, job)
        if alive and route.ticks:
            return None
        parts = [(job, s.name, s.size) for s in segments(home.journal_dir(job))]
        parts += [(CURATION, s.name, s.size) for s in segments(home.journal_dir(CURATION))]
        return Position(_hash(alive, parts), _written(fleet, {job, CURATION}))
    written = sorted(fleet.store.written(but="\0"))
    streams = {stream for stream, _, _ in written}
    writers = sorted(stream for stream in streams if is_alive(home, stream))
    if writers and route.ticks:
        return None
    return Position(_hash(writers, written), _written(fleet, streams))


def _hash(*parts: object) -> str:
    return f'"{blake2b(repr(parts).encode(), digest_size=12).hexdigest()}"'


def _written(fleet: Fleet, streams: set[str]) -> float | None:
    """Tell when a stream was written last."""
    times = [
        segment.path.stat().st_mtime
        for stream in streams
        for segment in segments(fleet.home.journal_dir(stream))[-1:]
        if segment.path.exists()
    ]
    return max(times, default=None)


class Bodies:
    """The answers made last, by address, each good for one position."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, bytes]] = OrderedDict()

    def get(self, address: str, etag: str) -> bytes | None:
        """Return the answer of an address at a position, if it was made."""
        kept = self._kept.get(address)
        if kept is None or kept[0] != etag:
            return None
        self._kept.move_to_end(address)
        return kept[1]

    def put(self, address: str, etag: str, body: bytes) -> None:
        """Keep an answer."""
        if len(body) <= _LARGEST:
            self._kept[address] = etag, body
            self._kept.move_to_end(address)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
