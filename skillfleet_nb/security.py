"""Signatures: a pickled blob is opened only by the home that made it.

Unpickling runs code, so a blob is signed with a key that never leaves the home, and one that is
unsigned, altered or from elsewhere is refused before a byte of it is read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from typing import TYPE_CHECKING

from skillfleet_nb.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES = 32
_MAGIC = b"skillfleet-signed-1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size


def home_key(path: Path) -> bytes:
    """Return the key kept at `path`, made on first use and readable by its owner alone.

    Safe between processes: whoever is first makes it, all others read that one.
    """
    if not path.exists():
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                path.hardlink_to(made)  # whole or not at all, and never over another's
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                if not path.exists():
                    made.replace(path)
        finally:
            made.unlink(missing_ok=True)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise JobError(
            f"the key '{path}' is damaged ({len(key)} bytes, not {KEY_BYTES}): delete it; "
            "jobs started before cannot be resumed then"
        )
    return key


def sign(blob: bytes, key: bytes) -> bytes:
    """Put a keyed hash (HMAC-SHA256) before `blob`.

    Examples
    --------
    >>> verified(sign(b"work", b"k" * 32), b"k" * 32)
    b'work'
    """
    return _MAGIC + hmac.digest(key, blob, "sha256") + blob


def verified(signed: bytes, key: bytes, what: str = "the blob") -> bytes:
    """Return what was signed.

    Raises
    ------
    JobError
        If it is unsigned, altered, or signed with another key.
    """
    digest, blob = signed[len(_MAGIC) :][:_DIGEST_BYTES], signed[len(_MAGIC) + _DIGEST_BYTES :]
    if not signed.startswith(_MAGIC):
        raise JobError(f"{what} is not signed, and is refused: start the job anew")
    if not hmac.compare_digest(digest, hmac.digest(key, blob, "sha256")):
        raise JobError(f"{what} was altered, or comes from another home, and is refused: start the job anew")
    return blob
