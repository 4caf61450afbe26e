"""A segment as Parquet: columns to ask in SQL, and every line as it was, byte by byte.

A line as the journal writes them is kept as its four fields and its checksum, from which it is put together
again; any other (torn by a crash, damaged, written by a later version) is kept in `raw`.  `end` is the offset
behind the line in the file its writer made.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from datetime import UTC
from typing import IO, TYPE_CHECKING, Any

import orjson

from skillfleet_nb.envelope import Event, is_sealed, read_event, unsealed
from skillfleet_nb.errors import HomeError
from skillfleet_nb.store.cipher import UnreadableError, is_encrypted
from skillfleet_nb.store.line_reader import LineReader
from skillfleet_nb.store.segments import format_line, place
from skillfleet_nb.store.segments import seed as seed_of
from skillfleet_nb.store.unlocking import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from skillfleet_nb.store.cipher import Cipher
    from skillfleet_nb.store.segments import Segment

_GROUP_ROWS, _GROUP_BYTES = 10_000, 8 << 20  # bound the memory that reading and writing take
_WRITTEN = re.compile(rb'\{"seq":\d+,"at":"[^"]*","kind":"[^"\\]*","payload":(\{.*\})\}\n', re.DOTALL)
_DIGEST = "sha256:"
_TEXTS = {"lm_call": ("prompt", "response"), "tried": ("inputs", "output"), "tool_called": ("input", "output")}
_OUTPUT = 3  # place of the output in an ``ExampleScore``

_Row = tuple[int | None, Any, str | None, bytes | None, bytes | None, int, bytes | None]


class _DamagedError(Exception):
    """The file's content is not what was written."""


def write(path: Path, lines: Iterable[tuple[bytes, int]], seed: int, cipher: Cipher | None = None) -> None:
    """Write lines, each with the offset behind it, to a new file, and wait until it is on disk.

    `seed` is the segment's, from :func:`~skillfleet_nb.store.segments.seed`; with a `cipher` the file is encrypted.
    """
    with path.open("xb") as file:
        if cipher is None:
            _write(file, lines, seed)
        else:
            whole = io.BytesIO()
            _write(whole, lines, seed)
            file.write(cipher.encrypted(whole.getvalue()))
        file.flush()
        os.fsync(file.fileno())


def _write(file: IO[bytes], lines: Iterable[tuple[bytes, int]], seed: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        reader = LineReader(seed)
        for group in _groups(lines):
            rows = [_row(line, end, reader.event(line, end)) for line, end in group]
            columns = [
                pa.array(values, field.type) for field, values in zip(schema, zip(*rows, strict=True), strict=True)
            ]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=len(rows))


def read(segment: Segment, offset: int) -> Iterator[tuple[Event | None, int, bool, bool]]:
    """Yield the lines behind `offset`, and whether each carried a checksum; what is damaged counts as one without."""
    here, start = seed_of(segment.path), offset
    try:
        for seq, at, kind, payload, raw, end, seal in _rows(segment.path, offset):
            if raw is None and seq is not None and kind is not None and payload is not None:
                yield Event(seq, at.replace(tzinfo=UTC), kind, orjson.loads(payload)), end, True, bool(seal)
            else:
                line = raw or b""
                whole = line.endswith(b"\n")
                # a line that was an event as it was written may have been moved before
                where = None if seq is not None else place(here, start)
                yield read_event(line, where) if whole else None, end, whole, is_sealed(line)
            start = end
    except _DamagedError:
        yield None, segment.size, True, False


def raw_lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield each line as it was written, with the offset behind it; `HomeError` where the file is damaged."""
    try:
        for seq, at, kind, payload, raw, end, seal in _rows(path, 0):
            if raw is None and seq is not None and kind is not None and payload is not None:
                line = format_line(seq, at.replace(tzinfo=UTC), kind, payload)
                yield seal + line[1:] if seal else line, end
            else:
                yield raw or b"", end
    except _DamagedError as damage:
        raise _refusal(path, damage) from damage


def last_seq(path: Path) -> int:
    """Return the highest number of an event, 0 where there is none; `HomeError` where the file is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = _source(path)
    except _DamagedError as damage:
        raise _refusal(path, damage) from damage
    try:
        metadata = pq.read_metadata(source)
    except (pa.ArrowException, OSError) as error:
        raise _refusal(path, error) from error
    statistics = [metadata.row_group(n).column(0).statistics for n in range(metadata.num_row_groups)]
    return max((s.max for s in statistics if s is not None and s.has_min_max), default=0)


