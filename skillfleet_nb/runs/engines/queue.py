"""The queue of a home's detached jobs: who waits, who is next, and who starts it.

What waits is a ticket, a file.  A lock elects who starts the next: whoever asks for a job starts it itself where there
is room, and leaves the rest to a *dispatcher*, one small process, which holds the lock until nothing waits.  When the
dispatcher dies the kernel frees its lock, and the next to look takes over: a running worker does every few
seconds and at its end, and so does whoever asks for a job or lists them.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import JobError, SkillfleetError
from skillfleet_nb.events import JobState, Paused, StateChanged, StopKind
from skillfleet_nb.format import counted
from skillfleet_nb.runs.engines.processes import Claim, Place, start_dispatcher, start_worker
from skillfleet_nb.security import Redactor, is_secret, secrets_in_url, sign, stamp, user_key, verified
from skillfleet_nb.store import Journal, locks, request, tickets
from skillfleet_nb.store.unlocking import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from skillfleet_nb.store import Home

_OF_A_SESSION = ("JPY_", "JUPYTER", "VSCODE_", "SSH_", "TERM", "SHLVL", "PWD", "OLDPWD", "_")
"""Variables that differ from one session to the next and decide nothing of a run: those of whoever starts it do."""


@dataclass(frozen=True)
class Ticket:
    """A job that waits, with what a process is started with that is to run it.

    Attributes
    ----------
    job_id
        The job.
    at
        When it was asked for, in nanoseconds since 1970.
    asked_by
        The process that asked: those that ask take turns.
    max_parallel, runs_per_worker
        In place of the settings.
    python, folder
        Interpreter of whoever asked, and the folder it was in.
    environment
        Variables of whoever asked, without secrets.
    keys
        Tells apart environments with other secrets, which are not written: a job is started where they are the same.
    cache
        Folder of DSPy's cache; None where that is off.
    """

    job_id: str
    at: int
    asked_by: str
    max_parallel: int | None
    python: str
    folder: str
    environment: dict[str, str]
    keys: str
    runs_per_worker: int | None = None
    cache: str | None = None

    @classmethod
    def of_now(
        cls, job_id: str, max_parallel: int | None, runs_per_worker: int | None = None, cache: str | None = None
    ) -> Ticket:
        """Make one for a job that this process asks for."""
        plain, keys = _environment()
        by, folder = f"{socket.gethostname()}:{os.getpid()}", str(Path.cwd())
        here = sys.executable, folder, plain, _stamp_of(keys)
        return cls(job_id, time.time_ns(), by, max_parallel, *here, runs_per_worker, cache)

    @classmethod
    def read(cls, file: Path) -> Ticket | None:
        """Read one; None where this user did not write it, or it has just gone."""
        try:
            return cls(**json.loads(verified(read_bytes(file), user_key())))
        except (OSError, JobError, ValueError, TypeError, KeyError):
            return None

    @property
    def setting(self) -> str:
        """What tells processes apart that jobs could not share."""
        of = [self.python, self.folder, sorted(self.environment.items()), self.keys, self.cache]
        return stamp(b"setting " + json.dumps(of).encode())

    def write(self, home: Home) -> None:
        """Queue the job."""
        tickets.write(home, self.job_id, sign(json.dumps(asdict(self)).encode(), user_key()))


class Queue:
    """The queue of a home, as this process sees it; it keeps what it has read of tickets that have not changed."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._read: dict[str, tuple[int, Ticket | None]] = {}

    @cached_property
    def _keys(self) -> str:
        return _stamp_of(_environment()[1])

    def order(self) -> list[Ticket]:
        """List who waits, who is next first: processes that ask take turns, each in the order in which it asked."""
        read = {}
        for job_id, file, written in tickets.waiting(self.home):
            earlier = self._read.get(job_id)
            read[job_id] = earlier if earlier is not None and earlier[0] == written else (written, Ticket.read(file))
        self._read = read
        return in_turn([one for _, one in read.values() if one is not None], self._running())

    def startable(self) -> list[Ticket]:
        """List those that this environment can start, in order."""
        return [one for one in self.order() if one.keys == self._keys]

    def tend(self) -> None:
        """See to it that somebody starts what waits: start what there is room for, and a dispatcher for the rest."""
        if not any(True for _ in tickets.waiting(self.home)):
            return
        # Somebody does; or settings cannot be read, which a command that needs them tells.
        with suppress(locks.Busy, SkillfleetError):
            lock = locks.acquire(self.lock)
            try:
                if self.dispatch():
                    os.set_inheritable(lock, True)
                    start_dispatcher(self.home, lock, self._log)
            finally:
                os.close(lock)

    @property
    def lock(self) -> Path:
        """The file whose lock elects who starts jobs of this environment."""
        return _dispatcher_lock(self.home, self._keys)

    @property
    def _log(self) -> Path:
        beside = self.lock.with_suffix(".log")
        return self.home.derived / beside.name if self.home.is_encrypted else beside

    def dispatch(self) -> int:
        """Start what there is room for, with the lock held; return how many still wait."""
        while (taken := self._taken()) is not None:
            ticket, claim, runs = taken
            environment = {**_environment()[1], **_of_session(), **ticket.environment}
            place = Place(ticket.python, environment, ticket.folder, ticket.setting if runs > 1 else "", runs)
            try:
                start_worker(self.home, claim, place)
            finally:
                tickets.remove(self.home, claim.job_id)
                claim.close()
        return len(self.startable())

    def join(self, setting: str, running: Sequence[int]) -> list[tuple[Claim, int]]:
        """Take the next jobs out of the queue that may run beside others in a process.

        Parameters
        ----------
        setting
            What the process was started for, see :attr:`Ticket.setting`.
        running
            With how many runs each of those that are there shares it at most, itself counted.

        Returns
        -------
        list
            Each claim with how many runs its job shares a process with.  None is taken past a job that needs a
            process of its own, and has somebody to start it: it would wait for ever.
        """
        settings, taken = Settings.load(self.home.config), list[tuple[Claim, int]]()
        limits = list(running)
        for one in self.order():
            runs = one.runs_per_worker or settings.runs_per_worker
            if len(limits) >= min(limits, default=runs):
                break
            if one.setting != setting or runs <= len(limits):
                if self._has_starter(one):
                    break
                continue
            slot = self._entered(one)
            if slot is not None and (claim := self._claim(one, slot)) is not None:
                tickets.remove(self.home, one.job_id)
                taken.append((claim, runs))
                limits.append(runs)
        return taken

    def _has_starter(self, ticket: Ticket) -> bool:
        """Whether a process is there that can start a job: this one's environment can, or that of a dispatcher."""
        if ticket.keys == self._keys:
            return True
        lock = _dispatcher_lock(self.home, ticket.keys)
        try:
            if lock.exists():
                os.close(locks.acquire(lock, shared=True))
        except locks.Busy:
            return True
        return False

    def _entered(self, ticket: Ticket) -> int | None:
        """Enter a job that shares a process among those that run, as its lock."""
        with suppress(locks.Busy, SkillfleetError):
            entry = locks.acquire(_entry(self.home, ticket.job_id))
            os.ftruncate(entry, 0)
            os.pwrite(entry, ticket.asked_by.encode(), 0)
            return entry
        return None

    def left(self, claim: Claim) -> None:
        """Take a job off those that run which shared a process; its lock is freed."""
        _entry(self.home, claim.job_id).unlink(missing_ok=True)
        os.close(claim.slot)

    def _taken(self) -> tuple[Ticket, Claim, int] | None:
        """Take the next job out of the queue, where there is room, with how many runs it shares a process with."""
        settings, full = Settings.load(self.home.config), 0  # the largest limit under which there is no room
        most = slots(settings)
        for one in self.startable():
            limit = one.max_parallel or most
            if limit <= full:
                continue
            if (slot := self._slot(limit, one.asked_by)) is None:
                full = limit
            elif (claim := self._claim(one, slot)) is not None:
                return one, claim, one.runs_per_worker or settings.runs_per_worker
        return None

    def _claim(self, ticket: Ticket, slot: int) -> Claim | None:
        """Take a job, into a slot, which is let go of where somebody else was faster."""
        with suppress(locks.Busy, OSError, SkillfleetError):
            alive = locks.acquire(self.home.journal_dir(ticket.job_id) / "alive.lock")
            if tickets.is_queued(self.home, ticket.job_id):
                return Claim(ticket.job_id, alive, slot)
            os.close(alive)
        os.close(slot)
        return None

    def _slot(self, limit: int, asked_by: str) -> int | None:
        """Take one of so many slots; None where all are taken."""
        # Locks, so that the slot of a killed worker is free at once.
        place = self.home.root / "slots"
        place.mkdir(exist_ok=True)
        for number in range(limit):
            with suppress(locks.Busy):
                slot = locks.acquire(place / f"{number}.lock")
                os.ftruncate(slot, 0)
                os.pwrite(slot, asked_by.encode(), 0)
                return slot
        return None

    def _running(self) -> Counter[str]:
        """Count the jobs that run by who asked for them."""
        running: Counter[str] = Counter()
        for file in (self.home.root / "slots").glob("*.lock"):
            with suppress(FileNotFoundError):  # of a job that has just ended
                try:
                    free = locks.acquire(file, shared=True)
                except locks.Busy:
                    running[file.read_text("utf-8", errors="replace")] += 1
                    continue
                if not file.stem.isdecimal():  # its process was killed
                    file.unlink()
                os.close(free)
        return running


