"""The fold: new lines of the journal become rows of the database, exactly once.

One batch is one transaction that holds the rows *and* how far each segment has been read, so a
crash at any moment loses nothing and doubles nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from skillfleet_nb.errors import HomeError
from skillfleet_nb.job_clock import Clock
from skillfleet_nb.store.home import is_stream
from skillfleet_nb.store.schema import transaction
from skillfleet_nb.store.segment_reader import read
from skillfleet_nb.store.segments import segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    import duckdb
    import pyarrow as pa

    from skillfleet_nb.envelope import Event
    from skillfleet_nb.store.home import Home
    from skillfleet_nb.store.segments import Segment

BATCH_EVENTS = 20_000
BATCH_BYTES = 16 << 20
"""Limits of one transaction: they bound its memory, and how long others wait for the lock."""

_TABLES = {
    "job_created": "jobs",
    "state": "states",
    "result": "results",
    "trial": "trials",
    "lm_call": "lm_calls",
    "program": "programs",
    "recommendation": "recommended",
    "choice": "choices",
    "unread": "unread",
    "curated": "curated",
    "placed": "placed",
}
_CLOCKED = {"state", "paused"}
_MISFITS = (TypeError, ValueError, KeyError, OverflowError, NotImplementedError)  # Arrow's errors derive from these


@dataclass
class SegmentProgress:
    """How far one segment has been folded, and what it adds up to; a row of ``raw.segments``."""

    job_id: str
    segment: str
    bytes: int = 0  # offset behind the last whole line
    seen: int = 0  # size of the file then: larger where its last line is unfinished
    events: int = 0
    bad_lines: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    bought: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0  # bought calls of unknown cost
    unread_task: int = 0  # answers that could not be read, by role
    unread_prompt: int = 0
    unread_reflection: int = 0
    unread_judge: int = 0
    ran_s: float = 0.0  # the job's clock, see `Clock`
    running_since: datetime | None = None
    state: str | None = None
    paused: bool = False
    saved_usd: float = 0.0  # what cached calls once cost
    unpriced_cached: int = 0

    def add(self, event: Event) -> None:
        """Count one event that became rows."""
        self.events += 1
        if event.kind in _CLOCKED:
            self._keep_time(event)
        if event.kind == "unread":
            self._count_unread(str(event.fields.get("role")))
        self.first_at = min(self.first_at or event.at, event.at)
        self.last_at = max(self.last_at or event.at, event.at)
        if event.kind != "lm_call":
            return
        if event.fields.get("cached"):
            full = event.fields.get("full_cost_usd")
            self.cached += 1
            self.saved_usd += full or 0.0
            self.unpriced_cached += full is None
            return
        cost = event.fields.get("cost_usd")
        self.bought += 1
        self.input_tokens += event.fields.get("input_tokens") or 0
        self.output_tokens += event.fields.get("output_tokens") or 0
        self.cost_usd += cost or 0.0
        self.unpriced += cost is None

    def _count_unread(self, role: str) -> None:
        if hasattr(self, name := f"unread_{role}"):
            setattr(self, name, getattr(self, name) + 1)

    def _keep_time(self, event: Event) -> None:
        clock = Clock(self.ran_s, self.running_since, self.state, self.paused)
        if event.kind == "state":
            clock.enter(str(event.fields.get("state")), event.at, self.last_at)
        elif event.kind == "paused":
            clock.pause(event.at, on=bool(event.fields.get("paused")))
        self.ran_s, self.running_since, self.state, self.paused = astuple(clock)


def unfolded(con: duckdb.DuckDBPyConnection, listing: Iterable[tuple[str, Segment]]) -> list[tuple[str, Segment]]:
    """Pick from a listing by `scan` the segments that hold lines not folded yet, as (stream, segment) in order."""
    rows = con.execute("SELECT job_id, segment, bytes, seen FROM fleet.raw.segments").fetchall()
    folded = {(job_id, segment): (offset, seen) for job_id, segment, offset, seen in rows}
    pending = []
    for stream, segment in listing:
        offset, seen = folded.get((stream, segment.name), (0, 0))
        # a writer may have taken a torn line back and written a whole one of the same length
        if segment.size > seen or (segment.size > offset and _ends_a_line(segment)):
            pending.append((stream, segment))
    return sorted(pending)


def fold_batch(con: duckdb.DuckDBPyConnection, home: Home) -> tuple[int, int, bool]:
    """Fold up to one batch of new lines, in one transaction.

    Returns
    -------
    tuple
        Events folded, lines skipped because they hold no sound event, and whether more is waiting.
    """
    todo = unfolded(con, scan(home))
    if not todo:
        return 0, 0, False
    folded = _progress(con)
    taken: list[tuple[SegmentProgress, Event]] = []
    touched: list[SegmentProgress] = []
    bad, room = 0, BATCH_BYTES
    for stream, segment in todo:
        progress = folded.get((stream, segment.name)) or SegmentProgress(stream, segment.name)
        offset, bad_lines = progress.bytes, progress.bad_lines
        events = _read(segment, progress, BATCH_EVENTS - len(taken), room)
        taken += [(progress, event) for event in events]
        touched.append(progress)
        bad += progress.bad_lines - bad_lines
        room -= progress.bytes - offset
        if len(taken) >= BATCH_EVENTS or room <= 0:
            break

    @cache  # most batches hold few kinds of events
    def columns(table: str) -> pa.Schema:
        return con.sql(f"FROM fleet.raw.{table} LIMIT 0").to_arrow_table().schema

    tables, misfits = _tables(columns, taken)
    for position, (progress, event) in enumerate(taken):
        if position in misfits:
            progress.bad_lines += 1
        else:
            progress.add(event)
    _commit(con, tables, touched)
    return len(taken) - len(misfits), bad + len(misfits), len(taken) >= BATCH_EVENTS or room <= 0


def scan(home: Home, streams: Iterable[str] | None = None) -> Iterator[tuple[str, Segment]]:
    """List the segments of the whole journal, or of some streams, as (stream, segment)."""
    if streams is None:
        streams = [path.name for path in home.journal.iterdir()] if home.journal.is_dir() else []
    for stream in filter(is_stream, streams):
        for segment in segments(home.journal / stream):
            yield stream, segment


def _ends_a_line(segment: Segment) -> bool:
    with suppress(OSError), segment.path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return not segment.compacted and file.read(1) == b"\n"
    return False


def _progress(con: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], SegmentProgress]:
    rows = con.sql("FROM fleet.raw.segments").to_arrow_table().to_pylist()
    return {(row["job_id"], row["segment"]): SegmentProgress(**row) for row in rows}


def _read(segment: Segment, progress: SegmentProgress, max_events: int, max_bytes: int) -> list[Event]:
    """Take whole lines of a segment from where it was left, and move its progress behind them."""
    events: list[Event] = []
    start = progress.bytes
    try:
        for event, end, whole in read(segment, start):
            progress.seen = end
            if not whole:
                break
            progress.bytes = end
            if event is None:
                progress.bad_lines += 1
            else:
                events.append(event)
            if len(events) >= max_events or progress.bytes - start >= max_bytes:
                break
    except OSError as error:
        if isinstance(error, HomeError):
            raise
        raise HomeError(f"cannot read '{segment.path}': {error.strerror}; make it readable.") from error
    return events


def _tables(
    columns: Callable[[str], pa.Schema], taken: Sequence[tuple[SegmentProgress, Event]]
) -> tuple[dict[str, pa.Table], set[int]]:
    """Turn events into an Arrow table per database table; list the positions that fit none.

    Arrow checks the types of a whole batch at once; only where it objects is each event tried
    alone, to find the ones at fault.
    """
    try:
        return _convert(columns, taken), set()
    except _MISFITS:
        misfits = set()
        for position, one in enumerate(taken):
            try:
                _convert(columns, [one])
            except _MISFITS:
                misfits.add(position)
        return _convert(columns, [one for position, one in enumerate(taken) if position not in misfits]), misfits


def _convert(
    columns: Callable[[str], pa.Schema], taken: Sequence[tuple[SegmentProgress, Event]]
) -> dict[str, pa.Table]:
    import pyarrow as pa

    rows: dict[str, list[tuple[str, Event, dict[str, Any]]]] = {}
    for progress, event in taken:
        kind, payload = event.kind, event.fields
        if kind != "lm_call":  # the view `events` puts these together from `lm_calls`: prompts are large
            body = {"kind": kind, "payload": orjson.dumps(payload).decode()}
            rows.setdefault("events", []).append((progress.job_id, event, body))
        if kind == "program":
            payload = payload | {"state": orjson.dumps(payload["state"]).decode()}
        if kind in {"recommendation", "choice"}:
            payload = payload | {name: orjson.dumps(payload[name]).decode() for name in ("features", "params")}
        if kind == "trial":
            for example_id, score, feedback, *output in payload.get("scores") or ():  # old ones have no output
                one = {"trial": payload["trial"], "example_id": example_id, "score": score, "feedback": feedback}
                one["output"] = output[0] if output else None
                rows.setdefault("scores", []).append((progress.job_id, event, one))
        if kind == "examples":
            examples = [row | {"dataset": payload["dataset"]} for row in payload["rows"]]
            rows.setdefault("examples", []).extend((progress.job_id, event, one) for one in examples)
        if kind in _TABLES:
            rows.setdefault(_TABLES[kind], []).append((progress.job_id, event, payload))
    tables = {}
    for name, members in rows.items():
        envelope = {
            "job_id": [job_id for job_id, _, _ in members],
            "seq": [event.seq for _, event, _ in members],
            "logged_at": [event.at for _, event, _ in members],
        }
        arrays = [
            pa.array(envelope.get(field.name) or [body.get(field.name) for _, _, body in members], type=field.type)
            for field in columns(name)
        ]
        tables[name] = pa.table(arrays, schema=columns(name))
    return tables


def _commit(con: duckdb.DuckDBPyConnection, tables: dict[str, pa.Table], touched: Sequence[SegmentProgress]) -> None:
    import pyarrow as pa

    segments = con.sql("FROM fleet.raw.segments LIMIT 0").to_arrow_table().schema
    with transaction(con):
        for name, table in tables.items():
            con.register("incoming", table)
            con.execute(f"INSERT INTO fleet.raw.{name} BY NAME FROM incoming")
        con.register("incoming", pa.Table.from_pylist([asdict(p) for p in touched], schema=segments))
        con.execute(
            "DELETE FROM fleet.raw.segments WHERE (job_id, segment) IN (SELECT (job_id, segment) FROM incoming)"
        )
        con.execute("INSERT INTO fleet.raw.segments BY NAME FROM incoming")
    con.unregister("incoming")  # the connection lives on, the rows need not