def without_prompts(line: bytes, event: Event | None) -> bytes:
    """Return a line with hashes in place of prompts, responses and outputs, as if they had not been recorded.

    It has no checksum, for it is not what was written.  One that holds no event could hold a piece of a text: only its
    end is kept.
    """
    if event is None:
        return b"\n" if line.endswith(b"\n") else b""
    payload = dict(event.fields)
    if event.kind in _TEXTS:
        payload |= {field: _digest(payload[field]) for field in _TEXTS[event.kind] if field in payload}
    elif event.kind == "trial" and isinstance(payload.get("scores"), list):
        scores = payload["scores"]
        payload["scores"] = [[*s[:_OUTPUT], *map(_digest, s[_OUTPUT:])] if isinstance(s, list) else s for s in scores]
    if payload == event.fields:
        return unsealed(line)[0]
    return format_line(event.seq, event.at.astimezone(UTC), event.kind, orjson.dumps(payload))


def _digest(text: object) -> object:
    if not isinstance(text, str) or text.startswith(_DIGEST):
        return text
    return _DIGEST + hashlib.sha256(text.encode()).hexdigest()


def _schema() -> pa.Schema:
    import pyarrow as pa

    fields = [("seq", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("kind", pa.string())]
    fields += [("payload", pa.string()), ("raw", pa.binary()), ("end", pa.int64()), ("seal", pa.binary())]
    return pa.schema(fields)


def _groups(lines: Iterable[tuple[bytes, int]]) -> Iterator[list[tuple[bytes, int]]]:
    group: list[tuple[bytes, int]] = []
    size = 0
    for line, end in lines:
        group.append((line, end))
        size += len(line)
        if len(group) >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _row(line: bytes, end: int, event: Event | None) -> _Row:
    if event is None:
        return None, None, None, None, line, end, None
    at = event.at.astimezone(UTC)
    bare, seal = unsealed(line)
    written = _WRITTEN.fullmatch(bare)
    if written is not None and _is_json(written[1]) and format_line(event.seq, at, event.kind, written[1]) == bare:
        return event.seq, at, event.kind, written[1], None, end, seal
    try:
        payload = orjson.dumps(event.fields)
    except TypeError:  # nested deeper than it writes
        payload = None
    return event.seq, at, event.kind, payload, line, end, None


def _is_json(text: bytes) -> bool:
    """Tell whether the field is a value by itself: more fields may follow it in the line."""
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def _rows(path: Path, offset: int) -> Iterator[_Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = _source(path)
    try:
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            for number in range(file.num_row_groups):
                ends = file.metadata.row_group(number).column(5).statistics
                if ends is None:
                    raise _DamagedError("it lacks its statistics")
                if ends.max <= offset:
                    continue
                table = file.read_row_group(number, use_threads=False)
                binary = table.set_column(3, "payload", table["payload"].cast(pa.binary()))
                columns = [column.to_pylist() for column in binary.columns]
                if "seal" not in table.column_names:  # of a version that wrote none
                    columns.append([None] * len(table))
                for row in zip(*columns, strict=True):
                    if row[5] > offset:
                        yield row
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):  # the disk or its rights, not the content
            raise HomeError(f"cannot read '{path}': {error}; make it readable.") from error
        raise _DamagedError(str(error)) from error


def _source(path: Path) -> Any:
    """Return what Parquet is read from: the file, or of an encrypted one its content; raises as `read_bytes` does."""
    import pyarrow as pa

    try:
        return pa.BufferReader(read_bytes(path)) if is_encrypted(path) else path
    except UnreadableError as damage:
        raise _DamagedError(str(damage)) from damage


def _refusal(path: Path, error: Exception) -> HomeError:
    text = " ".join(str(error).split())
    return HomeError(f"'{path}' is damaged ({text[:200]}): put a copy of it in its place, from a backup.")
