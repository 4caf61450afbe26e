"""One engine for all processes of a home: started by whoever needs it first, found again by the others."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skillfleet_nb.errors import LMError
from skillfleet_nb.store import locks
from skillfleet_nb.store.home import writing

if TYPE_CHECKING:
    from skillfleet_nb.local.weights import Weights
    from skillfleet_nb.store import Home

ALIVE, USERS, ADDRESS, READY = "alive.lock", "users.lock", "address.json", "ready"
_PROCESS = "skillfleet_nb.local.process"
_LOG = "engine.log"
_START_S = 300.0  # for weights of some gigabytes on a slow disk
_NAP_S = 0.02
_MiB = 1 << 20
_NO_MEMORY = ("MemoryError", "bad_alloc", "failed to allocate", "unable to allocate", "Cannot allocate memory")


@dataclass(frozen=True)
class Address:
    """Where an engine listens, and the key it asks for."""

    url: str
    token: str
    pid: int


class Lease:
    """The right to use an engine, which lives at least as long as the object.

    Raises
    ------
    LMError
        If it cannot be started: what the engine says, and what to do.
    """

    def __init__(self, home: Home, weights: Weights, threads: int, context: int) -> None:
        spec = f"{weights.path}\n{weights.fingerprint}\n{threads}\n{context}"
        place = home.ensure().derived / "engines" / hashlib.sha256(spec.encode()).hexdigest()[:16]
        with writing(place):
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o700)
        self._users = locks.acquire(place / USERS, shared=True, wait_s=_START_S)
        try:
            with locks.locked(place / "start.lock", wait_s=_START_S):
                if not _is_served(place):
                    _start(place, weights, threads, context)
                self.address = _address(place)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Give the right up; the engine ends with the last."""
        if self._users >= 0:
            os.close(self._users)
            self._users = -1

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):  # of one that was never had
            self.end()


def _is_served(place: Path) -> bool:
    try:
        os.close(locks.acquire(place / ALIVE))
    except locks.Busy:
        return True
    return False


def _start(place: Path, weights: Weights, threads: int, context: int) -> None:
    needed, free = weights.memory(context), free_memory()
    if free is not None and needed > free:
        raise LMError(
            f"no memory for '{weights.path.name}': it needs about {needed // _MiB:,} MiB with a context of {context:,} "
            f"tokens, {free // _MiB:,} MiB are free; give a smaller context=, or smaller weights."
        )
    command = [sys.executable, "-m", _PROCESS, str(place), str(weights.path), str(threads), str(context)]
    with (place / _LOG).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # an interrupted cell interrupts no other job's answers
        )
    assert process.stdout is not None  # noqa: S101  it is piped
    with process.stdout as said:
        if said.readline().strip() != READY.encode():
            process.wait()
            raise LMError(_why(place / _LOG, weights, process.returncode))


def _address(place: Path) -> Address:
    """Read where it listens; one whose starter died may still be on its way."""
    deadline = time.monotonic() + _START_S
    while True:
        with suppress(FileNotFoundError):
            return Address(**json.loads((place / ADDRESS).read_bytes()))
        if time.monotonic() > deadline or not _is_served(place):
            raise LMError(f"the engine of the local model ended as it started: see '{place / _LOG}', and try again.")
        time.sleep(_NAP_S)


def _why(log: Path, weights: Weights, status: int) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()
    text = "\n".join(lines)
    if "not within the file bounds" in text:
        return f"weights '{weights.path}' are cut off: copy or download the file again."
    if status < 0 or any(word in text for word in _NO_MEMORY):
        return f"no memory for '{weights.path.name}': give a smaller context=, or smaller weights (see '{log}')."
    errors = [line.split(": ", 1)[-1] for line in lines if " E " in line]
    said = (errors or lines[-1:] or [f"status {status}"])[0]
    return f"weights '{weights.path}' cannot be loaded: {said[:200]}; see '{log}'."


def free_memory() -> int | None:
    """Tell how many bytes processes may still take; None where the system does not say."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        return min(free, *_in_container(free))
    return None


def _in_container(free: int) -> list[int]:
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        limit, used = (int((group / name).read_text("utf-8")) for name in ("memory.max", "memory.current"))
        cached = sum(
            int(line.split()[1])
            for line in (group / "memory.stat").read_text("utf-8").splitlines()
            if line.startswith("inactive_file ")
        )
        return [limit - used + cached]
    return [free]
