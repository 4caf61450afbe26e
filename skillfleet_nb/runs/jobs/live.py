"""The live view of a job.  A surface provides it by an entry point, because this room knows no widgets."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Protocol, cast

GROUP = "skillfleet_nb.views"


class LiveView(Protocol):
    """Shows a job where it is displayed; whatever can be clicked in it is a method as well."""

    def stop(self) -> None:
        """Ask the job to stop; its best program so far is kept."""

    def pause(self) -> None:
        """Let the job make no further call until :meth:`unpause`."""

    def unpause(self) -> None:
        """Let a paused job go on."""

    def answer(self, text: str = "", choice: str | None = None) -> None:
        """Answer what the job asks."""

    def say(self, note: str) -> None:
        """Show a note, in place of the last one."""

    def html(self) -> str:
        """Return a still: what a page without scripts shows."""
        ...

    def settle(self) -> bool:
        """Wait until the last state is on the page, a few seconds at most; return whether it is."""
        ...


def live_view(job: object) -> LiveView:
    """Make the view that the surface ``widgets`` registers as ``monitor``."""
    (point,) = entry_points(group=GROUP, name="monitor")
    return cast("LiveView", point.load()(job))
