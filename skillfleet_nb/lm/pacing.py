"""Pacing: calls of a run take slots in the schedules that all jobs of the home share, and its gate waits for them.

A slot is taken after DSPy has looked into its cache, for each request that really leaves.  Of a session one call at a
time, whose turn it is, holds a slot that is still to come: so jobs take turns, a large one with a small one.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skillfleet_nb.config import pattern_of
from skillfleet_nb.events import Paced
from skillfleet_nb.lm.fallback import health_of
from skillfleet_nb.store import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from skillfleet_nb.config import Rate
    from skillfleet_nb.events import CallOutcome
    from skillfleet_nb.lm.calls import Call
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Model

_TOLD_S = 0.25  # a call that waits for less is not worth telling
_CALM_S = 5.0  # without waits, after which it is told that there are none


@dataclass
class Lane:
    """What is asked under one limit: its schedule, and whose turn it is."""

    schedule: Schedule
    limit: str
    turn: threading.Lock = field(default_factory=threading.Lock)


class Pacer:
    """Knows what the calls of a session have to wait for, and tells of waiting.

    Parameters
    ----------
    home
        Whose jobs keep to the limits together.
    rates
        The limits, by patterns of models' names; the first that fits holds.
    tell
        Takes what is recorded of waiting.
    """

    def __init__(self, home: Home, rates: Mapping[str, Rate], tell: Callable[[Paced], None]) -> None:
        self._home, self._rates, self._tell = home, rates, tell
        self._lanes: dict[str, Lane] = {}  # by model
        self._named: dict[str, Lane] = {}
        self._lock = threading.Lock()
        self._waiting, self._last, self._waited_s = "", 0.0, 0.0

    def lane(self, lm: Model) -> Lane | None:
        """Return what a request to a model has to wait for; None where nothing is limited."""
        lane = self._lane(lm)
        return None if lane.schedule.is_open else lane

    def take(self, lane: Lane, call: Call, began: float) -> float:
        """Take a slot for a request that has waited for its turn since `began`; return in how many seconds it comes.

        Raises
        ------
        HomeError
            If the home cannot be written.
        """
        tokens = call.reserved_tokens / max(1, call.reserved_calls)
        seconds = lane.schedule.take(tokens)
        call.schedule, call.taken_tokens = lane.schedule, call.taken_tokens + tokens
        now = time.monotonic()
        if now - began + seconds >= _TOLD_S:
            with self._lock:
                news, self._waiting, self._last = not self._waiting, lane.limit, now + seconds
                self._waited_s += seconds
            if news:
                self._tell(Paced(waiting=True, limit=lane.limit, waited_s=self._waited_s))
        return seconds

    def leave(self, lane: Lane, call: Call, began: float) -> None:
        """Take in that a request leaves, which has waited since `began`; tell where none has waited for a while."""
        now = time.monotonic()
        call.waited_s += now - began
        with self._lock:
            calm = bool(self._waiting) and now - self._last > _CALM_S
            if calm:
                self._waiting = ""
        if calm:
            self._tell(Paced(waiting=False, limit=lane.limit, waited_s=self._waited_s))

    def heed(self, lm: Model, failure: Exception) -> None:
        """Let all jobs of the home wait as long as a provider says that asks too many calls to."""
        from dspy.utils.exceptions import LMRateLimitError

        seconds = getattr(failure, "retry_after", None)
        if isinstance(failure, LMRateLimitError) and isinstance(seconds, int | float) and 0 < seconds < math.inf:
            self._lane(lm).schedule.hold(seconds)

    def settle(self, call: Call, outcome: CallOutcome) -> None:
        """Correct what was taken by what a call that has ended really used."""
        used = outcome.input_tokens + outcome.output_tokens
        if call.schedule is not None and used and not outcome.cached:
            call.schedule.correct(used - call.taken_tokens)

    def close(self) -> None:
        """Record how long was waited in all."""
        with self._lock:
            limit, self._waiting = self._waiting, ""
        if limit:
            self._tell(Paced(waiting=False, limit=limit, waited_s=self._waited_s))

    def _lane(self, lm: Model) -> Lane:
        model = health_of(lm)
        try:
            return self._lanes[model]
        except KeyError:
            pattern = pattern_of(str(lm.model), self._rates)
        with self._lock:
            name = pattern or model
            if name not in self._named:
                rate = self._rates[pattern] if pattern else None
                limits = (rate.requests_per_minute, rate.tokens_per_minute) if rate else (None, None)
                schedule = Schedule(self._home, name, requests=limits[0], tokens=limits[1])
                words = f"{rate.in_words} of {pattern}" if rate else f"{lm.model}, which asked to wait"
                self._named[name] = Lane(schedule, words)
            return self._lanes.setdefault(model, self._named[name])
