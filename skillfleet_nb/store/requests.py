"""What is asked of a stream's writer, from any process: a file beside the journal, in the order it was asked."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import orjson

from skillfleet_nb.store.cipher import is_line, lines_of
from skillfleet_nb.store.home import writing
from skillfleet_nb.store.segments import label
from skillfleet_nb.store.unlocking import cipher_for, cipher_of

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.store.home import Home


class Request(NamedTuple):
    """Something that was asked of a stream's writer: when (UTC), what, and with which words."""

    at: datetime
    command: str
    body: dict[str, str]


def request(home: Home, stream: str, command: str, **body: str) -> None:
    """Ask the writer of a stream, from any process, to do something: ``"cancel"``, ``"answer"``.

    Raises
    ------
    HomeError
        If the home cannot be written.
    """
    path = home.ensure().journal_dir(stream) / "control.jsonl"
    line = _line({"at": datetime.now(UTC), "command": command, **({"body": encodable(body)} if body else {})})
    if (cipher := cipher_of(home.root)) is not None:
        line = cipher.lines(label(path)).encrypted_evenly(line)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)


def read_requests(home: Home, stream: str) -> list[Request]:
    """Return what was asked of a stream's writer, oldest first."""
    path = home.journal_dir(stream) / "control.jsonl"
    try:
        lines = lines_of(path.read_bytes())
    except FileNotFoundError:
        return []
    requests = []
    for line in _decrypted(path, lines):
        try:
            raw = orjson.loads(line)
            body = {str(name): str(value) for name, value in raw.get("body", {}).items()}
            requests.append(Request(datetime.fromisoformat(raw["at"]), str(raw["command"]), body))
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # torn by a crash of whoever asked
    return requests


def clear_text(home: Home, stream: str) -> None:
    """Take the text out of whatever was asked of a stream's writer, once the journal has it, redacted.

    Each request stays, in its place and at its length: who appends one meanwhile is not in the way.

    Raises
    ------
    HomeError
        If the home cannot be written.
    """
    path = home.journal_dir(stream) / "control.jsonl"
    cipher = cipher_of(home.root)
    encrypted = None if cipher is None else cipher.lines(label(path)).encrypted_evenly
    with writing(path), path.open("r+b", buffering=0) as file:
        at, lines = 0, lines_of(file.readall())
        for line, plain in zip(lines, _decrypted(path, lines), strict=True):
            if (cleared := _cleared(plain)) != plain:
                os.pwrite(file.fileno(), cleared if encrypted is None or plain is line else encrypted(cleared), at)
            at += len(line)


def _decrypted(path: Path, lines: list[bytes]) -> list[bytes]:
    if not any(map(is_line, lines)):
        return lines
    return list(map(cipher_for(path).lines(label(path)).decrypted, lines))


def _cleared(line: bytes) -> bytes:
    """Return the line of a request without its text, as long as it is."""
    try:
        entry = orjson.loads(line)
        if not entry["body"]["text"] or not line.endswith(b"\n"):
            return line
    except (ValueError, TypeError, KeyError):
        return line  # it has none, or is torn
    entry["body"]["text"] = ""
    return _line(entry)[:-1].ljust(len(line) - 1) + b"\n"


def _line(entry: dict[str, object]) -> bytes:
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


def encodable(value: object) -> object:
    """Put what UTF-8 cannot hold, lone surrogates, into question marks."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {encodable(str(k)): encodable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(v) for v in value]
    return value
