"""What a run tells: its events into the journal, and programs into the home, once each."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from skillfleet_nb.events import Phase, ProgramSaved, Warned
from skillfleet_nb.programs.state import describe, dump_state
from skillfleet_nb.store import save_program

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skillfleet_nb.events import Payload
    from skillfleet_nb.store import Home, Journal
    from skillfleet_nb.typing import Program


class Reporter:
    """Writes down what a run does; any thread of it may.

    Parameters
    ----------
    home, journal
        Where facts go; the journal is the run's own, and is closed by its owner.
    saved
        Programs that earlier attempts told of.
    """

    def __init__(self, home: Home, journal: Journal, saved: Iterable[str] = ()) -> None:
        self._home, self._journal = home, journal
        self._saved = set(saved)
        self._lock = threading.Lock()

    def emit(self, *payloads: Payload, sync: bool = False) -> None:
        """Append events, in one go; with `sync` they are on the disk when this returns.

        Of a process that ends nothing more is told: what fails then, fails for that, and the job reads as interrupted.

        Raises
        ------
        HomeError
            If the home cannot be written.
        """
        if not threading.main_thread().is_alive():
            return
        self._journal.append_many(payloads, sync=sync)

    def say(self, text: str) -> None:
        """Tell the phase the run is in."""
        self.emit(Phase(text=text))

    def warn(self, text: str) -> None:
        """Tell what the person should know."""
        self.emit(Warned(text=text))

    def keep(self, program: Program) -> str:
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
