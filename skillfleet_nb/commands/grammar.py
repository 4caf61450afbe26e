"""What a command is: declared in the file that carries it out, and found there.

A name of two words, such as ``db status``, is a part of the command that its first word declares with :func:`group`.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.commands.context import Context

    Run = Callable[[Context, argparse.Namespace], object]

TASKS = ("Prepare", "Optimise", "Learn from runs", "Keep", "Agent skills", "More")
"""What a person wants to do, in the order it is needed; each command belongs to one."""


@dataclass(frozen=True)
class Argument:
    """An argument of a command: its names, and the rest of what ``argparse`` takes.

    Its metavar says of what kind it is (``JOB``, ``PROGRAM``, ``DATA``, ``METRIC``, ``LM``, ``OPTIMIZER``, …): such
    names are offered for it, and made objects.
    """

    names: tuple[str, ...]
    options: Mapping[str, Any]
    is_written: bool = False  # a file that the command writes

    @property
    def is_option(self) -> bool:
        """Whether it begins with a dash."""
        return self.names[0].startswith("-")

    @property
    def dest(self) -> str:
        """What its value is called once the line is read."""
        long = next((name for name in self.names if name.startswith("--")), self.names[0])
        return str(self.options.get("dest") or long.lstrip("-").replace("-", "_"))

    @property
    def metavar(self) -> str:
        """Of what kind it is."""
        return str(self.options.get("metavar"))

    @property
    def is_path(self) -> bool:
        """Whether it names a folder, or a file in one."""
        return self.metavar in {"FOLDER", "PATH"}

    @property
    def choices(self) -> Sequence[str]:
        """The only values it takes; none where others will do."""
        return self.options.get("choices") or ()

    @property
    def takes_value(self) -> bool:
        """Whether a value follows."""
        return not str(self.options.get("action", "")).startswith("store_")

    @property
    def repeats(self) -> bool:
        """Whether it may stand more than once."""
        return self.options.get("action") == "append"

    @property
    def takes_several(self) -> bool:
        """Whether several values follow."""
        return self.options.get("nargs") in {"+", "*"}


def argument(*names: str, **options: Any) -> Argument:
    """Declare an argument, as ``argparse.ArgumentParser.add_argument`` takes it."""
    return Argument(names, options)


def written(*names: str, **options: Any) -> Argument:
    """Declare an argument that names a file to be written: whether it can be is seen before the work is done."""
    return Argument(names, options, is_written=True)


@dataclass(frozen=True)
class Command:
    """A command, or a group of them.

    Attributes
    ----------
    path
        Its words.
    summary, about
        What it does, in a few words and in full.
    examples
        Lines as they are typed, without ``skillfleet``; one that begins with ``%`` is for notebooks only.
    arguments
        What it takes.
    run
        Carries it out and returns the answer; None for a group that does nothing by itself.
    task, place
        What a person wants to do with it, and where it stands among others for that.
    parts_are
        How the parts of a group are named in its help.
    parts
        Of a group, by name.
    """

    path: tuple[str, ...]
    summary: str
    about: str | None = None
    examples: Sequence[str] = ()
    arguments: tuple[Argument, ...] = ()
    run: Run | None = None
    task: str = TASKS[-1]
    place: int = 99
    parts_are: str = "command"
    parts: Mapping[str, Command] = field(default_factory=dict)


def command(
    name: str, summary: str, *arguments: Argument, about: str | None = None, examples: Sequence[str] = (),
    task: str = TASKS[-1], place: int = 99,
) -> Callable[[Run], Command]:  # fmt: skip
    """Declare the function below as what carries out a command; parameters are those of :class:`Command`.

    Examples
    --------
    ::

        @command("trials", "the trials of a job", argument("name", metavar="JOB"), examples=("trials intents",))
        def _trials(c: Context, a: argparse.Namespace) -> Table:
            return Table(c.fleet.trials(c.fleet.job(a.name).id))
    """
    return lambda run: Command(tuple(name.split()), summary, about, examples, arguments, run, task, place)


def group(name: str, summary: str, **more: Any) -> Command:
    """Declare a command that has parts; parameters are those of :class:`Command`."""
    return Command((name,), summary, **more)


def commands() -> dict[str, Command]:
    """Return every command that a module of this package declares, by its first word, in the order of tasks.

    Examples
    --------
    >>> list(commands()["selector"].parts)
    ['report']
    """
    package = import_module(__name__.rpartition(".")[0])
    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."))
    declared = [one for name in modules for one in vars(import_module(name)).values() if isinstance(one, Command)]
    tops = sorted((one for one in declared if len(one.path) == 1), key=lambda one: (TASKS.index(one.task), one.place))
    parts = {top.path: {one.path[1]: one for one in declared if one.path[:-1] == top.path} for top in tops}
    return {top.path[0]: replace(top, parts=parts[top.path]) for top in tops}
