"""What a run prints goes to its log, not into somebody's cell.

Optimizers print, log and draw progress bars from many threads, and a notebook shows such output in
whichever cell runs at the time.  While a run is on, standard output and error are replaced by a
router: a thread that works for the run (DSPy hands its settings to its workers, so the mark is one
of them) writes to the run's log, every other thread writes where it always did.  Bars of tqdm, which
DSPy draws anew after every example, are not drawn by such a thread at all: a run tells its own progress,
and nobody would see what costs time at every example.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, TextIO

from skillfleet_nb.lm.keys import hidden

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MARK = "skillfleet_log"  # the name of the DSPy setting that holds a run's log


class RunLog:
    """A run's log file, written by many threads, a line at a time; one object however often settings are copied.

    Of a progress bar, which is drawn over itself many times a second, it keeps what is seen in the end.
    """

    def __init__(self, path: Path, secrets: Sequence[str] = ()) -> None:
        self._secrets = secrets
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        self._lock = threading.Lock()
        self._line = ""  # the last one, as far as it is written

    def __deepcopy__(self, memo: dict[int, Any]) -> RunLog:
        return self

    def write(self, text: str) -> int:
        """Append `text`; after the run's end it is dropped."""
        with self._lock:
            *whole, line = (self._line + text).split("\n")
            self._line = _seen(line)
            if whole and not self._file.closed:
                self._file.write(hidden("".join(f"{_seen(line)}\n" for line in whole), self._secrets))
        return len(text)

    def close(self) -> None:
        """Write the rest and close the file."""
        with self._lock:
            if self._line and not self._file.closed:
                self._file.write(hidden(f"{self._line}\n", self._secrets))
            self._file.close()


def _seen(line: str) -> str:
    """Return what of a line is seen, where a part of it was written over another."""
    return line.rstrip("\r").rpartition("\r")[2]


class _Router:
    """Stands for `sys.stdout` or `sys.stderr`; everything but writing is the original's."""

    def __init__(self, original: TextIO) -> None:
        self.original = original
        self.runs = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def write(self, text: str) -> int:
        log = _log()
        return log.write(text) if log is not None else self.original.write(text)


def _log() -> RunLog | None:
    """Return the log of the run that this thread works for."""
    from dspy.dsp.utils.settings import thread_local_overrides

    log: RunLog | None = thread_local_overrides.get().get(MARK)
    return log


@cache
def _draw_no_bars() -> None:
    """Have tqdm, from here on, disable the bars of threads that work for a run; all others are as they were."""
    from tqdm import tqdm

    init = tqdm.__init__

    @wraps(init)
    def start(bar: Any, *args: Any, **kwargs: Any) -> None:
        init(bar, *args, **(kwargs if _log() is None else {**kwargs, "disable": True}))

    tqdm.__init__ = start


_switch = threading.Lock()


def _enter(name: str) -> _Router:
    with _switch:
        stream = getattr(sys, name)
        router = stream if isinstance(stream, _Router) else _Router(stream)
        router.runs += 1
        setattr(sys, name, router)
        return router


def _leave(name: str, router: _Router) -> None:
    with _switch:
        router.runs -= 1
        if router.runs == 0 and getattr(sys, name) is router:  # somebody may have put a stream of theirs over it
            setattr(sys, name, router.original)


@contextmanager
def run_log(path: Path, secrets: Sequence[str] = ()) -> Iterator[RunLog]:
    """Route what marked threads print to the file at `path`, less `secrets`, for the time of the body.

    Threads are marked by ``dspy.context(**{MARK: log})``.
    """
    log = RunLog(path, secrets)
    _draw_no_bars()
    routers = {name: _enter(name) for name in ("stdout", "stderr")}
    try:
        yield log
    finally:
        for name, router in routers.items():
            _leave(name, router)
        log.close()
