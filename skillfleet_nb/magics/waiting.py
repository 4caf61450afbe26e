"""Waiting for a job in a cell: progress on one line, and interrupts that lose nothing."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any, Protocol

from IPython import get_ipython
from IPython.display import display

from skillfleet_nb.commands.review import QuestionView
from skillfleet_nb.commands.views import ProgressLine
from skillfleet_nb.format import visible
from skillfleet_nb.messages import as_typed
from skillfleet_nb.runs.interrupts import keep_from_here

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.runs.jobs.job import Job

_POLL_S = 0.2
_LEAVING_S = 0.1  # a kernel that is shut down or restarted is interrupted first, and told so right after


def counting(what: str) -> Callable[[int, int], None]:
    """Make a function that shows how much of `what` is done, on one line of the cell."""
    output = _Output()

    def show(done: int, total: int) -> None:
        output.show(ProgressLine(f"{what}: {done:,} of {total:,}", done / total if total else None))
        if done >= total:
            output.end()

    return show


class _Output:
    """One line that is renewed: an output of a cell, or in a terminal the line that is there, which is written over."""

    def __init__(self) -> None:
        self._has_cells = getattr(get_ipython(), "kernel", None) is not None
        self._is_live = sys.stdout.isatty()
        self._handle: Any = None
        self._text = ""

    def show(self, line: ProgressLine) -> None:
        """Show a line in place of the last one."""
        self._text = visible(" · ".join(filter(None, (line.line, line.note))))
        if self._handle is not None:
            self._handle.update(line)
        elif self._has_cells:
            self._handle = display(line, display_id=True)
        elif self._is_live:
            # what is broken into two lines cannot be written over
            sys.stdout.write(f"\r\x1b[2K{self._text[: shutil.get_terminal_size().columns - 1]}")
            sys.stdout.flush()

    def end(self) -> None:
        """Let the last line stand."""
        if not self._has_cells:
            sys.stdout.write(f"\r\x1b[2K{self._text}\n" if self._is_live else f"{self._text}\n")


def wait(job: Job, *, watch: bool = False) -> None:
    """Show the job's monitor, or a line of progress where there are no widgets, until it is finished or asks.

    A cell that waits could not be answered by another one, so a question ends it: the monitor goes on, and
    the question is answered there or by a command.
    The first interrupt asks the job to stop and goes on waiting, for the best program of a search; the second
    leaves it to finish in the background.  Of a job that is only watched, the first one leaves it.
    """
    asked, interrupts = 0, keep_from_here()
    view = _view(job)
    while not job.wait(_POLL_S):
        view.renew()
        if not asked and job.question is not None:
            view.ask()
            return
        if interrupts.count > asked and (asked or watch):
            view.leave(f"left in the background: {as_typed(f'job {job.name}')}")
            return
        if interrupts.count > asked:
            if job.wait(_LEAVING_S):
                break
            if _is_leaving():
                return  # the job goes with the kernel: interrupted, and to be resumed
            asked = interrupts.count
            job.cancel()
            keeping = ", and keeping the best so far" if job.progress.has_best else ""
            view.say(f"stopping{keeping}; interrupt again to leave it")
    view.renew()
    view.settle()


def _is_leaving() -> bool:
    """Tell whether the kernel was told to end."""
    return bool(getattr(get_ipython(), "exit_now", False))


class _View(Protocol):
    """Shows, from its making on, where a job is."""

    def renew(self) -> None:
        """Show where the job is now."""

    def say(self, note: str) -> None:
        """Show a note, in place of the last one."""

    def leave(self, note: str) -> None:
        """Show a note, the last one."""

    def settle(self) -> None:
        """Show the end."""

    def ask(self) -> None:
        """Show the question that ends the waiting."""


def _view(job: Job) -> _View:
    from skillfleet_nb.widgets.front_end import has_widgets

    return _Live(job) if has_widgets() else _Line(job)


class _Line:
    """Progress on one line of the cell."""

    def __init__(self, job: Job) -> None:
        self._job, self._note = job, ""
        self._output = _Output()
        self.renew()

    def renew(self) -> None:
        self._output.show(self._line())

    def say(self, note: str) -> None:
        self._note = note
        self.renew()

    def leave(self, note: str) -> None:
        self.say(note)
        self._output.end()

    def settle(self) -> None:
        self.leave("")

    def ask(self) -> None:
        self.settle()
        display(QuestionView(self._job))

    def _line(self) -> ProgressLine:
        progress = self._job.progress
        return ProgressLine(progress.line(), progress.share_done, self._note)


class _Live:
    """The run monitor, which renews itself."""

    def __init__(self, job: Job) -> None:
        from skillfleet_nb.widgets import Monitor

        self._monitor = Monitor(job)
        self.say = self.leave = self._monitor.say
        display(self._monitor)

    def renew(self) -> None:
        pass

    def settle(self) -> None:
        self._monitor.settle()

    def ask(self) -> None:
        """Leave it to the monitor, which shows it with its buttons."""
