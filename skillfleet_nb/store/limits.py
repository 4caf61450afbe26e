"""Limits of a query that a person wrote: it ends at an interrupt, and at its time and memory.

DuckDB hears an interrupt between two pieces of work, and a single function of a very large value is one piece.  So
the query has a thread of its own, which is told to stop and, where it does not hear, left to end by itself.
"""

from __future__ import annotations

import contextvars
import threading
import time
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from skillfleet_nb.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

T = TypeVar("T")

_HEARS_S, _AGAIN_S = 1.5, 0.05  # how long it is told to stop, and how often: told before it began, it would not hear


class Query(Generic[T]):
    """One query, on a thread of its own.

    Parameters
    ----------
    work
        Runs the query; calls the function it gets with the connection as soon as the query begins.
    """

    def __init__(self, work: Callable[[Callable[[duckdb.DuckDBPyConnection], None]], T]) -> None:
        self._work = work
        self._con: duckdb.DuckDBPyConnection | None = None
        self._begun = threading.Event()
        self._stopped = False

    def result(self, seconds: float) -> T:
        """Run it; an interrupt ends it and is raised, `QueryError` tells that it took over `seconds` seconds."""
        outcome: Future[T] = Future()
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._run, outcome), name="skillfleet-query", daemon=True).start()
        try:
            self._begun.wait()
            done = _wait(outcome, seconds)
        except BaseException:
            self._stop(outcome)
            raise
        if not done:
            self._stop(outcome)
            raise QueryError(
                f"the query took over {seconds:g} s and was ended: let it read less (where, limit), or allow more "
                "with the setting sql_seconds."
            )
        return outcome.result()

    def _run(self, outcome: Future[T]) -> None:
        try:
            outcome.set_result(self._work(self._begin))
        except BaseException as exc:  # noqa: BLE001  raised to whoever waits
            outcome.set_exception(exc)
        finally:
            self._begun.set()

    def _begin(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._begun.set()
        if self._stopped:
            raise QueryError("the query was stopped before it began.")

    def _stop(self, outcome: Future[T]) -> None:
        import duckdb

        self._stopped = True
        until = time.monotonic() + _HEARS_S
        while not outcome.done() and time.monotonic() < until:
            if self._con is not None:
                with suppress(duckdb.Error):  # it is closed: the query has just ended
                    self._con.interrupt()
            _wait(outcome, _AGAIN_S)


def _wait(outcome: Future[T], seconds: float) -> bool:
    return bool(wait([outcome], seconds).done)
