"""A watch: checks for drift again and again, on a thread of this process, until it is stopped."""

from __future__ import annotations

import re
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, SkillfleetError
from skillfleet_nb.format import counted, duration
from skillfleet_nb.html import Readable, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from skillfleet_nb.monitoring.drift_report import DriftReport

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WRITTEN = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([smhd]?)\s*")


class DriftWatch(Readable):
    """Checks again and again; made by ``fleet.drift.watch``.

    Parameters
    ----------
    check
        Makes a check.
    name, live, every, options
        As for ``fleet.drift.watch``.

    Attributes
    ----------
    report
        The last one; None before the first.
    checks, alarms
        How many there were.
    first
        Set once the first check is made, or could not be.
    trouble
        Why the last check could not be made; empty where it was.
    """

    def __init__(
        self, check: Callable[..., DriftReport], name: str, live: object, every: str | float, options: Mapping[str, Any]
    ) -> None:
        self.name, self.every_s = name, seconds(every)
        self.report: DriftReport | None = None
        self.checks = self.alarms = 0
        self.trouble, self.first = "", threading.Event()
        self._check, self._live, self._options = check, live, dict(options)
        self._times: int | None = self._options.pop("times", None)
        self._end = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._go_on,), name=f"drift watch {name}", daemon=True
        )

    @property
    def is_running(self) -> bool:
        """Whether there will be another check."""
        return self._thread.is_alive() and not self._end.is_set()

    @property
    def ok(self) -> bool:
        """Whether no check was an alarm."""
        return not self.alarms

    def start(self) -> None:
        """Begin, with the first check at once."""
        self._thread.start()

    def stop(self, wait_s: float = 0.0) -> None:
        """End it: a check that goes on is finished, and another is not begun."""
        self._end.set()
        if wait_s:
            self._thread.join(wait_s)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it has ended; return whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def sentence(self) -> str:
        """Say in one line how it stands."""
        now = f"every {duration(self.every_s)}" if self.is_running else "ended"
        text = f"watch of {self.name}, {now}: {counted(self.checks, 'check')}, {counted(self.alarms, 'alarm')}"
        last = self.trouble or (self.report.sentence() if self.report is not None else "")
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
                live = self._live() if callable(self._live) else self._live
                self.report, self.trouble = self._check(self.name, live, **self._options), ""
                self.alarms += self.report.alarm
            except SkillfleetError as exc:  # a file that is not there this time, a model that does not answer
                self.trouble = str(exc)
            self.checks += 1
            self.first.set()
            if self._times is not None and self.checks >= self._times:
                break
            self._end.wait(self.every_s)


def seconds(every: str | float) -> float:
    """Read a time as people write it.

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
        raise InputError(f"every={every!r}: give a time such as 90s, 15m, 1h or 1d.")
    return value
