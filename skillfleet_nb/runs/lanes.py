"""Lanes: the searches that one run makes at the same time, each with its own count of calls, in one journal.

They share the run's ledger, its gate, its cache and its state, so that whatever is done to the job is done to all.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from skillfleet_nb.events import MemberTold
from skillfleet_nb.lm.faults import in_one_line
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.projection import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from skillfleet_nb.events import LMCall
    from skillfleet_nb.optimizers import MemberResult
    from skillfleet_nb.typing import Program

_State = Literal["running", "searched", "failed", "stopped", "scored", "chosen"]
_lane: ContextVar[str | None] = ContextVar("skillfleet_lane", default=None)


def lane() -> str | None:
    """Return the member that this thread searches for; None outside of a run of several."""
    return _lane.get()


@dataclass
class _Lane:
    totals: Totals = field(default_factory=Totals)
    seconds: float = 0.0
    since: float | None = None
    error: str | None = None
    result: MemberResult | None = None


class Lanes:
    """Counts what each member of a run takes, and tells of it.

    Parameters
    ----------
    emit
        Receives each :class:`~skillfleet_nb.events.MemberTold`.
    keep
        Stores a program's state and returns its id.
    """

    def __init__(self, emit: Callable[[MemberTold], object], keep: Callable[[Program], str]) -> None:
        self._emit, self._keep = emit, keep
        self._lanes: dict[str, _Lane] = {}
        self._lock = threading.Lock()

    @contextmanager
    def open(self, member: str) -> Iterator[None]:
        """Count the body's calls, on whatever threads it starts, for a member; tell of it when it ends."""
        with self._lock:
            own = self._lanes.setdefault(member, _Lane())
        token, started = _lane.set(member), time.monotonic()
        self._tell(member, "running")
        state: _State = "searched"
        try:
            yield
        except RunStopped:
            state = "stopped"
            raise
        except Exception as exc:
            state, own.error = "failed", in_one_line(exc)
            raise
        finally:
            _lane.reset(token)
            own.seconds += time.monotonic() - started
            self._tell(member, state)

    def take(self, calls: Sequence[LMCall]) -> None:
        """Count calls that were made on this thread."""
        member = _lane.get()
        if member is None:
            return
        with self._lock:
            totals = self._lanes.setdefault(member, _Lane()).totals
            for c in calls:
                totals.add((c.cached, c.input_tokens, c.output_tokens, c.cost_usd, c.latency_s, c.error, c.attempts,
                            c.full_cost_usd))  # fmt: skip

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
