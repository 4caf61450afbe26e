"""Shares: how many different requests each of several searches of one run may make so far.

A search that has used its share up waits at its next request until it is given more, or ended.  A share counts what a
search asks for the first time, bought or from the cache, and not what was asked before the searches began: so the
same searches under the same shares stand at the same points whatever the cache holds, and a run that is replayed
comes to the same decisions.  What is bought stays bounded by the run's own limits (see ``gate``).
"""

from __future__ import annotations

import math
from collections import defaultdict
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skillfleet_nb.events import StopKind
from skillfleet_nb.lm.limits import RunStopped

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from skillfleet_nb.lm.calls import Call

_LOOK_S = 0.5
_search: ContextVar[str | None] = ContextVar("skillfleet_search", default=None)


def search() -> str | None:
    """Return the search that this thread works for; None outside of a run of several."""
    return _search.get()


class ShareEnded(RunStopped):
    """Ends one search of several at its next request; the run goes on."""


@dataclass
class _Share:
    allowed: float = math.inf
    used: int = 0
    asked: set[int] = field(default_factory=set)
    waits: bool = False
    ended: str | None = None
    is_over: bool = False


class Shares:
    """The shares of the searches of one run; a search that was given none may ask as it likes.

    Parameters
    ----------
    turn
        The ledger's: what it guards here too.

    Examples
    --------
    >>> import threading
    >>> shares = Shares(threading.Condition())
    >>> shares.give("gepa", 100)
    >>> shares.used("gepa")
    0
    """

    def __init__(self, turn: threading.Condition) -> None:
        self._turn = turn
        self._shares: defaultdict[str, _Share] = defaultdict(_Share)
        self._before: set[int] = set()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Count requests of the body, on whatever threads it starts, for a search."""
        token = _search.set(name)
        try:
            yield
        finally:
            _search.reset(token)

    def give(self, name: str, requests: float) -> None:
        """Let a search make so many requests beyond those it has made; what waits goes on."""
        with self._turn:
            share = self._shares[name]
            share.allowed, share.waits, share.is_over = share.used + requests, False, False
            self._turn.notify_all()

    def end(self, name: str, reason: str) -> None:
        """Refuse a search every further request."""
        with self._turn:
            self._shares[name].ended = reason
            self._turn.notify_all()

    def over(self, name: str) -> None:
        """Note that a search has come to its end."""
        with self._turn:
            self._shares[name].is_over = True
            self._turn.notify_all()

    def used(self, name: str) -> int:
        """Return how many requests a search has made."""
        return self._shares[name].used

    def settle(self, names: Sequence[str]) -> None:
        """Wait until each of these searches has used up its share, or has come to its end."""
        with self._turn:
            while not all(self._shares[n].waits or self._shares[n].is_over for n in names):
                self._turn.wait(_LOOK_S)

    def admits(self, call: Call) -> bool:
        """Tell whether a request is within its search's share; with the turn held.

        Raises
        ------
        ShareEnded
            If the search was ended.
        """
        name = _search.get()
        if name is None:
            return True
        share = self._shares[name]
        if share.ended is not None:
            raise ShareEnded(StopKind.BUDGET, share.ended)
        if self._is_known(share, call) or share.used + call.reserved_calls <= share.allowed:
            return True
        share.waits = True
        self._turn.notify_all()
        return False

    def take(self, call: Call) -> None:
        """Count an admitted request; with the turn held."""
        name = _search.get()
        if name is None:
            if call.key is not None:
                self._before.add(call.key)
            return
        share = self._shares[name]
        if not self._is_known(share, call):
            share.used += call.reserved_calls
            if call.key is not None:
                share.asked.add(call.key)

    def _is_known(self, share: _Share, call: Call) -> bool:
        return call.key is not None and (call.key in share.asked or call.key in self._before)
