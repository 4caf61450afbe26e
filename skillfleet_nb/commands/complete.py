"""What may come next on a command line: commands, options, and names of the right kind.

The grammar says what an argument takes by its metavar: a ``JOB`` is offered jobs, a ``PROGRAM`` the
notebook's programs.  A new command that uses these words is completed without further ado.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from inspect import isclass
from itertools import chain, pairwise
from shlex import quote
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union, get_args, get_origin

from skillfleet_nb.charts import kinds
from skillfleet_nb.commands.grammar import commands
from skillfleet_nb.commands.resolve import METRICS, SUFFIXES, own_variables
from skillfleet_nb.commands.tree import options_of
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.events import JobState
from skillfleet_nb.format import expanded
from skillfleet_nb.lm.task_models import OWN
from skillfleet_nb.modules.registry import names as modules
from skillfleet_nb.monitoring.drift_report import KINDS
from skillfleet_nb.plugins import points
from skillfleet_nb.runs.creation import GATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from skillfleet_nb.commands.grammar import Argument, Command
    from skillfleet_nb.fleet import Fleet

_FRAMES = {"DataFrame", "Table", "Dataset", "DatasetDict"}  # of pandas, polars, Arrow and Hugging Face


class Offer(NamedTuple):
    """A text that may stand at the cursor, and what it is: ``"command"``, ``"option"``, ``"job"``, …."""

    text: str
    kind: str


class CommandLine(NamedTuple):
    """A line being typed: its whole words, and the word at the cursor, which may be empty."""

    words: list[str]
    word: str

    @classmethod
    def read(cls, text: str) -> CommandLine:
        """Cut a line up to the cursor at the spaces that stand outside quotes.

        Examples
        --------
        >>> CommandLine.read("job 'my first j")
        CommandLine(words=['job'], word="'my first j")
        """
        words, word, inside = [], "", ""
        for char in text:
            if not inside and char.isspace():
                words += [word] if word else []
                word = ""
                continue
            word += char
            if inside:
                inside = "" if char == inside else inside
            elif char in "'\"":
                inside = char
        return cls(words, word)


def offers(text: str, namespace: Mapping[str, Any], fleet: Callable[[], Fleet]) -> tuple[str, list[Offer]]:
    """Tell what may come next.

    Parameters
    ----------
    text
        The line up to the cursor, without ``%skillfleet``.
    namespace
        The notebook's variables.
    fleet
        Makes the fleet whose jobs are offered; called only where jobs are wanted.

    Returns
    -------
    tuple
        The word begun, and what it may become, in a useful order.

    Examples
    --------
    >>> word, found = offers("optimi", {}, lambda: None)
    >>> [offer.text for offer in found]
    ['optimize', 'optimizers']
    """
    words, word = CommandLine.read(text)
    helps = words[:1] == ["help"]
    words = words[1:] if helps else words
    command, parts = None, commands()
    while words and words[0] in parts:
        command, words = parts[words[0]], words[1:]
        parts = dict(command.parts)
    top = [] if helps or command is not None else ["help"]
    offered = chain(parts if command else sorted(parts), top) if parts and not words else []
    matches = [Offer(name, "command") for name in offered]
    if not helps and command is not None and command.run is not None:
        matches += _arguments(command, words, word, _Names(namespace, fleet, command, words, word))
    return word, [offer for offer in matches if offer.text.startswith(word)]


def _arguments(command: Command, words: list[str], word: str, names: _Names) -> list[Offer]:
    arguments = options_of(command)
    options = {name: one for one in arguments if one.is_option for name in one.names}
    positionals, taken = [one for one in arguments if not one.is_option], 0
    used: set[str] = set()
    waits: Argument | None = None
    for text in words:
        option = options.get(text)
        if waits is not None:
            waits = None
        elif option is not None:
            used.update(() if option.repeats else option.names)
            waits = option if option.takes_value else None
        else:
            taken += 1
    if waits is not None:
        return names.of(waits)
    many = bool(positionals) and positionals[-1].takes_several
    index = min(taken, len(positionals) - 1) if many else taken
    values = names.of(positionals[index]) if index < len(positionals) and not word.startswith("-") else []
    return values or [Offer(name, "option") for name in ("-h", "--help", *options) if name not in used]


class _Names:
    """Finds names of the kind that an argument takes."""

    def __init__(
        self, namespace: Mapping[str, Any], fleet: Callable[[], Fleet], command: Command, words: list[str], word: str
    ) -> None:
        self._namespace, self._fleet, self._command, self._words, self._word = namespace, fleet, command, words, word

    def of(self, argument: Argument) -> list[Offer]:
        """Offer what an argument takes; nothing where that can be anything."""
        if argument.choices:
            return [Offer(choice, "value") for choice in argument.choices]
        makers: dict[str, Callable[[], Iterable[Offer]]] = {
            "PROGRAM": partial(self._variables, _is_program),
            "METRIC": self._metrics,
            "DATA": lambda: chain(self._variables(_is_data), self._paths(SUFFIXES)),
            "LM": self._models,
            "JOB": self._jobs,
            "TRACED": lambda: chain(self._jobs(), (Offer(quote(name), "program") for name in self._fleet().monitored)),
            "MONITORED": lambda: chain(
                self._variables(lambda value: type(value).__name__ == "Monitored"),
                (Offer(quote(name), "program") for name in self._fleet().monitored),
            ),
            "REF": self._references,
            "REGISTERED": lambda: (Offer(name, "program") for name in self._fleet().registry.names),
            "CHECKED": lambda: (Offer(str(n), "value") for n in dict.fromkeys(self._fleet().drift.history().name)),
            "KINDS": lambda: (Offer(kind, "value") for kind in KINDS),
            "POLICY": lambda: (Offer(name, "value") for name in self._fleet().learning.names),
            "TRIGGER": lambda: (Offer(one, "value") for one in ("drift", "model", "feedback:50", "every:7d")),
            "GOLDEN": lambda: (Offer(name, "value") for name in self._fleet().golden_sets.names),
            "TASK": lambda: (Offer(name, "value") for name in dict.fromkeys(self._fleet().jobs()["program"])),
            "INSIGHT": lambda: (Offer(one.id, "value") for one in self._fleet().insights(everything=True).insights),
            "NOTE": lambda: (Offer(note, "value") for note in self._fleet().notes.names),
            "TEST": lambda: (Offer(name, "value") for name in self._fleet().ab_tests.names),
            "SPLIT": lambda: (Offer(one, "value") for one in ("50:50", "90:10", "ramp", "adaptive")),
            "LIMIT": lambda: (Offer(one, "value") for one in ("cost<=1.2x", "latency<=1.5x")),
            "ALIAS": lambda: (Offer(alias, "value") for alias in self._aliases()),
            "OPTIMIZER": _optimizers,
            "CLASS": lambda: chain(self._variables(_is_optimizer), _optimizers()),
            "MODULE": lambda: (Offer(name, "value") for name in modules()),
            "CHART": lambda: (Offer(kind, "value") for kind in kinds()),
            "KEY=VALUE": self._parameters,
            "TEMPLATE": self._templates,
            "WHERE": lambda: (Offer(where, "value") for where in (*GATES, "cost=")),
            "WHEN": lambda: (Offer(when, "value") for when in ("accept", "cost=")),
            "TAG": lambda: (
                Offer(quote(t), "value") for t in sorted({t for ts in self._fleet().jobs().tags for t in ts})
            ),
            "STATE": lambda: (Offer(str(s), "value") for s in JobState),
            "STRATEGY": _strategies,
            "BACKUP": lambda: (Offer(quote(b), "value") for b in self._fleet().store.status().backups),
            "FOLDER": partial(self._paths, ()),
            "PATH": self._paths,
            "FILE": self._paths,
        }
        make = makers.get(argument.metavar.split(".")[0])
        try:
            return list(make()) if make else []
        except SkillfleetError:  # a command says what is wrong with the home; a key press does not
            return []

    def _variables(self, fits: Callable[[object], bool]) -> Iterable[Offer]:
        return [Offer(n, "instance") for n in own_variables(self._namespace) if fits(self._namespace[n])]

    def _metrics(self) -> Iterable[Offer]:
        registered = [point.name for point in points(METRICS)]
        return chain(self._variables(_is_metric), (Offer(name, "function") for name in registered))

    def _models(self) -> Iterable[Offer]:
        roles = self._fleet().settings.task_models.given
        return chain(self._variables(_is_lm), (Offer(name, "value") for name in (*roles, *OWN)))

    def _jobs(self) -> Iterable[Offer]:
        if self._command.path == ("delete",) and "--undo" in self._words:
            return [Offer(quote(d.name), "job") for d in self._fleet().curation.deleted()]
        waiting = self._command.path == ("answer",)
        jobs = self._fleet().jobs(str(JobState.PENDING_HITL) if waiting else None)
        return [Offer(quote(str(name)), "job") for name in dict.fromkeys(jobs.name)]

    def _references(self) -> Iterable[Offer]:
        registry = self._fleet().registry
        aliased = (f"{name}@{alias}" for name in registry.names for alias in registry.aliases(name))
        offers = (Offer(ref, "program") for ref in chain(registry.names, aliased))
        return chain(offers, self._jobs()) if self._command.path[-1] == "show" else offers

    def _aliases(self) -> Iterable[str]:
        registry, name = self._fleet().registry, self._words[0]
        return dict.fromkeys([*(registry.aliases(name) if name in registry.names else ()), "production", "candidate"])

    def _templates(self) -> Iterable[Offer]:
        from skillfleet_nb.skills import list_templates

        own = [folder for option, folder in pairwise(self._words) if option == "--templates"]
        return [Offer(template.name, "value") for template in list_templates(*own).templates]

    def _parameters(self) -> Iterable[Offer]:
        from skillfleet_nb.optimizers.registry import available, load

        named = self._command.path == ("optimizers", "check")
        index = (
            self._words.index("--optimizer") + 1 if "--optimizer" in self._words else 0 if named else len(self._words)
        )
        if index >= len(self._words) or self._words[index] not in available():
            return []
        try:
            fields = load(self._words[index]).Params.model_fields
        except SkillfleetError:  # a plugin that is broken
            return []
        key, equals, _ = self._word.partition("=")
        if not equals:
            return [Offer(f"{name}=", "parameter") for name in fields]
        return [Offer(f"{key}={v}", "value") for v in _values(fields[key].annotation)] if key in fields else []

    def _paths(self, suffixes: tuple[str, ...] | None = None) -> Iterable[Offer]:
        """Offer folders, and files: any, or those with these suffixes."""
        folder, _, begun = self._word.rpartition("/")
        place = expanded((folder or "/") if self._word.startswith("/") else folder or ".")
        try:
            inside = sorted(place.iterdir())
        except OSError:
            return []
        lead = f"{folder}/" if "/" in self._word else ""
        fitting = [
            p
            for p in inside
            if p.name.startswith(begun) and (p.is_dir() or suffixes is None or p.suffix.lower() in suffixes)
        ]
        if not begun.startswith("."):  # what is hidden only where nothing else is
            fitting = [p for p in fitting if not p.name.startswith(".")] or fitting
        return [Offer(f"{lead}{p.name}{'/' if p.is_dir() else ''}", "path") for p in fitting if " " not in p.name]


def _is_optimizer(value: object) -> bool:
    from skillfleet_nb.optimizers import Optimizer

    return isinstance(value, type) and issubclass(value, Optimizer)


def _optimizers() -> Iterable[Offer]:
    from skillfleet_nb.optimizers.registry import available

    return [Offer(name, "value") for name in available()]


def _strategies() -> Iterable[Offer]:
    from skillfleet_nb.data.selection import STRATEGIES

    return [Offer(name, "value") for name in STRATEGIES]


def _values(annotation: Any) -> list[str]:
    """List the values of a type that has few."""
    if annotation is bool:
        return ["true", "false"]
    origin = get_origin(annotation)
    if origin is Literal:
        return [str(v) for v in get_args(annotation)]
    if origin in {Union, UnionType}:
        return [v for part in get_args(annotation) for v in _values(part)]
    return []


def _of_dspy(name: str) -> tuple[type, ...]:
    """Return a class of DSPy, where that is loaded: what a notebook made with it cannot exist before."""
    dspy = sys.modules.get("dspy")
    cls = getattr(dspy, name, None)
    return (cls,) if isclass(cls) else ()


def _is_program(value: object) -> bool:
    return isinstance(value, _of_dspy("Module"))


def _is_lm(value: object) -> bool:
    return isinstance(value, _of_dspy("BaseLM"))


def _is_metric(value: object) -> bool:
    return callable(value) and not isclass(value) and not _is_program(value) and not _is_lm(value)


def _is_data(value: object) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and isinstance(value[0], (Mapping, *_of_dspy("Example")))
    return type(value).__name__ in _FRAMES
