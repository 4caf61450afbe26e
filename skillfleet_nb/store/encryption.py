"""An encrypted home: how it becomes one, gets new keys, is locked and unlocked, and becomes a plain one again."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from skillfleet_nb.errors import HomeError, InputError, JobError
from skillfleet_nb.format import counted
from skillfleet_nb.store import backups, schema, tickets, unlocking
from skillfleet_nb.store.audit import Trail
from skillfleet_nb.store.database import Database
from skillfleet_nb.store.home import ENCRYPTED_FORMAT, FORMAT, KEY_FILE, atomic_write, sync_folder, writing
from skillfleet_nb.store.key_file import (
    KeyFile,
    check_installed,
    forget_in_keyring,
    new_identity,
    new_main_key,
    new_slots,
)
from skillfleet_nb.store.locks import Busy, locked
from skillfleet_nb.store.private_folder import private_folder
from skillfleet_nb.store.rewriting import forget_what_is_made_anew, plain_files, rewrite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from skillfleet_nb.store.audit import Action
    from skillfleet_nb.store.cipher import Cipher
    from skillfleet_nb.store.home import Home
    from skillfleet_nb.store.records import ResetReport

    _Progress = Callable[[int, int], None] | None

_WAIT_S = 60.0


@dataclass(frozen=True)
class Encrypted:
    """What came of an encryption, a rotation or a decryption.

    Attributes
    ----------
    recovery_key
        Opens the home in place of the passphrase; it is kept nowhere.  None where the home is plain now.
    files, seconds
        How many files were rewritten, and how long it took.
    plain
        Files of the home that are not encrypted.
    """

    recovery_key: str | None
    files: int
    seconds: float
    plain: tuple[str, ...]


@dataclass(frozen=True)
class EncryptionState:
    """How a home is protected.

    Attributes
    ----------
    is_encrypted, is_locked
        Whether it is encrypted, and whether its key is missing here.
    unfinished
        What was begun and not finished: ``"encrypting"``, ``"rotating"``, ``"decrypting"``; None where nothing is.
    opened_by
        What opens it, such as ``"passphrase"`` and ``"recovery"``.
    plain
        Files of the home with content that are not encrypted, by path in it.
    """

    is_encrypted: bool
    is_locked: bool
    unfinished: str | None
    opened_by: tuple[str, ...]
    plain: tuple[str, ...]

    @property
    def in_words(self) -> str:
        """Say it in a line."""
        if not self.is_encrypted:
            return "not encrypted"
        parts = [f"AES-256-GCM, opened by {' or '.join(self.opened_by)}"]
        parts += ["locked"] * self.is_locked
        parts += [f"{self.unfinished} was not finished: begin it again"] if self.unfinished else []
        parts += [f"not encrypted: {', '.join(grouped(self.plain))}"] if self.plain else []
        return "; ".join(parts)


class Encryption:
    """The encryption of a home.  Reached as ``fleet.encryption``.

    Parameters
    ----------
    home
        Of which it is.
    before_lock
        Takes what rooms above keep in the private folder out of use, before that is deleted.

    Examples
    --------
    >>> import tempfile
    >>> from skillfleet_nb.store import Home
    >>> Encryption(Home.find(tempfile.mkdtemp())).state().is_encrypted
    False
    """

    def __init__(self, home: Home, before_lock: Callable[[Home], None] | None = None) -> None:
        self._home, self._before_lock = home, before_lock

    def state(self) -> EncryptionState:
        """Tell whether the home is encrypted, and what of it is not; nothing is unlocked to tell it."""
        home = self._home
        if not home.is_encrypted:
            return EncryptionState(is_encrypted=False, is_locked=False, unfinished=None, opened_by=(), plain=())
        file = KeyFile.read(home.root / KEY_FILE)
        try:
            unlocking.unlocked(home.root)
            is_locked = False
        except HomeError:
            is_locked = True
        return EncryptionState(
            is_encrypted=True,
            is_locked=is_locked,
            unfinished=None if file.state == "encrypted" else file.state,
            opened_by=tuple("recovery key" if s["kind"] == "recovery" else str(s["kind"]) for s in file.slots),
            plain=tuple(plain_files(home.root)),
        )

    def encrypt(self, passphrase: str | None, *, progress: _Progress = None) -> Encrypted:
        """Encrypt the home, or go on with what was begun and not finished.

        Parameters
        ----------
        passphrase
            8 to 1,024 characters; None keeps the key in the system's keyring.
        progress
            Called as ``progress(done, total)``, in bytes.

        Raises
        ------
        InputError
            If it is encrypted already, or the passphrase is too short or too long.
        JobError
            If jobs run or wait, naming them.
        HomeError
            If the home cannot be written, a part that is needed is not there, or a file could not be rewritten:
            what was done till then stays, and is gone on with.
        """
        check_installed()
        home = self._home.ensure()
        file, recovery = None, None
        if home.is_encrypted:
            file = KeyFile.read(home.root / KEY_FILE)
            if file.state == "encrypted":
                raise InputError(f"'{home.root}' is encrypted: --rotate gives it new keys, db decrypt takes them away")
        with self._alone("encrypt"):
            if file is None:
                identity, main = new_identity(), new_main_key()
                private_folder(home.root, identity)  # first: without such a folder nothing is to be begun
                slots, recovery = new_slots(identity, main, passphrase)
                file = KeyFile(identity, "encrypting", "", {}, slots).with_data_key(main)
                with Database(home, schema.MIGRATIONS).deleted(_WAIT_S):
                    unlocking.keep(private_folder(home.root, identity), main)
                    file.write(home.root / KEY_FILE)
                self._write_format(ENCRYPTED_FORMAT)
            else:
                file, recovery = self._gone_on_with(file)
            Trail(home).record("home.encrypt", "", "begun")
            return self._finish(file, recovery, "home.encrypt", progress)

    def rotate(self, passphrase: str | None, *, progress: _Progress = None) -> Encrypted:
        """Give the home a new passphrase, a new recovery key and a new data key, with which all is written anew.

        Parameters are those of `encrypt`, and so is what it raises; `InputError` where the home is not encrypted.
        Whoever has the passphrase of before and a copy of the home of before can read that copy, and no more.
        """
        check_installed()
        home = self._home
        if not home.is_encrypted:
            raise InputError(f"'{home.root}' is not encrypted: db encrypt does that")
        with self._alone("rotate"):
            opened, before = unlocking.unlocked(home.root), unlocking.main_key(home.root)
            if opened.file.state == "decrypting":
                raise InputError(f"'{home.root}' is half decrypted: finish it with db decrypt, or db encrypt undoes it")
            main = new_main_key()
            slots, recovery = new_slots(opened.file.identity, main, passphrase)
            file = replace(opened.file, state="rotating", slots=slots).with_data_key(main, opened.cipher)
            unlocking.keep(opened.folder, main, before)  # both: a death between these two lines locks nobody out
            file.write(home.root / KEY_FILE)
            unlocking.keep(opened.folder, main)
            forget_in_keyring(opened.file.slots)
            Trail(home).record("home.rotate", "", "begun")
            return self._finish(file, recovery, "home.rotate", progress)

    def decrypt(self, *, progress: _Progress = None) -> Encrypted:
        """Make the home a plain one; raises as `rotate` does."""
        home, started = self._home, time.perf_counter()
        if not home.is_encrypted:
            raise InputError(f"'{home.root}' is not encrypted")
        with self._alone("decrypt"):
            opened = unlocking.unlocked(home.root)
            self._leave_folder()
            Trail(home).record("home.decrypt", "", "begun")
            replace(opened.file, state="decrypting").write(home.root / KEY_FILE)
            done = self._rewritten(None, progress)
            with Database(home, schema.MIGRATIONS).deleted(_WAIT_S):
                self._write_format(FORMAT)
                (home.root / KEY_FILE).unlink()
                sync_folder(home.root)
            unlocking.forget(home.root, opened.folder)
            forget_in_keyring(opened.file.slots)
        Trail(home).record("home.decrypt", "", f"done: {counted(done, 'file')}")
        return Encrypted(None, done, time.perf_counter() - started, ())

    def unlock(self, passphrase: str) -> None:
        """Unlock the home for every process of this user on this machine, until it is locked or the machine restarts.

        Parameters
        ----------
        passphrase
            Or the recovery key.

        Raises
        ------
        InputError
            If it does not open the home, or the home is not encrypted.
        """
        if not self._home.is_encrypted:
            raise InputError(f"'{self._home.root}' is not encrypted")
        check_installed()
        unlocking.unlock(self._home.root, passphrase)

    def lock(self) -> bool:
        """Take the key, the database and all else that lies in memory away; return whether anything did.

        Raises
        ------
        JobError
            If jobs run or wait, naming them.
        InputError
            If the home is not encrypted.
        """
        home = self._home
        if not home.is_encrypted:
            raise InputError(f"'{home.root}' is not encrypted")
        self._refuse_busy("lock")
        if not self.state().is_locked:
            self._leave_folder()
        try:
            with locked(home.lock, wait_s=_WAIT_S):
                return unlocking.lock(home.root)
        except Busy:
            raise HomeError(f"the database of '{home.root}' is being read: try again later.") from None

    def _leave_folder(self) -> None:
        if self._before_lock is not None:
            self._before_lock(self._home)

    def _gone_on_with(self, file: KeyFile) -> tuple[KeyFile, str | None]:
        """Go on with what was begun; whoever began it may never have seen the recovery key, which is a new one."""
        opened = unlocking.unlocked(self._home.root)
        state = "encrypting" if file.state == "decrypting" else file.state
        anew, recovery = replace(opened.file, state=state).with_recovery_key(unlocking.main_key(self._home.root))
        anew.write(self._home.root / KEY_FILE)
        self._write_format(ENCRYPTED_FORMAT)
        return anew, recovery

    def _finish(self, file: KeyFile, recovery: str | None, action: Action, progress: _Progress) -> Encrypted:
        home, started = self._home, time.perf_counter()
        done = self._rewritten(unlocking.unlocked(home.root).cipher, progress)
        forget_what_is_made_anew(home.root)
        file.done().write(home.root / KEY_FILE)
        Trail(home).record(action, "", f"done: {counted(done, 'file')}")
        return Encrypted(recovery, done, time.perf_counter() - started, tuple(plain_files(home.root)))

    def _rewritten(self, cipher: Cipher | None, progress: _Progress) -> int:
        done = rewrite(self._home.root, cipher, progress)
        if done.left:
            more = f", and {len(done.left) - 1} more" if len(done.left) > 1 else ""
            raise HomeError(f"not finished: {done.left[0].rstrip('.')}{more}. Mend it, and begin again: it goes on.")
        return done.files

    def _write_format(self, number: int) -> None:
        with writing(self._home.root):
            atomic_write(self._home.root / "format", f"{number}\n".encode())

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """Keep jobs, compactions and the like from crossing this."""
        self._refuse_busy(what)
        try:
            with locked(self._home.root / "compact.lock"):
                yield
        except Busy:
            raise HomeError(f"'{self._home.root}' is in use or compacted just now: try again later.") from None

    def _refuse_busy(self, what: str) -> None:
        streams = [*backups.streams(self._home.journal)]
        busy = [stream for stream in streams if tickets.is_owned(self._home, stream)]
        if busy:
            raise JobError(f"cannot {what} the home while it is written: {', '.join(busy)}. Cancel it, or wait.")


def copied_back(home: Home, folder: Path) -> ResetReport:
    """Copy the jobs and programs of a backup into a home, as it is encrypted; raises as `backups.copy_back` does."""
    report = backups.copy_back(home, folder)
    if (cipher := unlocking.cipher_of(home.root)) is not None:
        rewrite(home.root, cipher, streams=report.jobs)
    return report


def grouped(files: tuple[str, ...]) -> list[str]:
    """Name files by their first folder, each with how many there are.

    Examples
    --------
    >>> grouped(("config.toml", "exports/a.csv", "exports/b.csv"))
    ['config.toml', 'exports/ (2 files)']
    """
    by_folder: dict[str, int] = {}
    for file in files:
        head, sep, _ = file.partition(os.sep)
        by_folder[head + sep] = by_folder.get(head + sep, 0) + 1
    return [f"{name} ({counted(n, 'file')})" if name.endswith(os.sep) else name for name, n in by_folder.items()]
