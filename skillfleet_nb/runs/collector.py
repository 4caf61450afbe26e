"""While runs are on, the garbage collector leaves aside what was there before them.

A notebook that has imported DSPy holds some half a million objects, and a full collection looks at all of
them: 0.2 to 0.4 s during which no thread of the run goes on, again and again while it makes objects of its own.
Set aside, they cost nothing; what has no reference left is freed as ever, and only cycles among them wait for
the end of the runs.
"""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OF_A_PROCESS = 10_000, 20, 20
_switch = threading.Lock()
_runs = 0
_frozen = False


@contextmanager
def set_aside() -> Iterator[None]:
    """Set aside what there is before the first of the runs that are on, up to the end of the last.

    A program that has frozen objects itself, as servers do before they fork, keeps them as they are.
    """
    global _runs, _frozen  # noqa: PLW0603  the collector is one for the whole process
    with _switch:
        if _runs == 0 and gc.get_freeze_count() == 0:
            gc.freeze()
            _frozen = True
        _runs += 1
    try:
        yield
    finally:
        with _switch:
            _runs -= 1
            if _runs == 0 and _frozen:
                gc.unfreeze()
                _frozen = False


def collect_rarely() -> None:
    """Let the collector look less often, in a process that is the package's own.

    Its imports make nearly all of its objects, and none of these is garbage: looking at them again and again takes
    a tenth of a short command's time.
    """
    gc.set_threshold(*_OF_A_PROCESS)
