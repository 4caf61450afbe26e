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
from collections import deque
from collections.abc import Sized
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, TextIO, cast

from skillfleet_nb.lm.stand_ins import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from skillfleet_nb.security import Redactor

_WORK = ("skillfleet-work", "skillfleet-user-code", "ThreadPoolExecutor")  # threads that may print for a run
_STOOD, _STAY = "_skillfleet_stood_for_it", 100
MARK = "skillfleet_log"  # the name of the DSPy setting that holds a run's log


class RunLog:
    """A run's log file, written by many threads, a line at a time; one object however often settings are copied.

    Of a progress bar, which is drawn over itself many times a second, it keeps what is seen in the end.
    """

    def __init__(self, path: Path, redactor: Redactor) -> None:
        self._redactor = redactor
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        self._lock = threading.Lock()
        self._line = ""  # the last one, as far as it is written
        self._routed = ExitStack()

    def __deepcopy__(self, memo: dict[int, Any]) -> RunLog:
        return self

    def write(self, text: str) -> int:
        """Append `text`; after the run's end it is dropped."""
        with self._lock:
            *whole, line = (self._line + text).split("\n")
            self._line = _seen(line)
            if whole and not self._file.closed:
                self._file.write(self._redactor.text("".join(f"{_seen(line)}\n" for line in whole)))
        return len(text)

    def route(self) -> None:
        """Put the router before standard output and error, also before what was put there since it was last.

        What captures a cell's output puts back, at its end, the streams that it found: without the router, where the
        run began within the cell.
        """
        for name in ("stdout", "stderr"):
            if not isinstance(getattr(sys, name), _Router):
                with self._lock:
                    self._routed.enter_context(replaced(sys, name, _Router))

    def unroute(self) -> None:
        """Take the router away, where no other run needs it."""
        with self._lock:
            self._routed.close()

    def close(self) -> None:
        """Write the rest and close the file."""
        with self._lock:
            if self._line and not self._file.closed:
                self._file.write(self._redactor.text(f"{self._line}\n"))
            self._file.close()


def _seen(line: str) -> str:
    """Return what of a line is seen, where a part of it was written over another."""
    return line.rstrip("\r").rpartition("\r")[2]


class _Cleaned:
    """Stands for a stream; what is written goes to the original without secrets."""

    def __init__(self, redactor: Redactor, original: TextIO) -> None:
        self._redactor, self._original = redactor, original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def write(self, text: str) -> int:
        self._original.write(self._redactor.text(text))
        return len(text)


def clean_output(redactor: Redactor) -> None:
    """Take secrets out of all that this process prints from now on, on whichever thread."""
    sys.stdout, sys.stderr = (
        cast("TextIO", _Cleaned(redactor, sys.stdout)),
        cast("TextIO", _Cleaned(redactor, sys.stderr)),
    )


class _Router:
    """Stands for `sys.stdout` or `sys.stderr`; everything but writing is the original's.

    The original holds on to those that stood for it: ``print`` of Python 3.11 does not hold the stream it writes
    to, and a thread that prints while a run on another one ends would write to one that is gone.
    """

    def __init__(self, original: TextIO) -> None:
        self.original = original
        with suppress(TypeError):  # one that takes no attributes
            vars(original).setdefault(_STOOD, deque(maxlen=_STAY)).append(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def write(self, text: str) -> int:
        log = _log()
        return log.write(text) if log is not None else self.original.write(text)


def route_again() -> None:
    """Have what this thread prints go to the log of the run it works for, whatever has taken the router's place."""
    if not (isinstance(sys.stdout, _Router) and isinstance(sys.stderr, _Router)) and (log := _log()) is not None:
        log.route()


def _log() -> RunLog | None:
    """Return the log of the run that this thread works for."""
    import dspy

    log: RunLog | None = dspy.settings.get(MARK)
    return log


def _without_bars(original: Callable[..., None]) -> Any:
    """Stand for ``tqdm.__init__``: bars of threads that work for a run are disabled.

    DSPy has optimizers draw bars whatever they are told, and tqdm disables bars for a whole process only.  A disabled
    bar takes itself out of the list of all bars, which DSPy empties as an evaluation begins: where several runs share a
    process it would fail over that.  So nothing is done here but what such a bar is asked for.
    """

    @wraps(original)
    def start(bar: Any, iterable: Any = None, desc: Any = None, total: Any = None, *args: Any, **kwargs: Any) -> None:
        if _log() is None:
            original(bar, iterable, desc, total, *args, **kwargs)
            return
        bar.iterable, bar.disable, bar.n, bar.leave = iterable, True, kwargs.get("initial", 0), True
        bar.total = len(iterable) if total is None and isinstance(iterable, Sized) else total

    return start


@contextmanager
def run_log(path: Path, redactor: Redactor) -> Iterator[RunLog]:
    """Route what marked threads print to the file at `path`, without secrets, for the time of the body.

    Threads are marked by ``dspy.context(**{MARK: log})``.  What is left behind of the body, a metric that hangs say, is
    silent from then on.
    """
    from tqdm import tqdm

    before = set(threading.enumerate())
    log = RunLog(path, redactor)
    log.route()
    try:
        with closing(log), replaced(tqdm, "__init__", _without_bars):
            yield log
    finally:
        left = [one for one in set(threading.enumerate()) - before if one.name.startswith(_WORK)]
        if left:  # they would print into whatever cell runs by then
            threading.Thread(target=_unroute_after, args=(left, log), name="skillfleet-log", daemon=True).start()
        else:
            log.unroute()


def _unroute_after(threads: list[threading.Thread], log: RunLog) -> None:
    for thread in threads:
        while thread in threading.enumerate():
            with suppress(RuntimeError):  # it is only just starting
                thread.join()
    log.unroute()
