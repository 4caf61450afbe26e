"""Calling a person's code where no event loop runs: it may run one of its own, as ``asyncio.run`` does.

A cell of a notebook runs on the thread of the kernel's loop, on which no second one can be started.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")


def off_loop(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a function run beside the thread of a running loop, in a copy of the caller's context.

    Examples
    --------
    >>> async def cell():
    ...     return off_loop(asyncio.run)(asyncio.sleep(0, "slept"))
    >>> asyncio.run(cell())
    'slept'
    """

    @functools.wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return function(*args, **kwargs)
        work = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        pool = ThreadPoolExecutor(1, thread_name_prefix="skillfleet-user-code")
        try:
            return pool.submit(work).result()
        finally:
            pool.shutdown(wait=False)  # an interrupt does not wait for what it interrupts

    return called


async def awaited(program: Any, *args: Any, **kwargs: Any) -> Any:
    """Ask a program in async code; one that has no ``aforward`` is asked on a thread, and the loop goes on."""
    from dspy import Module

    if isinstance(program, Module) and not (hasattr(type(program), "aforward") or "aforward" in vars(program)):
        return await asyncio.to_thread(program, *args, **kwargs)
    return await program.acall(*args, **kwargs)
