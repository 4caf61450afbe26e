"""Operating-system locks on files: the kernel frees them on any death of their holder."""

from __future__ import annotations

import errno
import functools
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import portalocker

from skillfleet_nb.errors import HomeError
from skillfleet_nb.store.home import writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EXCLUSIVE = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
_SHARED = portalocker.LockFlags.SHARED | portalocker.LockFlags.NON_BLOCKING
_NO_ROOM = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT}  # to make or change a file
_NAP_S = 0.002  # the same for all, or who waits longest would ask least often


class Busy(Exception):  # noqa: N818  not an error: the caller goes on without the lock
    """The lock was not free within the time allowed."""


class HeldByOtherProgram(Busy):
    """A program that does not take our locks has the database open."""


@functools.cache  # what it proves holds for the life of the process
def prove(folder: Path) -> None:
    """Refuse a folder on whose file system locks exclude nobody, as on some network drives.

    Raises
    ------
    HomeError
        If two descriptors of one file there can both be locked, or none can.
    """
    probe = folder / f".lock-probe-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with locked(probe), suppress(Busy), locked(probe):
            raise HomeError(
                f"locks do not work in '{folder}': two writers could spoil each other's work there. "
                "Put the home on a local disk: set SKILLFLEET_HOME."
            )
    finally:
        with suppress(OSError):  # in a folder that cannot be written it says so before that there is none
            probe.unlink()


def acquire(path: Path, *, shared: bool = False, wait_s: float = 0.0) -> int:
    """Lock `path`, created where missing, and return the descriptor whose closing frees it.

    Locks belong to the open file, so two threads of one process exclude each other as well.  A shared one needs
    no right to write.

    Raises
    ------
    Busy
        If others held the lock for `wait_s` seconds.
    HomeError
        If the file cannot be created, or its file system has no locks.
    """
    fd = _opened(path, shared=shared)
    deadline = time.monotonic() + wait_s
    try:
        while True:
            try:
                portalocker.lock(fd, _SHARED if shared else _EXCLUSIVE)
            except portalocker.AlreadyLocked:
                if time.monotonic() >= deadline:
                    raise Busy(str(path)) from None
                time.sleep(_NAP_S)
            except portalocker.LockException as error:
                raise HomeError(
                    f"cannot lock '{path}': {error}. Put the home on a local disk: set SKILLFLEET_HOME."
                ) from error
            else:
                return fd
    except BaseException:
        os.close(fd)
        raise


def _opened(path: Path, *, shared: bool) -> int:
    how = getattr(os, "O_CLOEXEC", 0)
    with writing(path):
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | how, 0o666)
        except OSError as error:
            if not shared or error.errno not in _NO_ROOM:
                raise
            # Where it is missing and cannot be made, its folder will do: that lets readers in alone.
            with suppress(FileNotFoundError):
                return os.open(path, os.O_RDONLY | how)
            return os.open(path.parent, os.O_RDONLY | how)


@contextmanager
def locked(path: Path, *, shared: bool = False, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock on `path` for the time of a ``with`` block; raises as `acquire` does."""
    fd = acquire(path, shared=shared, wait_s=wait_s)
    try:
        yield
    finally:
        os.close(fd)