def slots(settings: Settings) -> int:
    """Tell how many processes of detached jobs run at a time."""
    return settings.max_parallel or os.cpu_count() or 1


def place_in_words(home: Home, job_id: str) -> str:
    """Say where a queued job is: its place, and what it waits for."""
    order = Queue(home).order()
    place = next((n for n, one in enumerate(order, 1) if one.job_id == job_id), None)
    if place is None:
        return "waiting, held: unpause lets it start"
    try:
        settings = Settings.load(home.config)
    except SkillfleetError as exc:
        return f"waiting: {exc}"
    ticket = order[place - 1]
    most = (ticket.max_parallel or slots(settings)) * (ticket.runs_per_worker or settings.runs_per_worker)
    if ticket.keys != _stamp_of(_environment()[1]):
        return f"waiting: place {place} of {len(order)}, for a process with the keys it was asked for with"
    return f"waiting: place {place} of {len(order)}, {counted(most, 'job')} at a time"


def ask(home: Home, job_id: str, what: Literal["cancel", "pause", "unpause"]) -> None:
    """Ask something of a job of another process, or of one that has none yet, and for which it is done here."""
    if not _waits(home, job_id) or not _settled(home, job_id, what):
        request(home, job_id, what)
    if what == "unpause":
        Queue(home).tend()


