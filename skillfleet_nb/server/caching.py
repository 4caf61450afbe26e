"""How far what an answer rests on has been written: equal positions, equal answers.

A position is read off the sizes of journal segments, so it is told without a query; it becomes an answer's strong ETag.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict, deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from skillfleet_nb.events import CURATION
from skillfleet_nb.store import tickets
from skillfleet_nb.store.fold import scan
from skillfleet_nb.store.home import is_stream
from skillfleet_nb.store.segments import segments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence

    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.server.route import Route
    from skillfleet_nb.store.segments import Segment

_T = TypeVar("_T")

_MOST_KEPT, _LARGEST = 256, 1 << 20
ANEW_S, FRESH_S = 0.5, 3.0
"""Of what is asked for many times a second: the age at which it is made anew, at the earliest, and its greatest."""
_SHARE = 0.1  # of the time that may go into making one again and again, for whoever asks waits for the processor too
RUSH = 10
"""How many times a second that is, at least."""


class Position(NamedTuple):
    """How far it is written: its ETag, and when that was (seconds since 1970), None where nothing is."""

    etag: str
    at: float | None


def position(fleet: Fleet, route: Route, job: str | None) -> Position | None:
    """Tell how far what a route answers has been written; None where its answer changes without that.

    Raises
    ------
    HomeError
        If the home is encrypted and has been locked, by whatever process.
    """
    home = fleet.home
    if route.kept is None:
        return None
    _ = home.derived  # sizes of files are told of a locked home, too
    if route.kept == "job" and job is not None and is_stream(job) and home.journal_dir(job).is_dir():
        alive = tickets.is_owned(home, job)
        if alive and route.ticks:
            return None
        return _position(alive, {stream: segments(home.journal_dir(stream)) for stream in (job, CURATION)})
    streams: dict[str, list[Segment]] = {}
    for stream, segment in scan(home):
        streams.setdefault(stream, []).append(segment)
    writers = sorted(streams.keys() - tickets.unowned(home, streams))
    if writers and route.ticks:
        return None
    return _position(writers, streams)


def _position(alive: object, streams: Mapping[str, Sequence[Segment]]) -> Position:
    sizes = sorted((stream, one.name, one.size) for stream, parts in streams.items() for one in parts)
    tag = blake2b(repr((alive, sizes)).encode(), digest_size=12).hexdigest()
    last = [parts[-1].path for parts in streams.values() if parts]
    return Position(f'"{tag}"', max((path.stat().st_mtime for path in last if path.exists()), default=None))


class Shared:
    """Answers made once for all who ask for the same thing while it waits its turn.

    Who asks while one is being made gets the next one, which begins after they asked: nobody gets what is older than
    their question, and any number of them wait for two answers at most.
    """

    def __init__(self) -> None:
        self._next: dict[Hashable, asyncio.Task[Any]] = {}
        self._turns: defaultdict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def once(self, what: Hashable, make: Callable[[], Awaitable[_T]]) -> _T:
        """Return what `make` makes, called by whoever asked for it first."""

        async def run() -> _T:
            async with self._turns[what]:
                del self._next[what]
                try:
                    return await make()
                finally:
                    if what not in self._next:  # nobody waits for the turn
                        self._turns.pop(what, None)

        if what not in self._next:
            self._next[what] = asyncio.create_task(run())
        answer: _T = await asyncio.shield(self._next[what])
        return answer


class Made(NamedTuple):
    """An answer as it was sent; its position is None where something was written while it was made."""

    body: bytes
    position: Position | None
    cache_control: str


class Rush:
    """Answers to what is asked many times a second: up to `FRESH_S` old, and made anew beside those who ask.

    Who asks less often always gets what is true as they ask.  What was made before a change that somebody learned of
    here is given to nobody: see :meth:`forget`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: dict[str, deque[float]] = {}
        self._made: dict[str, tuple[float, float, Made]] = {}  # when its making began, and when the next is due
        self._changed = 0.0

    def get(self, address: str) -> tuple[Made | None, bool]:
        """Return the answer that will do, and whether it is time to make the next."""
        now = self._clock()
        if len(self._asked) > _MOST_KEPT and address not in self._asked:
            self._asked.clear()
            self._made.clear()
        asked = self._asked.setdefault(address, deque(maxlen=RUSH))
        asked.append(now)
        began, due, made = self._made.get(address, (0.0, 0.0, None))
        is_rush = len(asked) == RUSH and now - asked[0] < 1.0
        if made is None or not is_rush or began <= self._changed or now - began > FRESH_S:
            return None, False
        return made, now > due

    def put(self, address: str, began: float, made: Made) -> None:
        """Keep an answer whose making began at a moment of the clock."""
        if len(made.body) <= _LARGEST and address in self._asked:
            now = self._clock()
            self._made[address] = (
                began,
                min(began + FRESH_S - ANEW_S, max(began + ANEW_S, now + (now - began) / _SHARE)),
                made,
            )

    def now(self) -> float:
        """Return what the clock says."""
        return self._clock()

    def forget(self) -> None:
        """Take note that somebody has learned here of something new."""
        self._changed = self._clock()


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

    def forget(self) -> None:
        """Let go of all answers."""
        self._kept.clear()
