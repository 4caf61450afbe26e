"""Waiting for a job in a cell: progress on one line, and interrupts that lose nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.display import display

from skillfleet_nb.commands.views import ProgressLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.runs.job import Job

_POLL_S = 0.2


def counting(what: str) -> Callable[[int, int], None]:
    """Make a function that shows how much of `what` is done, on one line of the cell."""
    shown: list[Any] = []

    def show(done: int, total: int) -> None:
        line = ProgressLine(f"{what}: {done:,} of {total:,}", done / total if total else None)
        if shown:
            shown[0].update(line)
        else:
            shown.append(display(line, display_id=True))

    return show


def wait(job: Job, *, watch: bool = False) -> None:
    """Show the job's progress until it is finished.

    The first interrupt asks the job to stop and goes on waiting for its best program; the second
    leaves it to finish in the background.  Of a job that is only watched, the first one leaves it.
    """
    shown: Any = None
    asked, told = False, ""
    while True:
        try:
            if shown is None:  # inside, for an interrupt may come as early as this
                shown = display(_line(job), display_id=True)
            finished = job.wait(_POLL_S)
            shown.update(_line(job, "" if finished else told))
            if finished:
                return
        except KeyboardInterrupt:
            if (asked or watch) and shown is not None:
                shown.update(_line(job, f"left in the background: %skillfleet job {job.name}"))
                return
            if watch:
                return
            asked = True
            job.cancel()
            told = "stopping, and keeping the best so far; interrupt again to leave it"


def _line(job: Job, note: str = "") -> ProgressLine:
    progress = job.progress
    return ProgressLine(progress.line(), progress.share_done, note)
