"""A program that follows an alias: a promotion is picked up at the next call, without a restart."""

from __future__ import annotations

import contextvars
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import HomeError, InputError, SkillfleetError
from skillfleet_nb.events import Answered
from skillfleet_nb.lm.off_loop import awaited, off_loop
from skillfleet_nb.lm.tap import own_models
from skillfleet_nb.programs.registry import parse
from skillfleet_nb.store import Journal, new_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    import dspy

    from skillfleet_nb.programs.registry import ProgramVersion, Registry
    from skillfleet_nb.store import Home

_LOOK_S = 0.25  # how often it is asked whether the alias has moved


class LiveProgram:
    """Calls whatever version an alias stands for; made by :meth:`skillfleet_nb.Fleet.live`.

    It is called as the program is, from any number of threads, and ``await live.acall(…)`` in async code.  Every
    other attribute is that of the program which answers now.  Where the home cannot be read, or a new version cannot
    be loaded, the last good one goes on answering; `trouble` says why.

    Parameters
    ----------
    home, registry
        The home, and its registered programs.
    ref
        ``name@alias``.
    load
        Makes the program of a version.
    record
        Share of the calls that are recorded, in [0, 1].
    check
        Says of a version and its program what is to be known before it is used; empty where nothing is.  Of the first
        one it is asked at once, of later ones beside the calls, which do not wait for it.

    Attributes
    ----------
    ref
        What it follows.
    trouble
        Why it does not follow now; empty where it does.
    differs
        What was found of the version that answers now; empty where nothing was.
    """

    def __init__(
        self,
        home: Home,
        registry: Registry,
        ref: str,
        load: Callable[[ProgramVersion], dspy.Module],
        *,
        record: float = 0.01,
        check: Callable[[ProgramVersion, dspy.Module], str] | None = None,
    ) -> None:
        if not 0 <= record <= 1:
            raise InputError(f"record={record!r}: give the share of calls to record, from 0 to 1.")
        self.ref, self.trouble = ref, ""
        self._name, self._alias = parse(ref)
        self._home, self._registry, self._load = home, registry, load
        self._every = round(1 / record) if record else 0
        self._looking = threading.Lock()
        self._opening = threading.Lock()
        self._journal: Journal | None = None
        self._calls = 0
        version = registry.find(ref)
        self._serving: tuple[ProgramVersion, dspy.Module] = (version, load(version))
        self._check = check
        self.differs = "" if check is None else check(*self._serving)
        self._next_look = time.monotonic() + _LOOK_S

    @property
    def version(self) -> ProgramVersion:
        """The version that answers now."""
        return self._current()[0]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the program, as it is asked itself."""
        version, program = self._current()
        if not self._is_recorded():
            return _asked(program, args, kwargs)
        started = time.perf_counter()
        try:
            answer = _asked(program, args, kwargs)
        except BaseException as exc:
            self._tell(version, program, started, exc)
            raise
        self._tell(version, program, started, None)
        return answer

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the program in async code."""
        version, program = self._current()
        if not self._is_recorded():
            return await awaited(program, *args, **kwargs)
        started = time.perf_counter()
        try:
            answer = await awaited(program, *args, **kwargs)
        except BaseException as exc:
            self._tell(version, program, started, exc)
            raise
        self._tell(version, program, started, None)
        return answer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._current()[1], name)

    def __repr__(self) -> str:
        return f"<LiveProgram {self.ref}, now version {self._serving[0].version}>"

    def close(self) -> None:
        """Write what was recorded; it may be called after that all the same."""
        with self._opening:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def _current(self) -> tuple[ProgramVersion, dspy.Module]:
        # one thread looks, and the others go on with what there is
        if time.monotonic() >= self._next_look and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._next_look = time.monotonic() + _LOOK_S
                self._looking.release()
        return self._serving

    def _look(self) -> None:
        try:
            version = self._found()
            if version.version != self._serving[0].version:
                self._serving = version, self._load(version)
                self._check_beside()
        except Exception as exc:  # noqa: BLE001  whatever a new version raises, the last good one answers
            self.trouble = f"version {self._serving[0].version} goes on answering: {exc}"
        else:
            self.trouble = ""

    def _found(self) -> ProgramVersion:
        if not self._home.journal.is_dir():  # which reads as one where nothing is new
            raise HomeError(f"home '{self._home.root}' is not there: bring it back, or ask for the program anew")
        return self._registry.find(self.ref)

    def _check_beside(self) -> None:
        """Check the new version on a thread of its own: no call waits for it."""
        if (check := self._check) is None:
            return
        version, program = self._serving
        self.differs = ""

        def look() -> None:
            differences = check(version, program)
            if self._serving[0] is version:
                self.differs = differences

        inside = contextvars.copy_context()  # the model that a caller has set for its context
        threading.Thread(target=inside.run, args=(look,), name=f"skillfleet-check-{version.ref}", daemon=True).start()

    def _is_recorded(self) -> bool:
        self._calls += 1  # a call that two threads count as one matters to nobody
        return self._every > 0 and self._calls % self._every == 0

    def _tell(self, version: ProgramVersion, program: dspy.Module, started: float, exc: BaseException | None) -> None:
        event = Answered(
            name=self._name,
            alias=self._alias,
            version=version.version,
            share=1 / self._every,
            latency_s=time.perf_counter() - started,
            error=None if exc is None else f"{type(exc).__name__}: {exc}",
        )
        try:
            if exc is not None:  # a provider may repeat the key it refuses
                import dspy

                self._open().redactor.add([dspy.settings.lm, *own_models(program)])
            self._open().post(lambda: (event,))
        except (SkillfleetError, OSError) as trouble:  # recording never breaks an answer
            self.trouble = f"calls are not recorded: {trouble}"

    def _open(self) -> Journal:
        with self._opening:
            if self._journal is None:
                self._journal = journal = Journal(self._home, new_stream("live"))
                weakref.finalize(self, _close, journal)  # as the process ends, too
            return self._journal


@off_loop
def _asked(program: dspy.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return program(*args, **kwargs)


def _close(journal: Journal) -> None:
    with suppress(SkillfleetError, OSError):  # the process ends, and so does its disk perhaps
        journal.close()
