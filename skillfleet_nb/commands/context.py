"""What a surface gives a command: a fleet, names it may use, and ways to show progress."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from skillfleet_nb.commands.expressions import is_expression
from skillfleet_nb.commands.resolve import pairs, resolve, resolve_lm, resolve_lms, resolve_metric, resolve_rows
from skillfleet_nb.errors import NotFoundError
from skillfleet_nb.runs.request import ENGINES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, MutableMapping, Sequence

    from skillfleet_nb.commands.grammar import Argument
    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.runs.jobs.job import Job

_Answer = TypeVar("_Answer")


class Wait(Protocol):
    """Waits for a job; one that is only watched is not cancelled by an interrupt."""

    def __call__(self, job: Job, *, watch: bool = False) -> None:
        """Return when the job is finished or left behind."""
        ...


@dataclass
class Context:
    """What a surface gives a command.

    Attributes
    ----------
    make_fleet
        Makes or finds the fleet of a home; None is the default home.
    namespace
        Names of the notebook, which commands read and ``-o`` writes; empty in a shell.
    wait
        Waits for a job and shows its progress; returns when it is finished or left behind.
    say
        Shows a line or an object while a command goes on.
    counting
        Makes, for something that takes long, a function that shows how much of it is done.
    cell
        Text under ``%%skillfleet``, None elsewhere.
    stays
        Whether the process goes on after the command, and with it what runs in the background.
    """

    make_fleet: Callable[[str | None], Fleet]
    namespace: MutableMapping[str, Any]
    wait: Wait
    say: Callable[[Any], None]
    counting: Callable[[str], Callable[[int, int], None]]
    cell: str | None = None
    home: str | None = field(default=None)
    stays: bool = True

    @property
    def fleet(self) -> Fleet:
        """The fleet the command works on."""
        return self.make_fleet(self.home)

    def object(self, text: str, what: str) -> Any:
        """Find the object a person named; see :func:`~skillfleet_nb.commands.resolve.resolve`."""
        return resolve(text, what, self.namespace)

    def program_or_name(self, text: str) -> Any:
        """Find a program in a variable or as ``module:attribute``; any other text is the name of one, and stays.

        A variable that holds something else stands in the way of no job of its name.
        """
        if text not in self.namespace:
            is_taken = ":" in text or ("[" in text and is_expression(text, self.namespace))
            return self.object(text, "program") if is_taken else text
        value = self.namespace[text]
        is_program = hasattr(value, "named_predictors") or hasattr(value, "program_id") or hasattr(value, "progress")
        if is_program:
            return value
        try:
            self.fleet.job(text)
        except NotFoundError:
            return value
        return text

    def rows(self, text: str | None, what: str, *, mixed: bool = False) -> Any:
        """Find a data set, which may be a file, with rows of different fields if `mixed`; None stays None."""
        return None if text is None else resolve_rows(text, what, self.namespace, mixed=mixed)

    def metric(self, text: str) -> Any:
        """Find a metric."""
        return resolve_metric(text, self.namespace)

    def lm(self, text: str | None) -> Any:
        """Find or make a language model; None stays None."""
        return None if text is None else resolve_lm(text, self.namespace, self.fleet.home)

    def _lms(self, texts: Sequence[str]) -> Any:
        return resolve_lms(texts, self.namespace, self.fleet.home)

    def call(self, method: Callable[..., _Answer], a: argparse.Namespace) -> _Answer:
        """Call a method of the facade with those arguments of a line that it takes, names made objects."""
        takes = inspect.signature(method).parameters
        arguments = [one for one in a.command.arguments if one.dest in takes]
        return method(**{one.dest: self._read(one, getattr(a, one.dest)) for one in arguments})

    def _read(self, argument: Argument, value: Any) -> Any:
        """Make a value of an argument what its metavar says it is."""
        readers: dict[str, Callable[[Any], Any]] = {
            "PROGRAM": lambda text: self.object(text, argument.dest),
            "DATA": lambda text: self.rows(text, argument.dest),
            "METRIC": self.metric,
            "EXECUTOR": lambda text: text if text in ENGINES else self.object(text, argument.dest),
            "LM": lambda text: self._lms(text) if argument.repeats else self.lm(text),
            "KEY=VALUE": lambda texts: pairs(texts, "--set key=value", "--set auto=medium"),
        }
        read = readers.get(argument.metavar)
        return value if value is None or read is None else read(value)
