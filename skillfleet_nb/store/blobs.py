"""Blobs of a home: images, audio and files, once each under their hash, beside the journal that refers to them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from skillfleet_nb import blobs
from skillfleet_nb.blobs import Blob, Reference, references
from skillfleet_nb.errors import NotFoundError
from skillfleet_nb.store.home import writing
from skillfleet_nb.store.unlocking import read_bytes, write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.security import Redactor
    from skillfleet_nb.store.home import Home

_LONGEST_NAME, _SHORTEST = 80, 64


class Blobs:
    """The blobs of one home.

    Examples
    --------
    >>> import base64, tempfile
    >>> from skillfleet_nb.store import Home
    >>> kept = Blobs(Home.find(tempfile.mkdtemp()))
    >>> line = b"data:text/plain;base64," + base64.b64encode(b"a" * 60)
    >>> short = kept.taken_out(line).decode()
    >>> kept.put_back(short) == line.decode(), kept.find(short).data[:3]
    (True, b'aaa')
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self._home.blobs

    def keep(self, blob: Blob) -> None:
        """Keep data; where it is there already, note that it was met again.

        Raises
        ------
        HomeError
            If the home cannot be written.
        """
        path = self.folder / blob.name
        with writing(path):
            if path.exists():
                path.touch()  # or it might be swept as the event that refers to it is written
                return
            self._home.ensure()
            path.parent.mkdir(exist_ok=True)
            write_bytes(self._home.root, path, blob.data)

    def taken_out(self, text: bytes, redactor: Redactor | None = None) -> bytes:
        """Put references in the place of data in a text, and keep it; of data that is text what a redactor leaves."""
        return blobs.taken_out(text, self.keep, None if redactor is None else redactor.data)

    def put_back(self, text: str) -> str:
        """Put the data in the place of the references to it; one that is gone stays as it is."""
        return blobs.put_back(text, self.read)

    def read(self, reference: Reference) -> bytes | None:
        """Return what a reference stands for; None where it is gone, or is not what it was."""
        for path in self.folder.glob(f"{reference.digest}.*"):
            data = read_bytes(path)
            if hashlib.sha256(data).hexdigest() == reference.digest:
                return data
        return None

    def find(self, text: str) -> Blob:
        """Return the first blob that a text refers to, or that is named by its hash or the beginning of it.

        Raises
        ------
        NotFoundError
            If there is none, or more than one hash begins so.
        """
        named = references(text)
        wanted = named[0].digest if named else text.strip().removesuffix("…")
        files = sorted(self.folder.glob(f"{wanted}*")) if wanted.isalnum() else []
        if len(files) != 1:
            what = f"{len(files)} blobs begin with" if files else "no blob has"
            raise NotFoundError(
                f"{what} {wanted[:_LONGEST_NAME]!r}: give a reference, or its hash, as `lm_calls.prompt` tells them"
            )
        data = read_bytes(files[0])
        return Blob(named[0].type if named else blobs.type_of(data), data)


def packing(kept: Blobs) -> Any:
    """Make the method by which a pickler keeps texts that carry data outside of what it packs."""

    def persistent_id(_: object, value: object) -> tuple[str, str] | None:
        if type(value) is not str or len(value) < _SHORTEST or not blobs.may_hold(value.encode("utf-8", "replace")):
            return None
        short = kept.taken_out(value.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
        return None if short == value else ("blob", short)

    return persistent_id


def unpacking(kept: Blobs) -> Any:
    """Make the method by which an unpickler takes them in again."""

    def persistent_load(_: object, reference: tuple[str, str]) -> str:
        whole = kept.put_back(reference[1])
        if whole == reference[1]:
            raise NotFoundError(f"a blob is gone that the job was given: {reference[1][:_LONGEST_NAME]}")
        return whole

    return persistent_load