def _waits(home: Home, job_id: str) -> bool:
    return tickets.is_queued(home, job_id) or tickets.is_lent(home, job_id)


def _settled(home: Home, job_id: str, what: Literal["cancel", "pause", "unpause"]) -> bool:
    """Do what is asked of a job that waits; return False where it has just been started."""
    try:
        with Journal(home, job_id) as journal:
            if what == "cancel" and _waits(home, job_id):
                reason = str(StopKind.CANCELLED)
                stopped = StateChanged(state=JobState.CANCELLED, stop_kind=StopKind.CANCELLED, stop_reason=reason)
                journal.append(stopped, sync=True)
                tickets.remove(home, job_id)
                return True
            move = tickets.hold if what == "pause" else tickets.let_go
            if move(home, job_id):
                journal.append(Paused(paused=what == "pause"), sync=True)
            return tickets.is_queued(home, job_id)
    except JobError:
        return False


def in_turn(waiting: Iterable[Ticket], running: Counter[str]) -> list[Ticket]:
    """Order tickets so that who asked for few does not wait for all of who asked for many."""
    ranked, ahead = [], Counter(running)
    for one in sorted(waiting, key=lambda ticket: (ticket.at, ticket.job_id)):
        ranked.append((ahead[one.asked_by], one))
        ahead[one.asked_by] += 1
    return [one for _, one in sorted(ranked, key=lambda pair: (pair[0], pair[1].at, pair[1].job_id))]


def _dispatcher_lock(home: Home, keys: str) -> Path:
    return tickets.folder(home) / f"dispatcher-{keys[:16]}.lock"


def _entry(home: Home, job_id: str) -> Path:
    """Name the file of a job that shares a process: locked, it says whose jobs run, as the file of a slot does."""
    return home.root / "slots" / f"{job_id}.lock"


def _environment() -> tuple[dict[str, str], dict[str, str]]:
    """Part the variables of this process into plain ones and secrets; those of a session are in neither."""
    redactor = Redactor()
    plain: dict[str, str] = {}
    keys: dict[str, str] = {}
    for name, value in os.environ.items():
        if not name.startswith(_OF_A_SESSION):
            hidden = is_secret(name) or secrets_in_url(value) or redactor.text(value) != value
            (keys if hidden else plain)[name] = value
    return plain, keys


def _of_session() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_OF_A_SESSION)}


def _stamp_of(keys: dict[str, str]) -> str:
    return stamp(b"keys " + json.dumps(sorted(keys.items())).encode())
