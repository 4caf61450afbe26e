"""Commands about the encryption of a home."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from skillfleet_nb.commands.asking import agreed, secret
from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.views import Note
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted
from skillfleet_nb.store.encryption import grouped

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.store import Encrypted

_VARIABLE, _NEW = "SKILLFLEET_PASSPHRASE", "SKILLFLEET_NEW_PASSPHRASE"
_ENCRYPT = f"""Encrypt what the home holds: journal, Parquet, programs, blobs, parcels, logs, trash and backups.

The passphrase is asked for, or read from {_VARIABLE} (with --rotate from {_NEW}); --keyring keeps a key in the
system's keyring in its place. A recovery key is shown once, which opens the home as well. Without both nobody can read
the home again. A death in the middle loses nothing: the same command goes on."""
_UNLOCK = """Unlock an encrypted home for every process of this user on this machine, until `db lock` or a restart.

While it is unlocked its key and the database lie in a private folder in memory (/dev/shm)."""


@command(
    "db encrypt",
    "encrypt the home, or give it new keys",
    argument("--rotate", action="store_true", help="new passphrase, new recovery key, all written anew"),
    argument("--keyring", action="store_true", help="keep the key in the system's keyring, without a passphrase"),
    about=_ENCRYPT,
    examples=("db encrypt", "db encrypt --rotate"),
)
def _encrypt(c: Context, a: argparse.Namespace) -> Note:
    encryption, state = c.fleet.encryption, c.fleet.encryption.state()
    progress = c.counting("bytes encrypted")
    if a.rotate:
        done = encryption.rotate(None if a.keyring else _new_passphrase(_NEW), progress=progress)
        return Note(f"{_done(c, done)}\nwhat opened it before opens nothing of it any more")
    asks = not (a.keyring or state.is_encrypted)  # what was begun goes on with the passphrase it was begun with
    return Note(_done(c, encryption.encrypt(_new_passphrase(_VARIABLE) if asks else None, progress=progress)))


@command(
    "db decrypt",
    "make an encrypted home a plain one",
    argument("--yes", action="store_true", help="do it without asking"),
    examples=("db decrypt --yes",),
)
def _decrypt(c: Context, a: argparse.Namespace) -> Note:
    home = c.fleet.home
    if home.is_encrypted and not (a.yes or agreed(f"Write everything in {home.root} as plain files?")):
        raise InputError("db decrypt would write everything in the home as plain files: --yes does it")
    done = c.fleet.encryption.decrypt(progress=c.counting("bytes decrypted"))
    return Note(f"decrypted {counted(done.files, 'file')} in {done.seconds:.1f} s: the home is not encrypted any more")


@command(
    "db unlock",
    "unlock an encrypted home with its passphrase or recovery key",
    about=_UNLOCK,
    examples=("db unlock",),
)
def _unlock(c: Context, a: argparse.Namespace) -> Note:
    del a
    encryption = c.fleet.encryption
    if not encryption.state().is_locked:
        encrypted = c.fleet.home.is_encrypted
        return Note("it is unlocked" if encrypted else "nothing to unlock: the home is not encrypted")
    passphrase = secret("Passphrase, or recovery key")
    if passphrase is None and os.environ.get(_VARIABLE):
        raise InputError(
            f"{_VARIABLE} does not open home '{c.fleet.home.root}': set it to the passphrase, or the recovery key"
        )
    if passphrase is None:
        raise InputError(
            f"nobody can be asked for the passphrase here: set {_VARIABLE}, which opens the home by itself"
        )
    encryption.unlock(passphrase)
    return Note("unlocked, until db lock or a restart of this machine")


@command(
    "db lock",
    "take the key and the database of an encrypted home out of memory",
    examples=("db lock",),
)
def _lock(c: Context, a: argparse.Namespace) -> Note:
    del a
    was_open = c.fleet.encryption.lock()
    return Note(f"locked: {'key, database and logs are gone from memory' if was_open else 'it was locked already'}")


def _new_passphrase(variable: str) -> str:
    """Return a passphrase that is to be the home's."""
    if named := os.environ.get(variable):
        return named
    passphrase = secret("New passphrase (8 characters or more)")
    if passphrase is None:
        raise InputError(f"a passphrase is needed, and nobody can be asked for one here: set {variable}, or --keyring")
    if secret("The same once more") != passphrase:
        raise InputError("the two passphrases differ: begin again")
    return passphrase


def _done(c: Context, done: Encrypted) -> str:
    other = "the key in the keyring" if "keyring" in c.fleet.encryption.state().opened_by else "the passphrase"
    lines = [
        f"encrypted {counted(done.files, 'file')} in {done.seconds:.1f} s",
        f"recovery key: {done.recovery_key}",
        f"shown this once and kept nowhere: keep it apart from the home; without it and {other} all is lost",
    ]
    if done.plain:
        lines.append(f"not encrypted: {', '.join(grouped(done.plain))}")
    return "\n".join(lines)
