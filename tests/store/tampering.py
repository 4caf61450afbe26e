"""What somebody who can write a home, and has not the user's key, could do to its audit trail."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING
from zlib import crc32

from skillfleet_nb.envelope import unsealed
from skillfleet_nb.store.segments import place, seed

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from skillfleet_nb.store import Trail

_Lines = list[bytes]


def _flip(lines: _Lines, at: int, rng: random.Random) -> _Lines:
    """Flip any bit of a line, but for its end, without which it is none."""
    line = bytearray(lines[at])
    line[rng.randrange(len(line) - 1)] ^= 1 << rng.randrange(8)
    return [*lines[:at], bytes(line), *lines[at + 1 :]]


def _edited(line: bytes) -> bytes:
    return line.replace(b'"export"', b'"trash.empty"')


def _cut_bytes(lines: _Lines, at: int, rng: random.Random) -> _Lines:
    del at
    body = b"".join(lines)
    return [body[: rng.randrange(len(body) - 1)]]


def _moved(lines: _Lines, at: int, rng: random.Random) -> _Lines:
    rest = lines[:at] + lines[at + 1 :]
    to = rng.choice([n for n in range(len(lines)) if n != at])
    return [*rest[:to], lines[at], *rest[to:]]


def _added(lines: _Lines, line: bytes, rng: random.Random) -> _Lines:
    to = rng.randrange(len(lines) + 1)
    return [*lines[:to], line, *lines[to:]]


_WAYS: dict[str, Callable[[_Lines, int, random.Random], _Lines]] = {
    "flip": _flip,
    "cut bytes": _cut_bytes,
    "edit": lambda lines, at, _: [*lines[:at], _edited(lines[at]), *lines[at + 1 :]],
    "edit all": lambda lines, _, __: list(map(_edited, lines)),
    "remove": lambda lines, at, _: lines[:at] + lines[at + 1 :],
    "cut": lambda lines, at, _: lines[:at],
    "empty": lambda _, __, ___: [],
    "move": _moved,
    "copy": lambda lines, at, rng: _added(lines, lines[at], rng),
    "add": lambda lines, at, rng: _added(lines, lines[at].replace(b'"user":"', b'"user":"not-'), rng),
    "rename": lambda lines, _, __: lines[:-1],
}
_AS_IT_IS = {"flip", "cut bytes"}  # without checksums that fit
KINDS = tuple(_WAYS)


@contextmanager
def tampered(trail: Trail, kind: str, rng: random.Random) -> Iterator[str]:
    """Tamper with a trail in one way, at a place chosen by `rng`; it is as before afterwards."""
    folder = trail._home.journal / "audit"
    kept = folder.with_name("audit-kept")
    shutil.copytree(folder, kept)
    try:
        yield f"{kind}: {_tamper(rng.choice(sorted(folder.glob('*.jsonl'))), kind, rng)}"
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)


def _tamper(file: Path, kind: str, rng: random.Random) -> str:
    lines = file.read_bytes().splitlines(keepends=True)
    at = rng.randrange(len(lines))
    changed = _WAYS[kind](lines, at, rng)
    if kind == "rename":
        file = file.rename(file.with_name("000099.jsonl"))
    offset, fitting = 0, []
    for line in changed:
        fitting.append(line if kind in _AS_IT_IS else _resealed(line, place(seed(file), offset)))
        offset += len(fitting[-1])
    file.write_bytes(b"".join(fitting))
    return f"line {at + 1} of {len(lines)}"


def _resealed(line: bytes, where: int) -> bytes:
    """Give a line a checksum that fits it and its place, which needs no key."""
    body = unsealed(line)[0][1:]
    return b'{"crc":"%08x",%b' % (crc32(body, where), body)
