"""Work that is done again and again, on a thread of this process, until it is stopped: no daemon stays behind."""

from __future__ import annotations

import re
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError, SkillfleetError
from skillfleet_nb.format import counted, duration
from skillfleet_nb.html import Readable, fill

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WRITTEN = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([smhd]?)\s*")


class Ticker(Readable):
    """Does some work at once, and then again and again.

    Parameters
    ----------
    work
        What is done; it returns whether all is well, and what there is to say.
    what, unit
        What it is called, and what one time of it is.
    every
        Seconds from one time to the next, or a text such as ``"90s"``, ``"15m"``, ``"1h"`` or ``"1d"``.
    times
        After how many it ends by itself; None goes on.

    Attributes
    ----------
    done, alarms
        How many times there were, and how many of them were not well.
    first
        Set once the first time is over.
    last
        What the last time had to say.
    trouble
        Why the last time could not be; empty where it was.

    Raises
    ------
    InputError
        If `every` is no time.
    """

    def __init__(
        self, work: Callable[[], tuple[bool, str]], what: str, unit: str, every: str | float, times: int | None = None
    ) -> None:
        self.what, self.every_s, self.done, self.alarms = what, seconds(every), 0, 0
        self.last, self.trouble, self.first = "", "", threading.Event()
        self._work, self._unit, self._times, self._end = work, unit, times, threading.Event()
        # in the context of who begins it, so that the model configured there answers
        self._thread = threading.Thread(target=copy_context().run, args=(self._go_on,), name=what, daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether there will be another time."""
        return self._thread.is_alive() and not self._end.is_set()

    @property
    def ok(self) -> bool:
        """Whether all was well every time."""
        return not self.alarms

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it: what goes on is finished, and not begun again."""
        self._end.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it has ended; return whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def sentence(self) -> str:
        """Say in one line how it stands."""
        now = f"every {duration(self.every_s)}" if self.is_running else "ended"
        text = f"{self.what}, {now}: {counted(self.done, self._unit)}, {counted(self.alarms, 'alarm')}"
        last = self.trouble or self.last
        return f"{text}; {last}" if last else text

    def text(self) -> str:
        """Return it as text."""
        return self.sentence()

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Return it as HTML."""
        return fill("<div>{}</div>", self.sentence())

    def _go_on(self) -> None:
        while not self._end.is_set():
            try:
                well, self.last = self._work()
                self.trouble, self.alarms = "", self.alarms + (not well)
            except SkillfleetError as exc:  # a file that is not there this time, a model that does not answer
                self.trouble = str(exc)
            self.done += 1
            self.first.set()
            if self._times is not None and self.done >= self._times:
                break
            self._end.wait(self.every_s)


def seconds(every: str | float, name: str = "every") -> float:
    """Read a time as people write it; `name` is what it is called where it is none.

    Examples
    --------
    >>> seconds("15m"), seconds(90)
    (900.0, 90.0)

    Raises
    ------
    InputError
        If it is none.
    """
    match = _WRITTEN.fullmatch(str(every))
    value = 0.0 if match is None else float(match[1]) * _UNITS[match[2] or "s"]
    if not value > 0:
        raise InputError(f"{name}={every!r}: give a time such as 90s, 15m, 1h or 1d.")
    return value
