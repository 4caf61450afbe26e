"""Frames that were answered before, for as long as nothing is written that could change them.

What a list of jobs takes goes nearly all into DuckDB's planning, whatever the list holds; dashboards ask for it all
the time, mostly for what they have already.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import orjson

from skillfleet_nb.store.tickets import unowned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from skillfleet_nb.store.home import Home
    from skillfleet_nb.store.segments import Segment

    Params = Sequence[object] | Mapping[str, object] | None

_FRAMES = 16
_CELLS = 50_000  # of a frame; larger ones are not kept
_BYTES = 4 << 20


class HomeState(NamedTuple):
    """All that an answer depends on: what is written, the files it is folded into, and which jobs are dead.

    Attributes
    ----------
    written
        The segments of all streams.
    files
        Of the database, each with its size and when it was written.
    unfinished, dead
        Jobs that have not ended, and those of them that nobody will go on with.
    """

    written: frozenset[tuple[str, Segment]]
    files: frozenset[tuple[str, int, int]]
    unfinished: frozenset[str]
    dead: frozenset[str]

    def is_present(self, home: Home, written: Iterable[tuple[str, Segment]]) -> bool:
        """Tell whether this is still how it is, where `written` is what a look at the journal has just shown."""
        return (
            self.written == frozenset(written)
            and self.files == database_files(home)
            and self.dead == unowned(home, self.unfinished)
        )


def database_files(home: Home) -> frozenset[tuple[str, int, int]]:
    """List the files of a home's database as (name, bytes, nanoseconds since 1970 when it was written)."""
    paths = (home.database, home.database.with_name(home.database.name + ".wal"))
    stats = [(path.name, path.stat()) for path in paths if path.exists()]
    return frozenset((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


class FrameCache:
    """The last frames by query and parameters, each with the state of the home that it was made from.

    Whoever gets one may change it: it is a copy.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, tuple[HomeState, pd.DataFrame]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes | None) -> tuple[HomeState, pd.DataFrame] | None:
        """Return a frame and the state it is of; None where there is none."""
        with self._lock:
            if key is None or key not in self._kept:
                return None
            self._kept.move_to_end(key)
            state, frame = self._kept[key]
        return state, _copied(frame)

    def keep(self, key: bytes | None, state: HomeState | None, frame: pd.DataFrame) -> None:
        """Keep a copy of a frame, unless it is large or of no state."""
        if key is None or state is None or frame.size > _CELLS or frame.memory_usage(deep=True).sum() > _BYTES:
            return
        with self._lock:
            self._kept[key] = state, _copied(frame)
            self._kept.move_to_end(key)
            while len(self._kept) > _FRAMES:
                self._kept.popitem(last=False)


def key_of(query: str, params: Params) -> bytes | None:
    """Return what tells questions apart; None for parameters that are no plain values."""
    try:
        return orjson.dumps([query, params])
    except TypeError:
        return None


def _copied(frame: pd.DataFrame) -> pd.DataFrame:
    """Copy a frame, and the lists and mappings in it."""
    import pandas as pd

    copied = frame.copy()
    for place, dtype in enumerate(frame.dtypes):
        if pd.api.types.is_object_dtype(dtype):
            cells = [copy.deepcopy(cell) for cell in frame.iloc[:, place]]
            copied.isetitem(place, pd.Series(cells, dtype=object).array)
    return copied
