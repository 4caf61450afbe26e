"""A job as it goes, for any number of clients: one look at its journal for all of them, ten times a second.

Milestones (trials, states, questions, warnings, the result) reach every client, in order.  What stands between them is
only the newest state: a client that takes long to read gets the newest one when it is ready, and is told how many
it missed.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.messages import SHELL, read_in
from skillfleet_nb.runs.jobs.progress import Progress
from skillfleet_nb.server.home_look import HOME_TICK_S, HomeLook
from skillfleet_nb.server.sse import Encoded, message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from skillfleet_nb.envelope import Event
    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.store import Home

TICK_S = 0.1
_CLOCK_TICKS = 10  # looks after which a state is sent although nothing was written: its seconds have gone on
_MOST_AT_ONCE = 500  # milestones of one message
_THREADS = 2
_MILESTONES = frozenset({
    "job_created", "resumed", "state", "paused", "phase", "warning", "trial", "decision", "member", "result",
    "skill_created", "review_asked", "review_answered",
})  # fmt: skip
_STATE = (
    "state", "optimizer", "trials", "baseline", "best", "calls", "cached", "cost_usd", "elapsed_s", "eta_s",
    "share_done", "phase", "paused", "question", "stop_reason", "error",
)  # fmt: skip


class _Watched(Progress):
    """The progress of a job that keeps its milestones as they are sent."""

    def __init__(self, home: Home, job_id: str, encoded: Encoded) -> None:
        super().__init__(home, job_id)
        self._encoded = encoded
        self.numbers: list[int] = []
        self.milestones: list[bytes] = []
        self.heard = 0

    def apply(self, event: Event) -> None:
        super().apply(event)
        self.heard += 1
        if event.kind in _MILESTONES:
            fields = {name: value for name, value in event.fields.items() if name != "scores"}
            milestone = {"seq": event.seq, "at": event.at, "kind": event.kind, "payload": fields}
            self.numbers.append(event.seq)
            self.milestones.append(message("milestone", self._encoded(milestone), event.seq))


class Place(NamedTuple):
    """How far a client has read: milestones, and the number of the state it got last (0 before the first)."""

    milestones: int = 0
    state: int = 0


class Feed:
    """What is told to any number of clients; made for the first one, and looked at while there are any.

    Parameters
    ----------
    look
        Tells what there is to send: the newest state, None where nothing is new; and what ends the stream, None
        where it goes on.
    threads
        Where it looks.
    tick_s
        How often.
    numbers, milestones
        What every client gets, in order; it grows as it is looked.
    tell
        Called before clients are sent something new.
    """

    def __init__(
        self,
        look: Callable[[], tuple[bytes | None, bytes | None]],
        threads: ThreadPoolExecutor,
        tick_s: float = TICK_S,
        numbers: Sequence[int] = (),
        milestones: list[bytes] | None = None,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self._read, self._threads, self._tick_s, self._tell = look, threads, tick_s, tell
        self._numbers, self._milestones = numbers, [] if milestones is None else milestones
        self._clients: set[asyncio.Event] = set()
        self._pump: asyncio.Task[None] | None = None
        self._state, self._number = b"", 0
        self.last = b""
        self.ended = False
        self.failed: Exception | None = None

    async def join(self) -> asyncio.Event:
        """Take a client in; the event is set whenever there is news."""
        news = asyncio.Event()
        self._clients.add(news)
        if self._pump is None:
            self._pump = asyncio.create_task(self._watch())
        if self._number:
            news.set()
        return news

    def leave(self, news: asyncio.Event) -> bool:
        """Let a client go; tell whether it was the last."""
        self._clients.discard(news)
        return not self._clients

    def after(self, seq: int) -> Place:
        """Return the place of a client that has milestones up to a number."""
        return Place(bisect_right(self._numbers, seq))

    def news(self, place: Place) -> tuple[bytes, Place]:
        """Return what a client has not got yet, and where it is then."""
        end = min(len(self._milestones), place.milestones + _MOST_AT_ONCE)
        parts = self._milestones[place.milestones : end]
        if self._number > place.state:
            missed = self._number - place.state - 1 if place.state else 0
            parts += [message("dropped", b'{"states":%d}' % missed)] if missed else []
            parts.append(self._state)
        return b"".join(parts), Place(end, self._number)

    def is_told(self, place: Place) -> bool:
        """Whether the job has ended, and a client has got all of it."""
        return self.ended and place == Place(len(self._milestones), self._number)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while self._clients and not self.ended:
            try:
                has_news = await loop.run_in_executor(self._threads, self._look)
            except Exception as exc:  # noqa: BLE001  told to whoever listens
                self.failed, self.ended, has_news = exc, True, True
            if has_news:
                self._tell()
                for news in self._clients:
                    news.set()
            if not self.ended:
                await asyncio.sleep(self._tick_s)
        self._pump = None

    def _look(self) -> bool:
        """Take in what was written; tell whether there is something to be sent."""
        with read_in(SHELL):
            state, end = self._read()
        if state is not None:
            # the state first: whoever reads between the two gets it twice, and never an old one for the new
            self._state, self._number = state, self._number + 1
        if end is not None:
            self.last, self.ended = end, True
        return state is not None or self.ended


class _JobLook:
    """Looks at one job."""

    def __init__(self, home: Home, job_id: str, encoded: Encoded) -> None:
        self.watched, self._encoded = _Watched(home, job_id, encoded), encoded
        self._heard, self._ticks = -1, 0

    def __call__(self) -> tuple[bytes | None, bytes | None]:
        p = self.watched.update()
        self._ticks += 1
        finished = p.state.is_finished()
        if self._heard == p.heard and self._ticks % _CLOCK_TICKS and not finished:
            return None, None
        self._heard = p.heard
        state = {name: getattr(p, name) for name in _STATE}
        asked = None if p.question is None else p.question.question
        state |= {"name": p.name, "question": asked, "finished": finished, "line": p.line()}
        end = (
            message("end", self._encoded({"state": str(p.state)})) if finished else None
        )  # a client need not come again
        return message("state", self._encoded(state)), end


class Feeds:
    """The feeds of all jobs that somebody follows.

    Parameters
    ----------
    encoded
        Writes what is sent.
    tell
        Called before clients are sent something new.
    """

    def __init__(self, encoded: Encoded, tell: Callable[[], None]) -> None:
        self._encoded, self._tell = encoded, tell
        self._feeds: dict[str | None, Feed] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="skillfleet-feed")

    def of_job(self, home: Home, job_id: str) -> Feed:
        """Return the feed of a job; one that has ended is made anew, for the job may go on."""
        feed = self._feeds.get(job_id)
        if feed is None or feed.ended:
            look = _JobLook(home, job_id, self._encoded)
            seen = look.watched
            feed = self._feeds[job_id] = Feed(look, self._threads, TICK_S, seen.numbers, seen.milestones, self._tell)
        return feed

    def of_home(self, fleet: Fleet, since: datetime) -> Feed:
        """Return the feed of all jobs."""
        feed = self._feeds.get(None)
        if feed is None or feed.ended:
            look = HomeLook(fleet, since, self._encoded)
            feed = self._feeds[None] = Feed(look, self._threads, HOME_TICK_S, tell=self._tell)
        return feed

    def leave(self, feed: Feed, news: asyncio.Event) -> None:
        """Let a client go, and the feed with the last one."""
        if feed.leave(news):
            self._feeds = {name: other for name, other in self._feeds.items() if other is not feed}
