"""Images, audio and files as texts carry them: base64, which nobody reads and which makes a line of a megabyte.

Wherever a text leaves the process (journal, states of programs, logs, pages, errors), a *reference* stands in its
place: type, size and SHA-256 of the data.  What is kept is kept once, under that hash (see ``store.blobs``), and can be
put back; of what is only shown nothing is kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST = 1024  # characters of base64 that are taken for data where nothing says so
_SHORTEST_URI = 64
_LEAST_KINDS = 40  # different characters in it: no word, number or sequence of letters has as many
_STEP, _WINDOW = 512, 64
_TEXT = re.compile(rb"[A-Za-z0-9+/_-]{64}")
_DATA = re.compile(
    rb"data:(?P<type>[\w.+-]+/[\w.+-]+(?:;[\w.+-]+=[\w.+-]+)*);base64,(?P<uri>[A-Za-z0-9+/_-]{%d,}+={0,2})"
    rb"|(?<![A-Za-z0-9+/_-])(?P<bare>[A-Za-z0-9+/_-]{%d,}+={0,2})" % (_SHORTEST_URI, _SHORTEST)
)
_REFERENCE = re.compile(r"(?P<form>blob|base64|verbatim):(?P<type>[\w.+/=;-]*);(?P<size>\d+);(?P<digest>[0-9a-f]{64})")
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"%PDF-": "application/pdf",
    b"OggS": "audio/ogg", b"fLaC": "audio/flac", b"ID3": "audio/mpeg", b"\xff\xfb": "audio/mpeg",
    b"PK\x03\x04": "application/zip",
}  # fmt: skip
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
UNKNOWN = "application/octet-stream"


class Blob(NamedTuple):
    """Data of a MIME type."""

    type: str
    data: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the data."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def name(self) -> str:
        """What its file is called."""
        return self.digest + (mimetypes.guess_extension(self.type.partition(";")[0]) or ".bin")

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        """Show an image or sound as itself, and anything as its type and size."""
        del include, exclude
        bundle: dict[str, object] = {"text/plain": f"{self.type}, {len(self.data):,} bytes, SHA-256 {self.digest}"}
        tag = {"image": "<img style='max-width:100%' src='{}'>", "audio": "<audio controls src='{}'></audio>"}
        if shown := tag.get(self.type.partition("/")[0]):
            bundle["text/html"] = shown.format(f"data:{self.type};base64,{base64.b64encode(self.data).decode()}")
        return bundle


class Reference(NamedTuple):
    """What stands in a text for data: `form` says how it was written there."""

    form: str
    type: str
    size: int
    digest: str

    def __str__(self) -> str:
        return f"{self.form}:{self.type};{self.size};{self.digest}"


def type_of(data: bytes) -> str:
    """Tell the MIME type of data by its first bytes.

    Examples
    --------
    >>> type_of(b"%PDF-1.7"), type_of(b"hello")
    ('application/pdf', 'application/octet-stream')
    """
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12], UNKNOWN)
    if data[4:8] == b"ftyp":
        return "audio/mp4" if data[8:11] == b"M4A" else "video/mp4"
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), UNKNOWN)


def may_hold(text: bytes) -> bool:
    """Tell at a glance whether a text may carry data; mostly it does not."""
    if b";base64," in text:
        return True
    # A run of so many characters covers a window at some step: the rest need not be looked at.
    return len(text) >= _SHORTEST and any(
        _TEXT.match(text, start) is not None for start in range(0, len(text) - _WINDOW, _STEP)
    )


def taken_out(
    text: bytes, keep: Callable[[Blob], None] | None = None, clean: Callable[[bytes], bytes] | None = None
) -> bytes:
    """Put references in the place of data; `keep` is called with each, where that is text as `clean` leaves it.

    Examples
    --------
    >>> uri = b"data:text/plain;base64," + base64.b64encode(b"a" * 60)
    >>> taken_out(b"see " + uri)[:27]
    b'see blob:text/plain;60;11ee'
    """
    if not may_hold(text):
        return text

    def refer(match: re.Match[bytes]) -> bytes:
        payload = match["uri"] or match["bare"]
        try:
            data = base64.b64decode(payload, validate=True)
        except binascii.Error:
            data = b""
        kind = type_of(data)
        if match["uri"] is None and kind == UNKNOWN and len(set(payload)) < _LEAST_KINDS:
            return match[0]
        form = "blob" if match["uri"] else "base64"
        if match["uri"]:
            kind = match["type"].decode()
        if base64.b64encode(data) != payload:  # written in a way that data alone does not tell
            form, kind, data = "verbatim", "text/plain", match[0]
        elif clean is not None and type_of(data) == UNKNOWN:
            data = clean(data)
        blob = Blob(kind, data)
        if keep is not None:
            keep(blob)
        return str(Reference(form, kind, len(data), blob.digest)).encode()

    return _DATA.sub(refer, text)


def referred(text: str) -> str:
    """Put references in the place of data in a text that is shown; nothing is kept.

    Examples
    --------
    >>> referred("nothing to see")
    'nothing to see'
    """
    if ";base64," not in text and len(text) < _SHORTEST:
        return text
    plain = text.encode("utf-8", "surrogatepass")
    out = taken_out(plain)
    return text if out is plain else out.decode("utf-8", "surrogatepass")


def references(text: str) -> list[Reference]:
    """List what stands in a text for data."""
    return [Reference(m["form"], m["type"], int(m["size"]), m["digest"]) for m in _REFERENCE.finditer(text)]


def put_back(text: str, read: Callable[[Reference], bytes | None]) -> str:
    """Undo :func:`taken_out`; what `read` does not find stays a reference."""
    if not _REFERENCE.search(text):
        return text

    def written(match: re.Match[str]) -> str:
        data = read(Reference(match["form"], match["type"], int(match["size"]), match["digest"]))
        if data is None:
            return match[0]
        if match["form"] == "verbatim":
            return data.decode()
        encoded = base64.b64encode(data).decode()
        return encoded if match["form"] == "base64" else f"data:{match['type']};base64,{encoded}"

    return _REFERENCE.sub(written, text)
