"""What an encrypted home holds, as bytes: files, and single lines that are appended to one.

Both are AES-256-GCM, under keys that are derived from a data key of the home: of each file by a salt of its own, of
the lines of a segment by its stream and number.  Each says which data key it needs, so that under a rotation those of
the old key and those of the new one lie side by side::

    file   magic, name of the data key (4 bytes), salt (16), pieces of ciphertext, each with its tag (16)
    line   "~", name of the data key (8 hexadecimal digits), nonce (12), ciphertext and tag (16), line feed

In a line, line feeds of the ciphertext are escaped, which costs a hundredth of its length; where lines of one length
have to stay that, they are written in base64, behind a "=".
A line is appended in one write, as any other, and a torn one is the last of its file.
"""

from __future__ import annotations

import hmac
import os
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING

from skillfleet_nb.errors import HomeError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MAGIC = b"\x89SKILLFLEET1\n"
_LINE, _EVEN = b"~", b"="
LINES = (_LINE, _EVEN)
"""What an encrypted line begins with, and no other."""
_NAME, _SALT, _NONCE, _TAG, _COUNT = 4, 16, 12, 16, 5
_HEAD = len(_MAGIC) + _NAME + _SALT
_TEXT = len(_LINE) + 2 * _NAME  # of a line, before its nonce
_PIECE = 16 << 20
_LAST = 1 << 95  # in the nonce of the last piece, so that none can be missing behind it


class UnreadableError(HomeError):
    """What is encrypted does not fit its key: it was damaged, or is not what it is taken for."""


def is_file(data: bytes) -> bool:
    """Tell whether a file is encrypted, by its beginning."""
    return data.startswith(_MAGIC)


def is_line(line: bytes) -> bool:
    """Tell whether a line is encrypted."""
    return line.startswith(LINES)


def key_of(data: bytes) -> str:
    """Name the data key that an encrypted file needs."""
    return data[len(_MAGIC) : len(_MAGIC) + _NAME].hex()


def is_encrypted(path: Path) -> bool:
    """Tell whether a file, or the first line of it, is encrypted; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except OSError:
        return False
    return is_file(head) or is_line(head)


def key_needed(path: Path) -> str | None:
    """Name the data key that a file, or the first line of it, was encrypted with; None where it is plain."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if is_file(head):
        return key_of(head)
    return head[len(_LINE) : _TEXT].decode("ascii", "replace") if is_line(head) else None


