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
from skillfleet_nb.server.answers import encoded

if TYPE_CHECKING:
    from skillfleet_nb.envelope import Event
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

    def __init__(self, home: Home, job_id: str) -> None:
        super().__init__(home, job_id)
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
            self.milestones.append(_message("milestone", encoded(milestone), event.seq))


class Place(NamedTuple):
    """How far a client has read: milestones, and the number of the state it got last (0 before the first)."""

    milestones: int = 0
    state: int = 0


class Feed:
    """What is told of one job; made for its first client, and looked at while there are any.

    Parameters
    ----------
    home, job_id
        The job.
    """

    def __init__(self, home: Home, job_id: str, threads: ThreadPoolExecutor) -> None:
        self._watched = _Watched(home, job_id)
        self._threads = threads
        self._clients: set[asyncio.Event] = set()
        self._pump: asyncio.Task[None] | None = None
        self._state, self._number, self._heard, self._ticks = b"", 0, -1, 0
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
        return Place(bisect_right(self._watched.numbers, seq))

    def news(self, place: Place) -> tuple[bytes, Place]:
        """Return what a client has not got yet, and where it is then."""
        end = min(len(self._watched.milestones), place.milestones + _MOST_AT_ONCE)
        parts = self._watched.milestones[place.milestones : end]
        if self._number > place.state:
            missed = self._number - place.state - 1 if place.state else 0
            parts += [_message("dropped", encoded({"states": missed}))] if missed else []
            parts.append(self._state)
        return b"".join(parts), Place(end, self._number)

    def is_told(self, place: Place) -> bool:
        """Whether the job has ended, and a client has got all of it."""
        return self.ended and place == Place(len(self._watched.milestones), self._number)

    @property
    def last(self) -> bytes:
        """What ends a stream: a client need not come again."""
        return _message("end", encoded({"state": str(self._watched.state)}))

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while self._clients and not self.ended:
            try:
                has_news = await loop.run_in_executor(self._threads, self._look)
            except Exception as exc:  # noqa: BLE001  told to whoever listens
                self.failed, self.ended, has_news = exc, True, True
            if has_news:
                for news in self._clients:
                    news.set()
            if not self.ended:
                await asyncio.sleep(TICK_S)
        self._pump = None

    def _look(self) -> bool:
        """Take in what was written; tell whether there is something to be sent."""
        with read_in(SHELL):
            p = self._watched.update()
            self._ticks += 1
            finished = p.state.is_finished()
            if self._heard == p.heard and self._ticks % _CLOCK_TICKS and not finished:
                return False
            state = {name: getattr(p, name) for name in _STATE}
            asked = None if p.question is None else p.question.question
            state |= {"name": p.name, "question": asked, "finished": finished, "line": p.line()}
        # the state first: whoever reads between the two gets it twice, and never an old one for the new
        self._state = _message("state", encoded(state))
        self._heard, self._number = p.heard, self._number + 1
        self.ended = finished
        return True


class Feeds:
    """The feeds of all jobs that somebody follows."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="skillfleet-feed")

    def of(self, home: Home, job_id: str) -> Feed:
        """Return the feed of a job; one that has ended is made anew, for the job may go on."""
        feed = self._feeds.get(job_id)
        if feed is None or feed.ended:
            feed = self._feeds[job_id] = Feed(home, job_id, self._threads)
        return feed

    def leave(self, job_id: str, feed: Feed, news: asyncio.Event) -> None:
        """Let a client go, and the feed with the last one."""
        if feed.leave(news) and self._feeds.get(job_id) is feed:
            del self._feeds[job_id]


def _message(kind: str, data: bytes, number: int | None = None) -> bytes:
    """Write a message of an event stream; JSON has no line breaks."""
    head = f"event: {kind}\n" if number is None else f"id: {number}\nevent: {kind}\n"
    return head.encode() + b"data: " + data + b"\n\n"
