"""Files of a similarity index: immutable segments of vectors, and the manifest that lists them."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from skillfleet_nb.errors import HomeError
from skillfleet_nb.store.home import atomic_write, writing
from skillfleet_nb.store.locks import Busy, locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

_FORMAT: Final = 1
_WAIT_S: Final = 120.0


class IndexEntry(NamedTuple):
    """One skill in a segment; `hash` is None where the entry removes its path."""

    path: str
    hash: str | None
    name: str = ""
    description: str = ""
    headings: tuple[str, ...] = ()
    chunks: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What to call the skill."""
        return self.name or self.path


class IndexSegment:
    """An immutable set of entries with their vectors, read when first looked at."""

    def __init__(self, folder: Path, name: str) -> None:
        import numpy as np

        self.name = name
        raw = orjson.loads((folder / f"{name}.json").read_bytes())
        self.entries = [IndexEntry(p, h, n, d, tuple(t), tuple(c)) for p, h, n, d, t, c in raw]
        self.skills: Vectors = np.load(folder / f"{name}.skills.npy", mmap_mode="r", allow_pickle=False)
        self.chunks: Vectors = np.load(folder / f"{name}.chunks.npy", mmap_mode="r", allow_pickle=False)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each path."""
        return {entry.path: row for row, entry in enumerate(self.entries)}

    @cached_property
    def starts(self) -> list[int]:
        """Where each row's chunks start, and where the last one's end."""
        starts = [0]
        for entry in self.entries:
            starts.append(starts[-1] + len(entry.chunks))
        return starts

    def chunks_of(self, row: int) -> Vectors:
        """Return the chunk vectors of a row, shape (m, d)."""
        return self.chunks[self.starts[row] : self.starts[row + 1]]


class Snapshot:
    """The index as one manifest says it is."""

    def __init__(self, manifest: dict[str, Any], segments: list[IndexSegment]) -> None:
        import numpy as np

        self.root = Path(manifest["root"])
        self.model: str = manifest["model"]
        self.segments = segments
        self.alive = [np.fromiter((e.hash is not None for e in s.entries), bool, len(s.entries)) for s in segments]
        for number, segment in enumerate(segments[1:], 1):
            for earlier, alive in zip(segments[:number], self.alive[:number], strict=True):
                replaced = [earlier.rows[path] for path in segment.rows if path in earlier.rows]
                alive[replaced] = False

    def find(self, path: str) -> tuple[IndexSegment, int] | None:
        """Return where the live entry of a path is."""
        for segment, alive in zip(reversed(self.segments), reversed(self.alive), strict=True):
            row = segment.rows.get(path)
            if row is not None:
                return (segment, row) if alive[row] else None
        return None

    def live(self) -> Iterator[tuple[IndexSegment, int]]:
        """Yield where every live entry is."""
        for segment, alive in zip(self.segments, self.alive, strict=True):
            for row in alive.nonzero()[0].tolist():
                yield segment, row


class IndexRow(NamedTuple):
    """A skill on its way into a segment."""

    entry: IndexEntry
    skill: Vectors  # (2, d)
    chunks: Vectors  # (m, d)


class SegmentFiles:
    """Read and write the files of one index; what is loaded once is kept, for it never changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: dict[str, IndexSegment] = {}
        self._cached: tuple[bytes, Snapshot] | None = None

    def read(self) -> Snapshot | None:
        """Load what the manifest names, None before the first build.

        A merge may take files away meanwhile; then its result is read.
        """
        for _ in range(20):
            try:
                raw = (self.folder / "manifest.json").read_bytes()
            except FileNotFoundError:
                return None
            if self._cached is not None and self._cached[0] == raw:
                return self._cached[1]
            manifest = orjson.loads(raw)
            if manifest["format"] > _FORMAT:
                raise HomeError(f"index '{self.folder}' was made by a newer version: upgrade skillfleet-nb.")
            try:
                loaded = {n: self._loaded.get(n) or IndexSegment(self.folder, n) for n in manifest["segments"]}
            except FileNotFoundError:
                continue
            snapshot = Snapshot(manifest, list(loaded.values()))
            self._loaded, self._cached = loaded, (raw, snapshot)
            return snapshot
        raise HomeError(f"index '{self.folder}' lacks files it names: delete the folder and build it again.")

    @contextmanager
    def writer(self) -> Iterator[None]:
        """Hold the lock that writers exclude each other with."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.folder / "index.lock", wait_s=_WAIT_S):
                yield
        except Busy:
            raise HomeError(f"index '{self.folder}' has been locked for {_WAIT_S:.0f} s: try again later.") from None

    def write(self, rows: Sequence[IndexRow], gone: Iterable[str] = ()) -> str:
        """Write a segment and return its name; nobody reads it before the manifest names it."""
        import numpy as np

        entries = [row.entry for row in rows] + [IndexEntry(path, None) for path in sorted(gone)]
        d = rows[0].skill.shape[1] if rows else self._width()
        skills = np.zeros((len(entries), 2, d), np.float32)
        if rows:
            skills[: len(rows)] = np.stack([row.skill for row in rows])
        parts = [row.chunks for row in rows if len(row.chunks)]
        return self._store(entries, skills, np.concatenate(parts) if parts else np.zeros((0, d), np.float32))

    def _store(self, entries: Sequence[IndexEntry], skills: Vectors, bodies: Vectors) -> str:
        import numpy as np

        name = uuid.uuid4().hex[:16]
        with writing(self.folder):
            for kind, array in (("skills", skills), ("chunks", bodies)):
                with (self.folder / f"{name}.{kind}.npy").open("wb") as file:
                    np.save(file, array, allow_pickle=False)
                    file.flush()
                    os.fsync(file.fileno())
            atomic_write(self.folder / f"{name}.json", orjson.dumps([tuple(entry) for entry in entries]))
        return name

    def _width(self) -> int:
        index = self.read()
        return int(index.segments[0].skills.shape[2]) if index and index.segments else 0

    def commit(self, model: str, root: Path, names: Sequence[str]) -> None:
        """Make the segments of these names the index, and clear away all others."""
        manifest = {"format": _FORMAT, "model": model, "root": str(root), "segments": list(names)}
        with writing(self.folder):
            atomic_write(self.folder / "manifest.json", orjson.dumps(manifest))
        for file in self.folder.iterdir():  # what a merge or a crash left behind
            stem = file.name.split(".")[0]
            if file.suffix in {".npy", ".json"} and file.name != "manifest.json" and stem not in names:
                with suppress(OSError):  # a reader on Windows still maps it; the next commit tries again
                    file.unlink()

    def merge(self, first: int) -> None:
        """Replace the segments from number `first` on by one that holds what is live in them."""
        import numpy as np

        index = self.read()
        if index is None:
            return
        merged = index.segments[first:]
        entries: list[IndexEntry] = []
        skills, bodies = [], []
        for segment, alive in zip(merged, index.alive[first:], strict=True):
            for row, entry in enumerate(segment.entries):
                # An entry that removes its path has to stay while an earlier segment may hold it.
                if alive[row] or (first and entry.hash is None):
                    entries.append(entry)
                    skills.append(segment.skills[row])
                    bodies.append(segment.chunks_of(row))
        d = merged[0].skills.shape[2]
        stacked = np.stack(skills) if skills else np.zeros((0, 2, d), np.float32)
        body = np.concatenate(bodies) if bodies else np.zeros((0, d), np.float32)
        name = self._store(entries, stacked, body)
        self.commit(index.model, index.root, [*(s.name for s in index.segments[:first]), name])
