"""What a run tells: its events into the journal, without keys, and programs into the home, once each."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from skillfleet_nb.events import Phase, ProgramSaved, Warned
from skillfleet_nb.lm.keys import hidden
from skillfleet_nb.programs.state import describe, dump_state
from skillfleet_nb.store import save_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from skillfleet_nb.events import Payload
    from skillfleet_nb.store import Home, Journal

_WORDS = ("error", "stop_reason", "text")  # fields of events that may quote an error


class Reporter:
    """Writes down what a run does; any thread of it may.

    Parameters
    ----------
    home, journal
        Where facts go; the journal is the run's own, and is closed by its owner.
    secrets
        Keys that must not reach a file.
    saved
        Programs that earlier attempts told of.
    """

    def __init__(self, home: Home, journal: Journal, secrets: Iterable[str], saved: Iterable[str] = ()) -> None:
        self._home, self._journal = home, journal
        self._secrets = list(secrets)
        self._saved = set(saved)
        self._lock = threading.Lock()

    def emit(self, *payloads: Payload, sync: bool = False) -> None:
        """Append events, in one go; with `sync` they are on the disk when this returns.

        Raises
        ------
        HomeError
            If the home cannot be written.
        """
        self._journal.append_many([self._without_keys(p) for p in payloads], sync=sync)

    def post(self, make: Callable[[], Sequence[Payload]]) -> None:
        """Hand events over to be made and written soon, off this thread; raises as :meth:`emit` does."""
        self._journal.post(lambda: [self._without_keys(payload) for payload in make()])

    def say(self, text: str) -> None:
        """Tell the phase the run is in."""
        self.emit(Phase(text=text))

    def warn(self, text: str) -> None:
        """Tell what the person should know."""
        self.emit(Warned(text=text))

    def keep(self, program: Any) -> str:
        """Store a program's state once and tell of it once."""
        state = dump_state(program)
        program_id = save_program(self._home, state)
        with self._lock:
            new = program_id not in self._saved
            self._saved.add(program_id)
        if new:
            info = describe(state)
            self.emit(ProgramSaved(program_id=program_id, state=state, instructions=info.text, n_demos=info.n_demos))
        return program_id

    def _without_keys(self, payload: Payload) -> Payload:
        # Providers repeat the key they refuse, and their words are kept in files.
        fields = vars(payload)
        told = {name: fields[name] for name in _WORDS if fields.get(name)}
        safe = {name: hidden(text, self._secrets) for name, text in told.items()}
        changed = {name: text for name, text in safe.items() if text != told[name]}
        return payload.model_copy(update=changed) if changed else payload


def said(exc: BaseException) -> str:
    """Put an error into one line, as it is kept in the journal."""
    return f"{type(exc).__name__}: {exc}"[:1000]
