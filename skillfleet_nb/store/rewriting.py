"""Every file of a home brought into one form: encrypted with one key, or plain.

Each file says by itself whether it is encrypted and with which key, so at every moment all of it can be read, and
what a death leaves half-way is gone on with.  Segments as their writers left them become Parquet: their lines would
not keep their places otherwise.
"""

from __future__ import annotations

import os
import re
import shutil
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.errors import HomeError
from skillfleet_nb.store import compaction
from skillfleet_nb.store.cipher import LINES, UnreadableError, is_file, is_line, key_of, lines_of
from skillfleet_nb.store.home import ASIDE, DATABASE, KEY_FILE, atomic_write, writing
from skillfleet_nb.store.locks import Busy, locked
from skillfleet_nb.store.segments import files, label
from skillfleet_nb.store.unlocking import cipher_for, read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from skillfleet_nb.store.cipher import Cipher

_WAIT_S = 5.0  # for a stream that others write to in turn
_PASSES = 4  # what was begun before the home was encrypted may be written behind the first
_CONTENT = ("programs", "blobs", "improvements")  # folders of files that are read as a whole
_STREAMS = ("journal", "trash")
_WHOLE = {"parcel.bin", "output.log"}
_CONTROL = "control.jsonl"
_DRAFT = re.compile(r"\..+\.(\d+)\.[0-9a-f]{8}")  # as `atomic_write` calls it, with its process
_MADE_ANEW = ("vectors", "tmp", "engines")
_WITHOUT_CONTENT = {KEY_FILE, ".gitignore", "format", "trusted", "pid", "fleet.turn"}
_WITHOUT_CONTENT_IN = {"rates", "slots"}


class Rewritten(NamedTuple):
    """How many files were rewritten, and which could not be, each with the reason."""

    files: int
    left: tuple[str, ...]


def rewrite(
    root: Path,
    cipher: Cipher | None,
    progress: Callable[[int, int], None] | None = None,
    *,
    streams: Collection[str] | None = None,
) -> Rewritten:
    """Bring every file of a home into the form that is written with `cipher`; None is plain.

    With `streams` those of the others are left as they are.

    Raises
    ------
    HomeError
        If the home cannot be written, or a file read back differs; what was done till then stays.
    """
    done = 0
    for aside in (root / "journal").glob(f"{ASIDE}*"):  # of an erasure that died
        shutil.rmtree(aside)
    for _ in range(_PASSES):
        places = [*_parts(root), *(part for backup in _folders(root / "backups") for part in _parts(backup))]
        if streams is not None:
            places = [place for place in places if place.parent.name not in _STREAMS or place.name in streams]
        total, left, before = sum(map(_size, places)), [], done
        seen = 0
        for place in places:
            if progress is not None:
                progress(seen, total)
            seen += _size(place)
            try:
                done += _stream(place, cipher) if place.parent.name in _STREAMS else _files(place, cipher)
            except Busy:
                left.append(f"{place.relative_to(root)} is being written")
            except UnreadableError as damage:
                left.append(str(damage))
        if progress is not None:
            progress(total, total)
        if done == before or left:
            break
    return Rewritten(done, tuple(left))


def plain_files(root: Path) -> list[str]:
    """List the files of a home with some content that are not encrypted, by path in it."""
    return sorted(
        str(file.relative_to(root))
        for file in root.rglob("*")
        if file.is_file() and _has_content(file, file.relative_to(root).parts) and not _is_encrypted(file)
    )


def forget_what_is_made_anew(root: Path) -> None:
    """Delete databases, indexes and the like that lie in a home as they are; such of backups too."""
    with writing(root):
        for place in (root, *_folders(root / "backups")):
            for file in place.glob(f"{DATABASE}*"):
                file.unlink()
        for name in _MADE_ANEW:
            shutil.rmtree(root / name, ignore_errors=True)
        for log in (root / "queue").glob("*.log"):
            log.unlink()


