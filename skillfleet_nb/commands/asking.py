"""Ask the person at the keyboard, where there is one."""

from __future__ import annotations

import getpass
import sys


def agreed(question: str) -> bool | None:
    """Ask a question that is answered with yes or no; None where nobody can be asked.

    That is in a shell without a terminal, and in a notebook that a program runs.
    """
    if not (_is_kernel() or (sys.stdin and sys.stdin.isatty())):
        return None
    try:
        return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
    except (EOFError, RuntimeError):  # a kernel whose front end has no place to ask in raises its own RuntimeError
        return None


def secret(question: str) -> str | None:
    """Ask for a text that is not shown as it is typed; None where nobody can be asked, or nothing was typed."""
    if not (_is_kernel() or (sys.stdin and sys.stdin.isatty())):
        return None
    try:
        return getpass.getpass(f"{question}: ") or None
    except (EOFError, RuntimeError):
        return None


def _is_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
