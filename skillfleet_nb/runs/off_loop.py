"""Calling a person's code where no event loop runs: it may run one of its own, as ``asyncio.run`` does.

A cell of a notebook runs on the thread of the kernel's loop, on which no second one can be started.
"""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


def off_loop(work: Callable[[], _T]) -> _T:
    """Return what `work` returns; beside the thread of a running loop, in a copy of the caller's context.

    Examples
    --------
    >>> async def cell():
    ...     return off_loop(lambda: asyncio.run(asyncio.sleep(0, "slept")))
    >>> asyncio.run(cell())
    'slept'
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    inside = contextvars.copy_context()
    pool = ThreadPoolExecutor(1, thread_name_prefix="skillfleet-user-code")
    try:
        return pool.submit(inside.run, work).result()
    finally:
        pool.shutdown(wait=False)  # an interrupt does not wait for what it interrupts
