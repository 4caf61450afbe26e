"""The handlers of streams: a feed as Server-Sent Events."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.iostream import StreamClosedError

from skillfleet_nb.server.handlers import Base
from skillfleet_nb.server.problems import RefusedError

if TYPE_CHECKING:
    from skillfleet_nb.server.feed import Feed, Place

_HEARTBEAT_S = 15.0


class Stream(Base):
    """Follows a job until it ends; ``Last-Event-ID`` goes on behind a milestone."""

    async def _feed(self, **path: str) -> Feed:
        """Find what is followed."""
        job = await self.service.off_loop(lambda: self.service.fleet.job(path["job"]))
        return self.service.feeds.of_job(job.home, job.id)

    @allow_unauthenticated  # answered as a problem, not with a page to log in at
    async def get(self, **path: str) -> None:
        """Send what happens."""
        try:
            await self.admit("read", "skillfleet:jobs")
            seen = self._seen()
            feed = await self._feed(**path)
        except Exception as exc:  # noqa: BLE001  told as any other
            self.refuse(exc, is_named_in_path=bool(path))
            return
        self._news = await feed.join()
        try:
            await self._follow(feed, seen)
        except (StreamClosedError, asyncio.CancelledError):
            pass  # the client has gone
        finally:
            self.service.feeds.leave(feed, self._news)

    def on_connection_close(self) -> None:
        """Wake what waits for news: there is nobody to tell."""
        super().on_connection_close()
        self._is_gone = True
        if (news := getattr(self, "_news", None)) is not None:
            news.set()

    _is_gone = False

    def _seen(self) -> int:
        """Return the number of the last milestone that the client has, 0 where it has none."""
        header, query = self.request.headers.get("Last-Event-ID", ""), self.get_query_argument("after", "")
        for name, text in (("Last-Event-ID", header), ("after", query)):
            if text and not (text.isascii() and text.isdigit() and len(text) < 16):  # noqa: PLR2004  2**53
                detail = f"{name} is {text[:40]!r}: give the number of the last milestone, or none"
                raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        return int(header or query or 0)

    async def _follow(self, feed: Feed, seen: int) -> None:
        await self._news.wait()
        place = feed.after(seen)
        if feed.failed is not None:
            self.refuse(feed.failed)
            return
        if feed.ended and seen and not feed.news(place)[1].milestones > place.milestones:
            self.set_status(HTTPStatus.NO_CONTENT)  # by which a browser ceases to come again
            super(Base, self).finish()
            return
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")  # of a proxy
        self.write(b"retry: 1000\n\n")
        await self._send(feed, place)

    async def _send(self, feed: Feed, place: Place) -> None:
        while not self._is_gone:
            self._news.clear()
            messages, place = feed.news(place)
            if messages:
                self.write(messages)
            await self.flush()  # returns when the client has taken it
            if feed.is_told(place):
                self.write(feed.last)
                break
            if feed.news(place)[0]:
                continue
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), _HEARTBEAT_S)
                continue
            self.write(b": still here\n\n")


class HomeStream(Stream):
    """Follows all jobs, until the client goes."""

    async def _feed(self, **path: str) -> Feed:
        del path
        fleet = await self.service.off_loop(lambda: self.service.fleet)
        return self.service.feeds.of_home(fleet, self.service.since)
