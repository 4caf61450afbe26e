"""Where answers are kept, to replay them: those of an encrypted home's runs apart from all others, in memory.

DSPy has one cache for a process.  While a run of an encrypted home is on, `keeping_apart` has what asks that cache on
the run's behalf use the home's own in its place: other homes, and calls outside of runs, neither find its answers nor
leave theirs there.
"""

from __future__ import annotations

import functools
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.lm.calls import current
from skillfleet_nb.lm.stand_ins import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skillfleet_nb.store import Home

GATE = "skillfleet_gate"  # the name of the DSPy setting that holds the gate of the run that a thread works for
_MOST_BYTES = 2 << 30


def answers_of(home: Home | None) -> Any:
    """Return the cache of an encrypted home's runs, on disk in its private folder where DSPy's is on disk.

    Runs resume from it as ever, until the home is locked or the machine restarts.  None where the home is plain: its
    runs use DSPy's own.

    Raises
    ------
    HomeError
        If the home is locked.
    """
    if home is None or not home.is_encrypted:
        return None
    import dspy
    from dspy.clients.cache import Cache

    folder = _folder(home)
    switches = dspy.cache.enable_disk_cache, dspy.cache.enable_memory_cache
    kept = _kept()
    with kept.turn:
        opened = kept.opened.get(folder)
        if opened is None or opened[0] != (*switches, _mark(folder)):
            folder.mkdir(exist_ok=True)
            on_disk, in_memory = switches
            made = Cache(on_disk, in_memory, str(folder), _MOST_BYTES)
            opened = kept.opened[folder] = (*switches, _mark(folder)), made
        return opened[1]


def answers_folder(home: Home) -> str | None:
    """Name the folder where answers of a home's runs are kept; None where the cache on disk is off.

    Raises
    ------
    HomeError
        If the home is encrypted and locked.
    """
    import dspy

    if not dspy.cache.enable_disk_cache:
        return None
    return str(_folder(home) if home.is_encrypted else Path(dspy.cache.disk_cache_dir).absolute())


def forget_answers(home: Home) -> None:
    """Let go of what an encrypted home's runs were answered, of which the files go with its private folder."""
    if home.is_encrypted and "dspy" in sys.modules:
        kept = _kept()
        with kept.turn:
            opened = kept.opened.pop(_folder(home), None)
        if opened is not None and opened[1].enable_disk_cache:
            opened[1].disk_cache.close()


def answers_here() -> Any:
    """Return the cache that answers whatever this thread asks now."""
    import dspy

    return _apart() or dspy.cache


@contextmanager
def keeping_apart() -> Iterator[None]:
    """Have calls that runs of encrypted homes make in the body use their home's cache in the place of DSPy's."""
    from dspy.clients.cache import Cache

    with ExitStack() as stack:
        stack.enter_context(replaced(Cache, "get", _turned))
        stack.enter_context(replaced(Cache, "put", _turned))
        yield


def _turned(original: Callable[..., Any]) -> Any:
    @functools.wraps(original)
    def method(cache: Any, *args: Any, **kwargs: Any) -> Any:
        return original(_apart() or cache, *args, **kwargs)

    return method


def _apart() -> Any:
    """Return the cache of the encrypted home that this thread works for; None where it works for none."""
    import dspy

    if (call := current.get()) is not None:
        return call.answers
    gate = dspy.settings.get(GATE)
    return None if gate is None else gate.ledger.answers


def _folder(home: Home) -> Path:
    return home.derived / "answers"


def _mark(folder: Path) -> int | None:
    """Return what differs once a folder was deleted, by whatever process, and made anew."""
    with suppress(FileNotFoundError):
        return folder.stat().st_ino
    return None


class _Kept(NamedTuple):
    """The caches of this process by their folders, each with what it was opened for."""

    turn: threading.Lock
    opened: dict[Path, tuple[tuple[object, ...], Any]]


@functools.cache  # for the life of the process
def _kept() -> _Kept:
    return _Kept(threading.Lock(), {})
