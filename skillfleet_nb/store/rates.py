"""When the jobs of a home may ask a model next: a schedule that they share, a small file under a lock.

Whoever is about to ask takes the next slot of the schedule, and asks when it has come.  Slots are spaced evenly, for
providers count in shorter spans than the minute that they name.  What a process that dies had taken is lost with it,
one slot, and nobody waits for it.

It is the generic cell rate algorithm of networks.  A hundredth of the limit may be asked at once, which makes up for
threads that wake late; the slots are so much further apart, so that no minute holds more of them than the limit.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skillfleet_nb.store import locks
from skillfleet_nb.store.home import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skillfleet_nb.store.home import Home

_MINUTE_S = 60.0
_SLACK_S = 0.6
_SET_BACK_S = 5.0  # clocks of machines that share a home differ by less
_LOOK_S = 0.2  # how often a model without limits looks for the file: it would take a twentieth of every call
_WAIT_S = 5.0  # for the lock, which is held for microseconds; a process that was halted with it halts no other
_STATE = struct.Struct("<4d")


@dataclass
class _State:
    """What a file holds, in seconds since 1970."""

    at: float = 0.0  # when it was written
    requests: float = 0.0  # when the next request is due
    tokens: float = 0.0  # when the next token is
    held: float = 0.0  # until when the provider said to wait


class Schedule:
    """The slots of a limit of requests, of tokens, or of both; any process and thread may take them.

    Parameters
    ----------
    home
        Whose jobs share it.
    name
        What is limited.
    requests, tokens
        How many a minute; None is unlimited.
    clock
        Seconds since 1970.

    Examples
    --------
    >>> import tempfile
    >>> from skillfleet_nb.store import Home
    >>> schedule = Schedule(Home.find(tempfile.mkdtemp()), "openai/*", requests=60, clock=lambda: 0.0)
    >>> [round(schedule.take(), 2) for _ in range(3)]
    [0.0, 0.41, 1.42]
    """

    def __init__(
        self,
        home: Home,
        name: str,
        *,
        requests: int | None = None,
        tokens: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._file = home.root / "rates" / hashlib.sha256(name.encode()).hexdigest()[:32]
        self._a_request = (_MINUTE_S + _SLACK_S) / requests if requests else 0.0
        self._a_token = (_MINUTE_S + _SLACK_S) / tokens if tokens else 0.0
        self._clock = clock
        self._is_paced = bool(self._a_request or self._a_token)
        self._looked = -math.inf

    @property
    def is_open(self) -> bool:
        """Whether nothing is limited, and no provider has said to wait: to another process 0.2 s ago or earlier."""
        if not self._is_paced and (now := time.monotonic()) - self._looked >= _LOOK_S:
            self._looked, self._is_paced = now, self._file.exists()
        return not self._is_paced

    def take(self, tokens: float = 0.0) -> float:
        """Take the next slot, for a request of so many tokens; return in how many seconds it comes.

        Raises
        ------
        HomeError
            If the home cannot be written.
        """
        with self._state() as state:
            now = state.at
            at = max(now, state.held)
            if self._a_request:
                at = max(at, state.requests - _SLACK_S)
            if self._a_token:
                at = max(at, state.tokens - _SLACK_S)
            state.requests = max(state.requests, at) + self._a_request
            state.tokens = max(state.tokens, at) + tokens * self._a_token
        return at - now

    def correct(self, tokens: float) -> None:
        """Take in that a request had so many tokens more, or less, than were taken; raises as :meth:`take`."""
        if self._a_token and tokens:
            with self._state() as state:
                state.tokens += tokens * self._a_token

    def held_s(self) -> float:
        """Reckon for how many seconds the provider has said to wait from now; raises as :meth:`take`."""
        with self._state() as state:
            return max(0.0, state.held - state.at)

    def hold(self, seconds: float) -> None:
        """Let no slot come for so many seconds; raises as :meth:`take`."""
        with self._state() as state:
            state.held = max(state.held, state.at + seconds)
        self._is_paced = True

    @contextmanager
    def _state(self) -> Iterator[_State]:
        """Yield what the file holds, and write it back."""
        with writing(self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            fd = locks.acquire(self._file, wait_s=_WAIT_S)
        except locks.Busy:
            yield _State(self._clock())
            return
        try:
            now = self._clock()
            state = _read(fd)
            back = state.at - now
            if back > _SET_BACK_S:  # the clock was set back: what lies ahead stays as far ahead as it was
                state.requests, state.tokens, state.held = state.requests - back, state.tokens - back, state.held - back
            state.at = now
            yield state
            with writing(self._file):
                os.pwrite(fd, _STATE.pack(state.at, state.requests, state.tokens, state.held), 0)
        finally:
            os.close(fd)


def _read(fd: int) -> _State:
    with suppress(struct.error):  # a new one, or what is left of one after a power cut
        return _State(*_STATE.unpack(os.pread(fd, _STATE.size, 0)))
    return _State()
