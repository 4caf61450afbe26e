"""Who may read an encrypted home: the key comes from memory, the environment, a keyring, or a person who unlocks it.

While a home is unlocked its main key lies in the private folder in memory, beside the database: whoever can read
the one can read the other.  So kernels, workers and shells of a user need no passphrase of their own, and `lock`
takes it from all of them.
"""

from __future__ import annotations

import functools
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.errors import HomeError, InputError
from skillfleet_nb.messages import as_typed
from skillfleet_nb.store import cipher as ciphers
from skillfleet_nb.store.home import KEY_FILE, atomic_write, writing
from skillfleet_nb.store.key_file import KeyFile
from skillfleet_nb.store.private_folder import made, private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.store.cipher import Cipher

VARIABLE = "SKILLFLEET_PASSPHRASE"
_KEY, _KEY_BYTES = "key", 32


class LockedError(HomeError):
    """The home is encrypted, and nobody has unlocked it."""


class Unlocked(NamedTuple):
    """An encrypted home that can be read: its keys, and its private folder in memory."""

    file: KeyFile
    cipher: Cipher
    folder: Path


def unlocked(root: Path) -> Unlocked:
    """Return the keys of an encrypted home.

    Raises
    ------
    LockedError
        If it is locked, and neither the environment nor a keyring opens it.
    HomeError
        If its key file is damaged, or this machine has no memory file system.
    """
    kept = _kept().get(root)
    if kept is not None and kept[0] == _signature(root, kept[1].folder):
        return kept[1]
    file = KeyFile.read(root / KEY_FILE)
    folder = private_folder(root, file.identity)
    cipher = next(filter(None, map(file.cipher, _in_memory(folder))), None)
    if cipher is None:
        main = _of_environment(root, file) or file.main_key_of_keyring()
        cipher = file.cipher(main) if main else None
        if main is None or cipher is None:
            raise LockedError(
                f"home '{root}' is encrypted and locked: {as_typed('db unlock')} asks for its passphrase; "
                f"or set {VARIABLE}."
            )
        keep(folder, main)
    signature = _signature(root, folder)
    opened = Unlocked(file, cipher, folder)
    _kept()[root] = signature, opened
    return opened


def unlock(root: Path, secret: str) -> None:
    """Unlock an encrypted home for every process of this user on this machine, until `lock` or its next start.

    Parameters
    ----------
    secret
        The passphrase, or the recovery key.

    Raises
    ------
    InputError
        If it opens nothing.
    HomeError
        As :func:`unlocked` does.
    """
    file = KeyFile.read(root / KEY_FILE)
    main = file.main_key(secret)
    if main is None:
        raise InputError(f"this passphrase does not open home '{root}': give the passphrase, or the recovery key")
    keep(private_folder(root, file.identity), main)
    unlocked(root)


def main_key(root: Path) -> bytes:
    """Return the main key of an encrypted home; raises as :func:`unlocked` does."""
    opened = unlocked(root)
    mains = [main for main in _in_memory(opened.folder) if opened.file.cipher(main) is not None]
    if not mains:  # locked at this moment
        raise LockedError(f"home '{root}' was locked meanwhile: unlock it, and begin again.")
    return mains[0]


def lock(root: Path) -> bool:
    """Take key, database and all else that lies in memory away; return whether there was any."""
    return forget(root, private_folder(root, KeyFile.read(root / KEY_FILE).identity))


def forget(root: Path, folder: Path) -> bool:
    """Delete the private folder of a home; return whether there was one."""
    _kept().pop(root, None)
    if not folder.exists():
        return False
    with writing(folder):
        (folder / _KEY).unlink(missing_ok=True)  # first: nobody opens it anew meanwhile
        shutil.rmtree(folder)
    return True


def keep(folder: Path, *mains: bytes) -> None:
    """Keep the main key in the private folder, or while it is changed both."""
    made(folder)
    with writing(folder):
        atomic_write(folder / _KEY, b"".join(mains))  # in a folder that only this user may enter


def cipher_of(root: Path) -> Cipher | None:
    """Return what encrypts that which is written to a home, None where it is to be plain; raises as `unlocked` does."""
    if not (root / KEY_FILE).exists():
        return None
    opened = unlocked(root)
    return None if opened.file.state == "decrypting" else opened.cipher


def home_above(path: Path) -> Path | None:
    """Return the encrypted home that a file lies in; None where it lies in none."""
    return next((folder for folder in path.parents if (folder / KEY_FILE).exists()), None)


def cipher_for(path: Path) -> Cipher:
    """Return what decrypts a file by where it lies.

    Raises
    ------
    HomeError
        If it is in no encrypted home; and as `unlocked` does.
    """
    root = home_above(path)
    if root is None:
        raise HomeError(f"'{path}' is encrypted, and lies in no encrypted home: decrypt it in the home it comes from.")
    return unlocked(root).cipher


def read_bytes(path: Path) -> bytes:
    """Read a file of a home, encrypted or not.

    Raises
    ------
    HomeError
        If it is damaged, or the home is locked.
    OSError
        If it cannot be read.
    """
    data = path.read_bytes()
    if not ciphers.is_file(data):
        return data
    try:
        return cipher_for(path).decrypted(data)
    except ciphers.UnreadableError as error:
        raise ciphers.UnreadableError(f"'{path}': {error}") from None


def write_bytes(root: Path, path: Path, data: bytes) -> None:
    """Write a file of a home, whole or not at all, encrypted where the home is."""
    cipher = cipher_of(root)
    atomic_write(path, data if cipher is None else cipher.encrypted(data))


def _in_memory(folder: Path) -> list[bytes]:
    with suppress(FileNotFoundError):
        data = (folder / _KEY).read_bytes()
        made(folder)  # which refuses that of somebody else
        return [data[start : start + _KEY_BYTES] for start in range(0, len(data), _KEY_BYTES)]
    return []


def _of_environment(root: Path, file: KeyFile) -> bytes | None:
    secret = os.environ.get(VARIABLE)
    if not secret:
        return None
    main = file.main_key(secret)
    if main is None:
        raise LockedError(f"{VARIABLE} does not open home '{root}': set it to the passphrase, or the recovery key.")
    return main


@functools.cache  # for the life of the process; the loss of one costs no more than to unlock it again
def _kept() -> dict[Path, tuple[tuple[object, ...], Unlocked]]:
    return {}


def _signature(root: Path, folder: Path) -> tuple[object, ...]:
    """Return what changes when the keys do, or are taken away."""
    looks: list[object] = []
    for file in (root / KEY_FILE, folder / _KEY):
        try:
            status = file.stat()
        except FileNotFoundError:
            return (object(),)  # equal to no other
        looks.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(looks)
