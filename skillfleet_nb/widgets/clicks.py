"""Clicks while a cell runs: which thread of the kernel reads what a page says to a widget."""

from __future__ import annotations

from typing import Any


def let_in(comm: Any) -> None:
    """Have a widget's messages read at once, on a subshell, though a cell keeps the main thread.

    Front ends send widgets' messages to a subshell of their own, a thread of the kernel beside the one
    that runs cells.  ipykernel from 7.4 takes them back to the thread that last wrote to the widget, for
    replies that a cell waits for; a button must not wait for the cell.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _, subshell: subshell  # noqa: SLF001  no public way
