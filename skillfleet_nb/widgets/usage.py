"""A program in use, live: the kernel looks again while a page shows it, and sends what it drew last has changed."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets as t

from skillfleet_nb.design import script, stylesheet
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.monitoring.ticker import seconds
from skillfleet_nb.widgets.clicks import let_in
from skillfleet_nb.widgets.face import Face

if TYPE_CHECKING:
    from skillfleet_nb.tracing.usage import Usage

_STATIC = Path(__file__).parent / "static"
_LOOK_S, _CALM_S, _SHARE = 2.0, 30.0, 0.2  # least and most time between looks, and the share of it that they may take
WINDOWS = ("15m", "1h", "1d", "7d")
"""Times that a page offers to look back."""


class UsagePage(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget is untyped
    """Pieces of HTML; the page says when it has drawn them, and what is clicked."""

    _esm = script(_STATIC / "usage.js")
    _css = stylesheet(_STATIC / "usage.css")
    program = t.Unicode().tag(sync=True)
    figures = t.Unicode().tag(sync=True)
    calls = t.Unicode().tag(sync=True)
    told = t.Unicode().tag(sync=True)
    windows = t.List(t.Unicode()).tag(sync=True)
    window = t.Unicode().tag(sync=True)
    paused = t.Bool(False).tag(sync=True)
    n = t.Int(0).tag(sync=True)


class UsageMonitor(Face):
    """A live view of a monitored program in use.  Whatever can be clicked is a method as well.

    Parameters
    ----------
    usage
        How it stands.
    """

    def __init__(self, usage: Usage) -> None:
        self.answer = usage
        self._turn, self._looking = threading.Lock(), threading.Lock()
        self._drawn, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        window = next((w for w in WINDOWS if seconds(w) == usage.window_s), f"{usage.window_s:g}s")
        offered = list(dict.fromkeys((*WINDOWS, window)))
        self.box = UsagePage(program=usage.program, windows=offered, window=window)
        let_in(self.box.comm)
        self.box.on_msg(self._heard)
        self._show(usage)

    def look_back(self, window: str) -> None:
        """Show another time, such as ``"1d"``; raises `InputError` if it is none."""
        usage = self.answer.again(window)
        with self._turn:
            self.box.windows = list(dict.fromkeys((*self.box.windows, window)))
            self.box.window = window
            self._show(usage)

    def refresh(self) -> None:
        """Look again; on a page this happens by itself."""
        with self._looking:  # one after the other, or what was seen earlier would keep out what is seen now
            before = self.answer
            usage = before.again()
            with self._turn:
                if self.answer is before:  # nobody has asked for another time meanwhile
                    self._show(usage)

    def pause(self) -> None:
        """Leave what is shown as it is."""
        self.box.paused = True

    def unpause(self) -> None:
        """Go on with looking."""
        self.box.paused = False
        self._drawn.set()

    def close(self) -> None:
        """Take it off its page, and look no more."""
        self._closed.set()
        self._drawn.set()
        self.box.close()

    def _show(self, usage: Usage) -> None:
        self.answer = usage
        self._drawn.clear()
        with self.box.hold_sync():
            self.box.figures, self.box.calls = str(usage.figures_html()), str(usage.calls_html())
            self.box.told, self.box.n = "", self.box.n + 1

    def _heard(self, page: object, message: object, buffers: object) -> None:
        """Take in what a page says; on whatever thread the kernel reads it."""
        del page, buffers
        if not isinstance(message, dict):
            return
        what: Any = message.get("do")
        if what == "pause":
            self.pause()
        elif what == "unpause":
            self.unpause()
        elif what == "window":
            try:
                self.look_back(str(message.get("window")))
            except SkillfleetError as exc:
                self.box.told = str(exc)
        elif what == "drawn":
            self._drawn.set()
            with self._turn:
                if self._thread is None:  # somebody looks at a page
                    self._thread = threading.Thread(target=self._follow, name="skillfleet-usage", daemon=True)
                    self._thread.start()

    def _follow(self) -> None:
        """Look again and again while a page draws what it is sent: where none does, this waits and costs nothing."""
        pause_s = _LOOK_S
        while not self._closed.wait(pause_s):
            self._drawn.wait()
            if self._closed.is_set() or self.box.comm is None:
                return
            if self.box.paused:
                continue
            began = time.monotonic()
            try:
                self.refresh()
            except SkillfleetError as exc:
                self.box.told = f"{exc} It is looked at again."
            pause_s = min(max(_LOOK_S, (time.monotonic() - began) / _SHARE), _CALM_S)
