"""Lanes: the searches that one run makes at the same time, each with its own count of calls, in one journal.

They share the run's ledger, its gate, its cache and its state, so that whatever is done to the job is done to all.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from skillfleet_nb.events import MemberTold, ShareTold
from skillfleet_nb.lm.faults import in_one_line
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.shares import search
from skillfleet_nb.optimizers import Scoring
from skillfleet_nb.projection import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from skillfleet_nb.events import ExampleScore, LMCall
    from skillfleet_nb.lm.shares import Shares
    from skillfleet_nb.optimizers import MemberResult, ShareDecision
    from skillfleet_nb.typing import Program

_State = Literal["running", "searched", "failed", "stopped", "scored", "chosen"]
_judging: ContextVar[bool] = ContextVar("skillfleet_judging", default=False)
_ENDED = "its share is used up"


def is_judging() -> bool:
    """Tell whether this thread scores what a search found, rather than searches."""
    return _judging.get()


@dataclass
class _Lane:
    totals: Totals = field(default_factory=Totals)
    seconds: float = 0.0
    since: float | None = None
    error: str | None = None
    result: MemberResult | None = None
    start: str | None = None
    scorings: list[Scoring] = field(default_factory=list)


class Lanes:
    """Counts and shares what each member of a run takes, and tells of it.

    Parameters
    ----------
    emit
        Receives each :class:`~skillfleet_nb.events.MemberTold` and :class:`~skillfleet_nb.events.ShareTold`.
    keep
        Stores a program's state and returns its id.
    shares
        Of the ledger.

    Attributes
    ----------
    baseline
        The given program's score on validation.
    """

    def __init__(
        self, emit: Callable[[MemberTold | ShareTold], object], keep: Callable[[Program], str], shares: Shares
    ) -> None:
        self._emit, self._keep, self._shares = emit, keep, shares
        self._lanes: dict[str, _Lane] = {}
        self._given: set[str] = set()
        self.baseline = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def open(self, member: str, *, start: Program | None = None) -> Iterator[None]:
        """Count the body's calls, on whatever threads it starts, for a member; tell of it when it ends."""
        with self._lock:
            own = self._lanes.setdefault(member, _Lane())
        own.start = own.start if start is None else self._keep(start)
        started = time.monotonic()
        self._tell(member, "running")
        state: _State = "searched"
        try:
            with self._shares.of(member):
                yield
        except RunStopped:
            state = "stopped"
            raise
        except Exception as exc:
            state, own.error = "failed", in_one_line(exc)
            raise
        finally:
            own.seconds += time.monotonic() - started
            self._tell(member, state)

    def over(self, member: str) -> None:
        """Note that a member's search has come to its end."""
        self._shares.over(member)

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Race nothing in the body: what a search found is scored to the end."""
        token = _judging.set(True)
        try:
            yield
        finally:
            _judging.reset(token)

    def take(self, calls: Sequence[LMCall]) -> None:
        """Count calls that were made on this thread."""
        member = search()
        if member is None:
            return
        with self._lock:
            totals = self._lanes.setdefault(member, _Lane()).totals
            for c in calls:
                totals.add((c.cached, c.input_tokens, c.output_tokens, c.cost_usd, c.latency_s, c.error, c.attempts,
                            c.full_cost_usd))  # fmt: skip

    def scored(
        self, program: Program, program_id: str, rows: Sequence[ExampleScore], score: float, *, pruned: bool
    ) -> None:
        """Take in what this thread's member scored on all of validation; a `pruned` one so much at most."""
        member = search()
        with self._lock:
            if member is None:
                self._given.add(program_id)
                self.baseline = score
                return
            own = self._lanes.setdefault(member, _Lane())
            if program_id in self._given or program_id == own.start:
                return
            best = max((s for s in own.scorings if s.program is not None), key=lambda s: s.score, default=None)
            tops = not pruned and (best is None or score > best.score)
            if tops and best is not None:  # a long search tries thousands
                own.scorings[own.scorings.index(best)] = replace(best, program=None, rows=())
            values = tuple(r.score or 0.0 for r in rows) if tops else ()
            used = self._shares.used(member)
            own.scorings.append(Scoring(program if tops else None, score, values, used))

    def scorings(self, member: str) -> Sequence[Scoring]:
        """Return what a member has scored on all of validation so far, other than what it started from."""
        with self._lock:
            return tuple(self._lanes.setdefault(member, _Lane()).scorings)

    def give(self, member: str, requests: float) -> None:
        """Let a member make so many requests more: beyond them it waits."""
        self._shares.give(member, requests)

    def end(self, member: str) -> None:
        """Refuse a member every further request: its search ends."""
        self._shares.end(member, _ENDED)

    def settle(self, members: Sequence[str]) -> None:
        """Wait until each of these members has used up its share, or has come to its end."""
        self._shares.settle(members)

    def used(self, member: str) -> int:
        """Return how many requests a member has made, counting nothing twice."""
        return self._shares.used(member)

    def shared(self, decision: ShareDecision) -> None:
        """Record who gets what, and why."""
        self._emit(ShareTold(**asdict(decision)))

    def told(self, result: MemberResult) -> None:
        """Take in what a member came to."""
        with self._lock:
            self._lanes.setdefault(result.name, _Lane()).result = result
        self._tell(result.name, "chosen" if result.chosen else "scored")

    def _tell(self, member: str, state: _State) -> None:
        own = self._lanes[member]
        result = own.result
        self._emit(
            MemberTold(
                member=member,
                state=state,
                program_id=None if result is None else self._keep(result.program),
                score=None if result is None else result.score,
                optimism=None if result is None else result.optimism,
                lm_calls=own.totals.calls,
                cached_calls=own.totals.cached,
                cost_usd=own.totals.cost_usd,
                seconds=own.seconds,
                error=own.error,
            )
        )
