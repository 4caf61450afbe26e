"""The header of a GGUF file: what a model is, without its weights."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)  # what the engine reads; version 1 had lengths of another size
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

Header = dict[str, "str | int | float | bool"]


def read_header(path: Path) -> Header:
    """Read the keys of a GGUF file that are numbers or text; arrays, such as the vocabulary, are passed over.

    Raises
    ------
    InputError
        If it cannot be read, is no GGUF file, or ends within its header.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Cursor(data).header(path)
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        if isinstance(error, InputError):
            raise
        why = error.strerror if isinstance(error, OSError) else "it is empty"
        raise InputError(f"weights '{path}' cannot be read: {why}; name a GGUF file.") from error
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise InputError(f"weights '{path}' end within their header: copy or download the file again.") from error


class _Cursor:
    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def header(self, path: Path) -> Header:
        if self._data[:4] != _MAGIC:
            raise InputError(f"weights '{path}' are no GGUF file: name a file of that format.")
        self._at = 4
        version = self._number("I")
        if version not in _VERSIONS:
            raise InputError(f"weights '{path}' have GGUF version {version}: versions 2 and 3 can be read.")
        self._number("Q")  # tensors
        pairs = ((self._text(), self._value(int(self._number("I")))) for _ in range(int(self._number("Q"))))
        return {key: value for key, value in pairs if value is not None}

    def _number(self, code: str) -> int | float | bool:
        (value,) = struct.unpack_from(f"<{code}", self._data, self._at)
        self._at += struct.calcsize(code)
        number: int | float | bool = value
        return number

    def _text(self) -> str:
        return self._take(int(self._number("Q"))).decode()

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise IndexError
        self._at += size
        return self._data[self._at - size : self._at]

    def _value(self, kind: int) -> str | int | float | bool | None:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._number(_code(kind))
        items, count = int(self._number("I")), int(self._number("Q"))
        if items == _STRING:
            self._pass_over_texts(count)
        else:
            self._take(count * struct.calcsize(_code(items)))
        return None

    def _pass_over_texts(self, count: int) -> None:
        """Step over texts, of which a vocabulary has a hundred thousand."""
        length_at, place, end = struct.Struct("<Q").unpack_from, self._at, len(self._data)
        for _ in range(count):
            place += 8 + length_at(self._data, place)[0]
            if place > end:
                raise IndexError
        self._at = place


def _code(kind: int) -> str:
    if kind not in _SCALARS:
        raise IndexError  # a kind that the format does not have: what is read is no header any more
    return _SCALARS[kind]
