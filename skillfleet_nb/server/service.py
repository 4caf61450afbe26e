"""What all requests share: the fleet, the threads that wait for it, limits, and the audit of who asked for what."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from http import HTTPStatus
from math import ceil
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from skillfleet_nb.errors import InputError, JobError, SkillfleetError
from skillfleet_nb.messages import SHELL, read_in
from skillfleet_nb.server.answers import encoded, is_final
from skillfleet_nb.server.caching import Bodies, Rush, Shared
from skillfleet_nb.server.feed import Feeds
from skillfleet_nb.server.places import Places
from skillfleet_nb.server.problems import RefusedError, problem
from skillfleet_nb.server.route import Call
from skillfleet_nb.store.people import working_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from pydantic import BaseModel

    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.server.materials import Materials
    from skillfleet_nb.server.route import Route

_T = TypeVar("_T")
_THREADS = 8
_MINUTE_S = 60.0


class Service:
    """Answers requests off the event loop.

    Parameters
    ----------
    root
        The server's folder: paths in requests lie below it, and the home is looked for from there.
    since
        When the server started.
    """

    def __init__(self, root: Path, since: datetime) -> None:
        self.root, self.since = root, since
        self.bodies, self.shared, self.rush = Bodies(), Shared(), Rush()
        self.feeds = Feeds(self.encoded, self.rush.forget)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="skillfleet-server")
        self._asked: defaultdict[str, deque[float]] = defaultdict(deque)
        self._spending = Lock()
        self._places = Places(root)
        self._behind: dict[str, asyncio.Task[None]] = {}

    @cached_property
    def fleet(self) -> Fleet:
        """The fleet of the home that belongs to the server's folder; found at the first request."""
        from skillfleet_nb.fleet import Fleet

        fleet = Fleet(start=self.root)
        self._places = Places(self.root, fleet.home.root)
        return fleet

    @cached_property
    def materials(self) -> Materials:
        """Finds what requests name."""
        from skillfleet_nb.server.materials import Materials

        return Materials(self.fleet, self.root)

    async def off_loop(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do what waits, for a file or a model, on a thread."""

        def run() -> _T:
            with read_in(SHELL):
                return work(*arguments)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def behind(self, address: str, make: Callable[[], Awaitable[object]]) -> None:
        """Make an answer anew while those who ask get the last one; once at a time."""
        if address in self._behind:
            return

        async def run() -> None:
            with suppress(Exception):  # who asks when the last one is too old is told
                await make()
            del self._behind[address]

        self._behind[address] = asyncio.create_task(run())

    def is_final(self, job: str) -> bool:
        """Tell whether nothing will be added to what a job did."""
        return is_final(self.fleet.job(job))

    def encoded(self, answer: object, job: str | None = None) -> bytes:
        """Write an answer, about a job if so, as it is sent: without the places of the server's files."""
        return self._places.json(encoded(answer), lambda: () if job is None else self._happened(job))

    def _happened(self, job: str) -> list[str]:
        p = self.fleet.job(job).progress
        return [*filter(None, (p.error, p.stop_reason, p.doing)), *p.warnings, *p.failures]

    def sent(self, route: Route, path: Mapping[str, str], asked: BaseModel, user: str) -> bytes:
        """Answer a request; see :meth:`answer` and :meth:`encoded`."""
        answer = self.answer(route, path, asked, user)
        return self.encoded(answer, path.get("job") or getattr(asked, "job", None))

    def answer(self, route: Route, path: Mapping[str, str], asked: BaseModel, user: str) -> object:
        """Answer a request; one that changes or costs something is recorded, whatever becomes of it."""
        work = partial(route.answer, Call(self.fleet, asked, path, user, self.materials, self.root))
        with working_for(user):
            if route.permission == "read":
                return work()
            try:
                return self._recorded(work, route, path, asked, user)
            finally:
                self.rush.forget()

    def _recorded(
        self, work: Callable[[], object], route: Route, path: Mapping[str, str], asked: BaseModel, user: str
    ) -> object:
        self._limit(user)
        record = partial(self._record, route, path, asked, user)
        try:
            if self.fleet.settings.serving.user_budget_usd is not None and route.asks != "never":
                with self._spending:  # two at the same time could both find room
                    self._check_budget(route, asked, user)
                    answer = work()
                    record(answer=answer)
                    return answer
            answer = work()
        except Exception as exc:
            with suppress(SkillfleetError):  # what is told is why it failed
                record(failed=exc)
            raise
        record(answer=answer)
        return answer

    def refused(self, route: Route, path: Mapping[str, str], user: str, why: Exception) -> None:
        """Write down that somebody asked for what they may not."""
        if route.permission != "read":
            self._record(route, path, None, user, failed=why)

    def _limit(self, user: str) -> None:
        most, now = self.fleet.settings.serving.requests_per_minute, time.monotonic()
        asked = self._asked[user]
        while asked and now - asked[0] > _MINUTE_S:
            asked.popleft()
        if len(asked) >= most:
            wait = ceil(_MINUTE_S - (now - asked[0]))
            raise RefusedError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{user} has asked for {most} changes within a minute, and no more are allowed: wait {wait} s, "
                "or raise requests_per_minute under [serving] in config.toml",
                **{"Retry-After": str(wait)},
            )
        asked.append(now)

    def _check_budget(self, route: Route, asked: BaseModel, user: str) -> None:
        """Refuse what may cost a user more than is allowed."""
        from skillfleet_nb.store import queries

        limit = self.fleet.settings.serving.user_budget_usd
        if limit is None:
            return
        if route.asks in {"probe", "judge"} and not getattr(asked, route.asks):
            return
        if route.asks != "job":
            hint = " with probe = 0" if route.asks == "probe" else ""
            raise InputError(f"each user may spend {limit:g} USD here, in jobs alone: ask this{hint} from a notebook")
        wanted = getattr(asked, "budget_usd", None)
        if wanted is None:
            raise InputError(f"each user may spend {limit:g} USD here: give a budget_usd")
        committed = queries.committed_usd(self.fleet.store, user)
        if committed + wanted > limit:
            raise JobError(
                f"{user} may spend {limit:g} USD here and has spent or reserved {committed:.4g}: give a budget_usd of "
                f"{max(0.0, limit - committed):.4g} at most"
            )

    def _record(
        self, route: Route, path: Mapping[str, str], asked: BaseModel | None, user: str,
        *, answer: object = None, failed: Exception | None = None,
    ) -> None:  # fmt: skip
        """Write down who asked for what."""
        from skillfleet_nb.events.audit import Audited

        fault = None if failed is None else problem(failed, is_named_in_path=bool(path))
        entry = Audited(
            user=user,
            action=f"{route.method} {route.path}",
            target=", ".join([*path.values(), *getattr(asked, "jobs", ())]),
            status=route.status if fault is None else fault.status,
            error=None if fault is None else fault.detail,
            job=getattr(answer, "id", None) if route.asks == "job" else None,
            budget_usd=getattr(asked, "budget_usd", None) if route.asks == "job" else None,
        )
        self.fleet.audit.append(entry)
