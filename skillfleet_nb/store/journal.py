"""The journal: every fact as one JSON line, appended by its writer and by nobody else.

A stream (a job) is a folder.  Each writer opens a segment of its own in it, ``000001.jsonl`` and
up, and never touches another's, so a line torn by a crash is always the last of its segment.  While
it writes it holds an OS lock on the stream's ``alive.lock``; the kernel frees that on any death, so
whether a job still runs is known exactly and at once.  An event is acknowledged when `append`
returns: it is then with the operating system and survives ``kill -9``; with ``sync=True`` it is on
disk and survives a power cut.

What many threads tell all the time is *posted* instead: at every write a thread hands the interpreter
to another and waits to get it back, which at some hundred calls a second cost a run as much as all the
rest of its recording.  Posted events are written together, by a thread of the journal's own, and are
acknowledged only then: `kill -9` takes those of the last 50 ms.  A call of a model waits until it is written, which
one thread does for all that wait; so whatever an optimizer has seen is on record.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import orjson

from skillfleet_nb.errors import JobError
from skillfleet_nb.events import Payload, check_kind
from skillfleet_nb.events.audit import Redacted
from skillfleet_nb.store.blobs import Blobs
from skillfleet_nb.store.home import refusal, writing
from skillfleet_nb.store.locks import Busy, acquire, prove
from skillfleet_nb.store.redacting import redactor_of
from skillfleet_nb.store.requests import encodable
from skillfleet_nb.store.segment_reader import last_seq, read
from skillfleet_nb.store.segments import format_line, is_whole, label, place, seed, segments
from skillfleet_nb.store.unlocking import cipher_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from skillfleet_nb.envelope import Event
    from skillfleet_nb.store.home import Home
    from skillfleet_nb.store.segments import Segment

_PROBE_S = 0.3  # a probe by `is_alive` holds the lock for microseconds; a live writer holds it for good
_BLOCK = 1 << 20  # bytes that a follower reads at a time
_SYNC = getattr(os, "fdatasync", os.fsync)
_GATHER_S = 0.05  # how long posted events are gathered, to be written together
_MOST_WAITING = 1000  # posted events, from which on whoever posts writes them: a slow disk must not fill memory


def is_alive(home: Home, stream: str) -> bool:
    """Tell whether some process is writing `stream` now."""
    path = home.journal_dir(stream) / "alive.lock"
    if not path.exists():
        return False
    try:
        os.close(acquire(path, shared=True))
    except Busy:
        return True
    return False


def new_stream(what: str) -> str:
    """Name a stream that no other writer has, for facts that belong to no job: ``"rating"``, ``"judge"``."""
    return f"{what}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


class _Clock:
    """Tells the time of a writer's events: the wall clock's, and never less than has passed since the last one.

    Durations are read off these times, and a clock may be set back by hours.
    """

    def __init__(self) -> None:
        self._last = datetime.now(UTC), time.monotonic()

    def now(self) -> datetime:
        last, passed = self._last
        here = time.monotonic()
        self._last = reading = max(datetime.now(UTC), last + timedelta(seconds=here - passed)), here
        return reading[0]


class Journal:
    """The one writer of a stream; a context manager, safe to share between threads.

    Parameters
    ----------
    home
        The home, created where missing.
    stream
        Name of the stream, which is the job's id.
    alive
        Descriptor of the stream's lock, from :meth:`hand_over` of the process before; None takes it.
    wait_s
        How long to wait for the lock, where others write to the stream in turn.
    join
        Whether to write on in the last segment, where that is whole, and not in one of its own.

    Attributes
    ----------
    home, stream
        As given.
    redactor
        Takes secrets out of every event: the environment's, and those of models that are added to it; and what the
        settings of the home name.

    Raises
    ------
    JobError
        If the stream has a live writer already, in this or another process.
    HomeError
        If the home cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from skillfleet_nb.events import Phase
    >>> from skillfleet_nb.store import Home, Journal, follow
    >>> home = Home.find(tempfile.mkdtemp())
    >>> with Journal(home, "demo-1") as journal:
    ...     journal.append(Phase(text="scoring the baseline"))
    1
    >>> [event.payload for event in follow(home, "demo-1").poll()]
    [Phase(kind='phase', text='scoring the baseline')]
    """

    def __init__(
        self, home: Home, stream: str, *, alive: int | None = None, wait_s: float = _PROBE_S, join: bool = False
    ) -> None:
        self.home = home
        self.stream = stream
        self.redactor = redactor_of(home)
        self._blobs = Blobs(home)
        self._mutex = threading.Lock()
        self._posted: deque[tuple[datetime, Callable[[], Sequence[Payload]]]] = deque()
        self._wake = threading.Event()
        self._poster: threading.Thread | None = None
        self._failure: Exception | None = None
        self._clock = _Clock()
        folder = home.ensure().journal_dir(stream)
        prove(home.root)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            self._alive = acquire(folder / "alive.lock", wait_s=wait_s) if alive is None else alive
        except Busy:
            raise JobError(
                f"job {stream!r} is being written by a live process: cancel it, or wait until it ends."
            ) from None
        try:
            existing = segments(folder)
            self._seq = last_seq(existing)
            joined = join and bool(existing) and is_whole(existing[-1])
            number = (existing[-1].number if existing else 0) + (not joined)
            self.path = folder / f"{number:06d}.jsonl"
            how = os.O_APPEND if joined else os.O_CREAT | os.O_EXCL
            self._seed = seed(self.path)
            cipher = cipher_of(home.root)  # with the lock held: whoever encrypts the home takes it first
            self._encrypted = None if cipher is None else cipher.lines(label(self.path)).encrypted
            with writing(self.path):
                self._fd = os.open(self.path, os.O_WRONLY | how | getattr(os, "O_CLOEXEC", 0), 0o666)
            self._end: int | None = None  # of the file, where that is sure
        except BaseException:
            os.close(self._alive)
            raise
        if hasattr(os, "register_at_fork"):
            abandon = weakref.WeakMethod(self._abandon)  # hooks stay for good: this one must not keep the journal
            os.register_at_fork(after_in_child=lambda: (method := abandon()) and method())

    def append(self, payload: Payload, *, sync: bool = False) -> int:
        """Append one event and return its number in the stream.

        Parameters
        ----------
        payload
            What happened.
        sync
            Whether to wait until it is on disk; for what must survive a power cut.

        Raises
        ------
        HomeError
            If the disk is full or the file cannot be written; the event is then not in the journal.
        JobError
            If the journal is closed.
        TypeError
            If the payload's class is not in :data:`~skillfleet_nb.events.AnyPayload`: nobody could read it.
        """
        return self.append_many((payload,), sync=sync)

    def append_many(self, payloads: Sequence[Payload], *, sync: bool = False) -> int:
        """Append several events in one write and return the number of the last; raises as `append`."""
        bodies = [(p.kind, self._body(p)) for p in payloads]
        with self._mutex:
            self._check()
            self._write_posted()
            at = self._clock.now()
            self._write([(at, kind, body) for kind, body in bodies])
            if sync:
                with writing(self.path):
                    _SYNC(self._fd)
            return self._seq

    def post(self, make: Callable[[], Sequence[Payload]], *, now: bool = False) -> None:
        """Hand events over to be made and written within 50 ms or so, before anything that is appended later.

        Parameters
        ----------
        make
            Makes them; called once, on whichever thread writes them.
        now
            Whether to return only when they are written, together with what other threads post meanwhile: for what
            was paid for, which ``kill -9`` must not take.

        Raises
        ------
        HomeError, JobError
            As `append` does; also of events that were posted before.
        """
        if len(self._posted) >= _MOST_WAITING or self._failure is not None or self._fd < 0:
            with self._mutex:
                self._check()
                self._write_posted()
        self._posted.append((self._clock.now(), make))
        if now:
            with self._mutex:
                self._check()
                self._write_posted()
            return
        if self._poster is None:
            with self._mutex:
                if self._poster is None:
                    self._poster = threading.Thread(target=self._write_on, name="skillfleet-journal", daemon=True)
                    self._poster.start()
        if not self._wake.is_set():
            self._wake.set()

    def _body(self, payload: Payload) -> bytes:
        """Encode an event, without the secrets that the redactor knows, and with references in the place of data."""
        return self.redactor.json(self._blobs.taken_out(_body(payload), self.redactor))

    def _write_on(self) -> None:
        """Write what is posted until the journal is closed."""
        while self._fd >= 0:
            self._wake.wait()
            time.sleep(_GATHER_S)
            if not self._posted:
                self._wake.clear()
                if self._posted:  # meanwhile, by a thread that saw it set
                    self._wake.set()
                continue
            with self._mutex:
                if self._fd >= 0:
                    try:
                        self._write_posted()
                    except Exception as exc:  # noqa: BLE001  raised to whoever tells something next
                        self._failure = exc

    def _check(self) -> None:
        """Raise what keeps this journal from taking events; with the mutex held."""
        if self._fd < 0:
            raise JobError(f"the journal of job {self.stream!r} is closed: open a new one to write on.")
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _write_posted(self) -> None:
        """Write what was posted so far, in one go; with the mutex held."""
        events: list[tuple[datetime, str, bytes]] = []
        failure: Exception | None = None
        for at, make in [self._posted.popleft() for _ in range(len(self._posted))]:
            try:
                events += [(at, payload.kind, self._body(payload)) for payload in make()]
            except Exception as exc:  # noqa: BLE001  raised when the others are written
                failure = failure or exc
        if events:
            self._write(events)
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Flush to disk and let go of the stream; closing twice is harmless."""
        with self._mutex:
            if self._fd >= 0:
                try:
                    self._write_posted()
                    if counts := self.redactor.counts:
                        self._write([(self._clock.now(), "redacted", _body(Redacted(counts=dict(counts))))])
                    with writing(self.path):
                        _SYNC(self._fd)
                finally:
                    fd, self._fd = self._fd, -1
                    self._wake.set()
                    os.close(fd)
                    os.close(self._alive)

    def hand_over(self) -> int:
        """Close without letting go of the stream; return the descriptor that holds its lock.

        A process that inherits the descriptor is the stream's next writer, and at no moment is there
        none: pass it on to ``Journal(home, stream, alive=…)`` there, then close it here.
        """
        kept = os.dup(self._alive)
        self.close()
        return kept

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _abandon(self) -> None:
        """Close the descriptors in a forked child, or an orphan of it would keep the job alive."""
        self._mutex = threading.Lock()  # another thread may have held it at the fork
        self._posted.clear()  # the parent writes them
        if self._fd >= 0:
            os.close(self._fd)
            os.close(self._alive)
            self._fd = -1

    def _write(self, events: Sequence[tuple[datetime, str, bytes]]) -> None:
        """Number and write events; with the mutex held."""
        start = os.fstat(self._fd).st_size if self._end is None else self._end
        self._end = None  # until all is written: an interrupt may come at any moment
        lines, end = [], start
        for seq, (at, kind, body) in enumerate(events, self._seq + 1):
            line = format_line(seq, at, kind, body, place(self._seed, end))
            lines.append(line if self._encrypted is None else self._encrypted(line))
            end += len(lines[-1])
        data = b"".join(lines)
        # counted before it is written: an interrupt between the two leaves a gap, never a number used twice
        self._seq += len(events)
        written = 0
        try:  # not under `writing`, which would take a twentieth of the time of an append
            while written < len(data):
                written += os.write(self._fd, data[written:] if written else data)
        except OSError as error:
            if written:  # a full disk took part of the line: take it back, or the next event would join it
                os.ftruncate(self._fd, start)
                os.lseek(self._fd, start, os.SEEK_SET)
            raise refusal(self.path, error) from error
        self._end = end


