"""Compaction: journals of finished jobs become Parquet, and what a home need not keep goes.

One segment is replaced at a time: its new form is written beside it, read back and compared line by
line, put in its place by a rename, and only then does the old form go.  Readers find the one or the
other at every moment, and a death at any moment leaves nothing that the next compaction does not tidy.

A segment without a live writer never changes again.  The rename happens under a shared lock on the
job's ``alive.lock``, so that a writer that opens the job just then counts its segments before or after.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING

from skillfleet_nb.errors import HomeError
from skillfleet_nb.store import parquet
from skillfleet_nb.store.home import ASIDE, sync_folder, writing
from skillfleet_nb.store.journal import is_alive
from skillfleet_nb.store.line_reader import LineReader
from skillfleet_nb.store.locks import Busy, locked
from skillfleet_nb.store.records import CompactReport
from skillfleet_nb.store.segment_reader import raw_lines
from skillfleet_nb.store.segments import Segment, bytes_on_disk, files, seed, segments
from skillfleet_nb.store.unlocking import cipher_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from skillfleet_nb.config import Settings
    from skillfleet_nb.store.cipher import Cipher
    from skillfleet_nb.store.home import Home

_HALF_DONE = ".compacting-"


@dataclass(frozen=True)
class _Step:
    """What is to be done with one job."""

    job_id: str
    segments: tuple[Segment, ...]
    hashed: bool = False
    dropped: bool = False

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)


def compact(
    home: Home,
    finished: Iterable[tuple[str, datetime]],
    settings: Settings,
    *,
    everything: bool,
    dry_run: bool,
    progress: Callable[[int, int], None],
) -> CompactReport:
    """Compact jobs, given as (id, when they finished); `progress` gets bytes done and in all.

    The caller sees to it that no other compaction is at work.

    Raises
    ------
    HomeError
        If the home cannot be written, or a file read back differs.
    """
    if not dry_run:
        _tidy(home)
    steps = _plan(home, finished, settings, everything=everything)
    before = _bytes(home, steps)
    if dry_run:
        return _report(steps, (), before, None)
    busy, done, total = [], 0, sum(step.size for step in steps)
    for step in steps:
        progress(done, total)
        try:
            _drop(home, step) if step.dropped else _compact_job(home, step)
        except Busy:
            busy.append(step.job_id)
        done += step.size
    progress(total, total)
    return _report(steps, busy, before, _bytes(home, steps))


def _plan(home: Home, finished: Iterable[tuple[str, datetime]], settings: Settings, *, everything: bool) -> list[_Step]:
    now = datetime.now(UTC)

    def older(finished_at: datetime, days: float | None) -> bool:
        return days is not None and now - finished_at > timedelta(days=days)

    steps = []
    for job_id, finished_at in finished:
        parts = segments(home.journal / job_id)
        if not parts or is_alive(home, job_id):  # in this order: what a dead job left is all there is
            continue
        hashed = older(finished_at, settings.keep_prompts_days)
        if older(finished_at, settings.keep_jobs_days):
            steps.append(_Step(job_id, tuple(parts), dropped=True))
        elif hashed or everything or older(finished_at, settings.compact_after_days):
            todo = tuple(s for s in parts if not s.compacted or (hashed and not s.hashed))
            if todo:
                steps.append(_Step(job_id, todo, hashed=hashed))
    return steps


def _compact_job(home: Home, step: _Step) -> None:
    cipher = cipher_of(home.root)
    for segment in step.segments:
        with (
            compacted(segment, cipher, hashed=step.hashed) as put_in_place,
            locked(segment.path.with_name("alive.lock"), shared=True),
        ):
            put_in_place()


@contextmanager
def compacted(segment: Segment, cipher: Cipher | None, *, hashed: bool) -> Iterator[Callable[[], None]]:
    """Write the compacted form of a segment, encrypted with a `cipher`; call what is yielded to put it in its place.

    Raises
    ------
    HomeError
        If the home cannot be written, or a file read back differs.
    """
    folder, new = segment.path.parent, segment.as_compacted(hashed=hashed)
    temporary = folder / f"{_HALF_DONE}{os.urandom(4).hex()}"

    def put_in_place() -> None:
        with writing(folder):
            temporary.replace(new.path)
        if segment.path != new.path:
            _remove(segment)

    try:
        with writing(folder):
            parquet.write(temporary, _lines(segment, hashed=hashed), seed(segment.path), cipher)
        _compare(segment, new._replace(path=temporary))
        yield put_in_place
    finally:
        temporary.unlink(missing_ok=True)


def _lines(segment: Segment, *, hashed: bool) -> Iterator[tuple[bytes, int]]:
    if not hashed:
        return raw_lines(segment)
    reader = LineReader(seed(segment.path))
    return ((parquet.without_prompts(line, reader.event(line, end)), end) for line, end in raw_lines(segment))


def _compare(old: Segment, new: Segment) -> None:
    """Refuse unless a new form says, line by line, what the old one says."""
    end = 0
    for expected, actual in zip_longest(_lines(old, hashed=new.hashed), raw_lines(new)):
        if expected != actual:
            raise HomeError(
                f"'{new.path}' does not read back as '{old.path.name}' (behind byte {end}): "
                f"'{old.path.name}' was left as it is; check the disk and the memory of this machine."
            )
        end = expected[1]
    if end != new.size:
        raise HomeError(f"'{old.path}' has {end} bytes in place of {new.size}: another program changes it.")


def _remove(segment: Segment) -> None:
    """Remove a form that has been replaced, once what replaced it is sure to be on disk."""
    sync_folder(segment.path.parent)
    with suppress(FileNotFoundError, PermissionError):  # a reader on Windows has it open: the next compaction tidies
        segment.path.unlink()


def _drop(home: Home, step: _Step) -> None:
    folder = home.journal / step.job_id
    aside = home.journal / f"{ASIDE}{os.urandom(4).hex()}"
    with writing(folder):
        with locked(folder / "alive.lock"):
            folder.rename(aside)
        shutil.rmtree(aside)


def _tidy(home: Home) -> None:
    """Clear away what a compaction that died has left."""
    if not home.journal.is_dir():
        return
    for folder in home.journal.iterdir():
        if folder.name.startswith(ASIDE):
            shutil.rmtree(folder)
            continue
        if not folder.is_dir():
            continue
        tidy(folder)


def tidy(folder: Path) -> None:
    """Clear away what a compaction that died has left of a stream."""
    for half_done in folder.glob(f"{_HALF_DONE}*"):
        half_done.unlink(missing_ok=True)
    for _, forms in groupby(files(folder), key=lambda segment: segment.name):
        *old, new = forms
        for segment in old:
            _compare(segment, new)
            _remove(segment)


def _bytes(home: Home, steps: Iterable[_Step]) -> int:
    return bytes_on_disk(segment for step in steps for segment in segments(home.journal / step.job_id))


def _report(steps: list[_Step], busy: Iterable[str], before: int, after: int | None) -> CompactReport:
    left = frozenset(busy)
    done = [step for step in steps if step.job_id not in left]
    return CompactReport(
        compacted=tuple(step.job_id for step in done if not step.dropped),
        hashed=tuple(step.job_id for step in done if step.hashed),
        dropped=tuple(step.job_id for step in done if step.dropped),
        busy=tuple(sorted(left)),
        bytes_before=before,
        bytes_after=after,
    )