def _parts(place: Path) -> Iterator[Path]:
    """Yield the folders of a home or backup whose files have content, each stream by itself."""
    for name in _STREAMS:
        yield from _folders(place / name)
    yield from (folder for name in (*_CONTENT, "trash") if (folder := place / name).is_dir())


def _folders(place: Path) -> list[Path]:
    listed = sorted(place.iterdir()) if place.is_dir() else []
    return [one for one in listed if one.is_dir() and not one.is_symlink() and not one.name.startswith(ASIDE)]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _files(folder: Path, cipher: Cipher | None) -> int:
    _clear(folder)
    return sum(_file(file, cipher) for file in sorted(folder.iterdir()) if file.is_file() and not file.is_symlink())


def _clear(folder: Path) -> None:
    """Delete what writers that have died left half-written."""
    for file in folder.glob(".*"):
        draft = _DRAFT.fullmatch(file.name)
        if draft is not None and not _lives(int(draft[1])):
            file.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return process != os.getpid()


def _file(path: Path, cipher: Cipher | None) -> bool:
    """Rewrite a file that is read as a whole, at its age and with its rights; return whether it was to be."""
    data = path.read_bytes()
    if (key_of(data) if is_file(data) else None) == (None if cipher is None else cipher.current):
        return False
    plain, status = read_bytes(path), path.stat()
    new = plain if cipher is None else cipher.encrypted(plain)
    if cipher is not None and cipher.decrypted(new) != plain:
        raise HomeError(f"'{path}' does not read back as it was: check the memory of this machine.")
    _put(path, new, status)
    return True


def _put(path: Path, data: bytes, status: os.stat_result) -> None:
    with writing(path):
        atomic_write(path, data)
        path.chmod(status.st_mode & 0o7777)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _stream(folder: Path, cipher: Cipher | None) -> int:
    """Rewrite the files of a stream that nobody writes; raises `Busy` where somebody does."""
    done = 0
    with locked(folder / "alive.lock", wait_s=_WAIT_S):
        compaction.tidy(folder)
        _clear(folder)
        for _, forms in groupby(files(folder), key=lambda segment: segment.name):
            *_, segment = forms
            if segment.compacted:
                done += _file(segment.path, cipher)
            elif segment.size and not _is_in_form(segment.path, cipher):
                with compaction.compacted(segment, cipher, hashed=False) as put_in_place:
                    put_in_place()
                done += 1
        for name in sorted(_WHOLE):
            if (folder / name).exists():
                done += _file(folder / name, cipher)
        if (folder / _CONTROL).exists() and not _is_in_form(folder / _CONTROL, cipher):
            _lines(folder / _CONTROL, cipher)
            done += 1
    return done


def _is_in_form(path: Path, cipher: Cipher | None) -> bool:
    """Tell whether all whole lines of a file are written with `cipher`; a torn one has to be, too."""
    lines = lines_of(path.read_bytes())
    if cipher is None:
        return not any(map(is_line, lines))
    heads = tuple(sign + cipher.current.encode() for sign in LINES)
    return all(line.startswith(heads) for line in lines)


def _lines(path: Path, cipher: Cipher | None) -> None:
    """Rewrite the lines of a file that are read one by one."""
    lines = lines_of(path.read_bytes())
    if any(map(is_line, lines)):
        lines = list(map(cipher_for(path).lines(label(path)).decrypted, lines))
    whole = [line for line in lines if line.endswith(b"\n")]
    new = whole if cipher is None else list(map(cipher.lines(label(path)).encrypted_evenly, whole))
    _put(path, b"".join(new), path.stat())


def _has_content(file: Path, parts: tuple[str, ...]) -> bool:
    if file.suffix == ".lock" or parts[-1] in _WITHOUT_CONTENT or parts[0] in _WITHOUT_CONTENT_IN:
        return False
    return file.suffix not in {".lent", ".claim"} and file.stat().st_size > 0


def _is_encrypted(file: Path) -> bool:
    with file.open("rb") as content:
        if file.suffix == ".jsonl":
            return all(map(is_line, content))
        head = content.read(64)
    return is_file(head)