class Follower:
    """Reads a stream as it grows, each event once, in order.

    Attributes
    ----------
    torn
        Lines seen so far that hold no event: torn by a crash, or damaged.
    newer
        Events seen so far that a later version wrote: those of a kind that is not known here are left out, of
        the others the fields that are not.
    """

    def __init__(self, home: Home, stream: str) -> None:
        self._folder = home.journal_dir(stream)
        self._segment = ""
        self._offset = 0  # behind the last whole line read
        self._unfinished = False  # whether there was more
        self.torn = 0
        self.newer = 0

    def poll(self) -> list[Event]:
        """Return what was appended since the last call; an unfinished last line waits for the next."""
        return list(self.read())

    def read(self) -> Iterator[Event]:
        """Yield what was appended since the last call, as `poll`, in memory that does not grow with it."""
        for segment in segments(self._folder):
            if segment.name < self._segment:
                continue
            if segment.name > self._segment:
                # it was there before the one before it was read to its end: that end is final
                self.torn += self._unfinished
                self._segment, self._offset, self._unfinished = segment.name, 0, False
            if segment.size > self._offset:
                yield from self._read(segment)

    def _read(self, segment: Segment) -> Iterator[Event]:
        self._unfinished = False
        for event, end, whole in read(segment, self._offset):
            if not whole:
                self._unfinished = True
                return
            self._offset = end
            if event is None:
                self.torn += 1
            elif not event.is_newer:
                yield event
            else:
                self.newer += 1
                if type(event.payload) is not Payload:
                    yield event


def follow(home: Home, stream: str) -> Follower:
    """Follow a stream from its first event; it need not exist yet."""
    return Follower(home, stream)


def _body(payload: Payload) -> bytes:
    check_kind(payload)
    with suppress(TypeError):  # plain values, as of a call, in a fifteenth of pydantic's time
        return orjson.dumps({name: value for name, value in vars(payload).items() if name != "kind"})
    try:
        return payload.model_dump_json(exclude={"kind"}, fallback=str, warnings=False).encode()
    except (ValueError, UnicodeError):
        # a lone surrogate in a model's text: UTF-8 cannot hold it, a question mark can
        return orjson.dumps(encodable(payload.model_dump(exclude={"kind"}, warnings=False)), default=str)
