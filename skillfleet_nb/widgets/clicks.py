"""Clicks while a cell runs: which thread of the kernel reads what a page says to a widget."""

from __future__ import annotations

from typing import Any

_KEY = "skillfleet_subshell"


def let_in(comm: Any) -> None:
    """Have a widget's messages read at once, on a subshell, though a cell keeps the main thread.

    A subshell is a thread of the kernel beside the one that runs cells.  JupyterLab sends widgets'
    messages to one; ipykernel from 7.4 takes them back to the thread that last wrote to the widget, for
    replies that a cell waits for, and a button must not wait for the cell.  Where the page names no
    subshell, one is made.  On kernels without subshells clicks are read when the cell is done, which the
    page tells.
    """
    if not hasattr(comm, "_reply_subshell_for"):
        return
    from IPython import get_ipython

    shell = get_ipython()
    comm._reply_subshell_for = lambda _, subshell: subshell or _own(shell)  # noqa: SLF001  no public way


def _own(shell: Any) -> str | None:
    """Find or make a subshell for clicks; runs on the thread that receives messages, as making one must."""
    try:
        manager = shell.kernel.shell_channel_thread.manager
        if shell.meta.get(_KEY) not in manager.list_subshell():
            shell.meta[_KEY] = manager._create_subshell()  # noqa: SLF001  else only a front end can
        return str(shell.meta[_KEY])
    except (AttributeError, AssertionError):  # another ipykernel: the message goes where it would
        return None