@dataclass(frozen=True)
class Cipher:
    """The data keys of a home by their names, and the name of the one that is written with.

    Examples
    --------
    >>> cipher = Cipher({"00000000": bytes(32)}, "00000000")
    >>> secret = cipher.encrypted(b"a program")
    >>> is_file(secret), b"program" in secret, cipher.decrypted(secret)
    (True, False, b'a program')
    """

    keys: Mapping[str, bytes]
    current: str

    def __repr__(self) -> str:
        return f"Cipher({len(self.keys)} keys, {self.current})"

    def encrypted(self, data: bytes) -> bytes:
        """Encrypt a file."""
        salt = os.urandom(_SALT)
        key = self.derived(self.current, b"file\n" + salt)
        pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)] or [b""]
        closed = [key.encrypt(_nonce(n, n == len(pieces) - 1), piece, _MAGIC) for n, piece in enumerate(pieces)]
        return b"".join([_MAGIC, bytes.fromhex(self.current), salt, *closed])

    def decrypted(self, data: bytes) -> bytes:
        """Decrypt a file; one that is not encrypted is returned as it is.

        Raises
        ------
        UnreadableError
            If it is damaged.
        HomeError
            If it was encrypted with a key that is not of this home.
        """
        from cryptography.exceptions import InvalidTag

        if not is_file(data):
            return data
        key = self.derived(key_of(data), b"file\n" + data[_HEAD - _SALT : _HEAD])
        closed = [data[start : start + _PIECE + _TAG] for start in range(_HEAD, len(data), _PIECE + _TAG)]
        try:
            return b"".join(key.decrypt(_nonce(n, n == len(closed) - 1), one, _MAGIC) for n, one in enumerate(closed))
        except InvalidTag:
            raise UnreadableError(
                "an encrypted file is damaged: put a copy of it in its place, from a backup."
            ) from None

    def lines(self, label: str) -> Lines:
        """Return what encrypts and decrypts the lines of a file that goes by a label for good."""
        return Lines(self, b"lines\n" + label.encode())

    def derived(self, name: str, context: bytes) -> AESGCM:
        """Derive a key for one use from a data key; raises `HomeError` where the home has none of that name."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if name not in self.keys:
            raise HomeError(
                f"it is encrypted with key {name}, which this home does not have: it comes from another home, or from "
                "before a rotation. Decrypt it there."
            )
        return AESGCM(hmac.digest(self.keys[name], context, "sha256"))


class Lines:
    r"""Encrypts and decrypts lines.

    Examples
    --------
    >>> lines = Cipher({"00000000": bytes(32)}, "00000000").lines("job-1/000001")
    >>> line = lines.encrypted(b"a fact" + bytes([10]))
    >>> lines.decrypted(line), b"fact" in line
    (b'a fact\n', False)
    """

    def __init__(self, cipher: Cipher, context: bytes) -> None:
        from cryptography.exceptions import InvalidTag

        self._cipher, self._context = cipher, context
        self._keys: dict[bytes, AESGCM] = {}
        self._name = cipher.current.encode()
        # A key is of one segment, which few ever write: beside what is random, a count keeps their nonces apart.
        self._random, self._count = os.urandom(_NONCE - _COUNT), count()
        self._damage = (ValueError, InvalidTag)  # binascii's errors are the former

    def encrypted(self, line: bytes) -> bytes:
        """Encrypt a line, which ends with its line feed."""
        closed = self._closed(line).replace(b"\x1b", b"\x1b\x1c").replace(b"\n", b"\x1b\x1d")
        return b"%b%b%b\n" % (_LINE, self._name, closed)

    def encrypted_evenly(self, line: bytes) -> bytes:
        """Encrypt a line so that lines of one length are so afterwards."""
        return b"%b%b%b" % (_EVEN, self._name, b2a_base64(self._closed(line)))

    def decrypted(self, line: bytes) -> bytes:
        """Decrypt a line; one that is damaged, torn or not encrypted is returned as it is.

        Raises
        ------
        HomeError
            If the first one was encrypted with a key that is not of this home.
        """
        if not line.startswith(LINES) or not line.endswith(b"\n"):
            return line
        try:
            name = line[len(_LINE) : _TEXT]
            key = self._keys.get(name) or self._key(name)
            if line.startswith(_EVEN):
                closed = a2b_base64(line[_TEXT:])
            else:
                closed = line[_TEXT:-1].replace(b"\x1b\x1d", b"\n").replace(b"\x1b\x1c", b"\x1b")
            return key.decrypt(closed[:_NONCE], closed[_NONCE:], self._context) + b"\n"
        except self._damage:
            return line

    def _closed(self, line: bytes) -> bytes:
        nonce = self._random + next(self._count).to_bytes(_COUNT, "big")
        key = self._keys.get(self._name) or self._key(self._name)
        return nonce + key.encrypt(nonce, line[:-1], self._context)

    def _key(self, label: bytes) -> AESGCM:
        name = label.decode("ascii")
        if self._keys and name not in self._cipher.keys:
            raise ValueError(name)  # of one line among others: it is the name that is damaged
        key = self._keys[label] = self._cipher.derived(name, self._context)
        return key


def lines_of(data: bytes) -> list[bytes]:
    """Part the content of a file into its lines, each with its line feed; the last may have none."""
    return BytesIO(data).readlines()


def _nonce(number: int, is_last: bool) -> bytes:  # noqa: FBT001
    return (number | (_LAST if is_last else 0)).to_bytes(_NONCE, "big")
