"""Tab completion of ``%skillfleet``: commands, options, optimizers, jobs and variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import SkillfleetError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_VARIABLES = {"--train", "--val", "--test", "--metric", "--lm", "--prompt-lm"}
_OF_JOBS = {"job", "cancel", "diff", "resume", "save", "watch"}


def complete(shell: InteractiveShell, event: Any) -> list[str]:
    """Offer what may stand where the cursor is; IPython keeps what fits the word begun."""
    from skillfleet_nb.commands.resolve import own_variables
    from skillfleet_nb.commands.tree import build

    words = event.line.split()[1:]
    if event.symbol and words:
        words = words[:-1]  # the word being typed
    parser = build()
    while words and words[0] in parser.children():
        parser, words = parser.children()[words[0]], words[1:]
    if parser.children():
        return [*parser.children(), "help"]
    command, last = parser.prog.split()[1], words[-1] if words else ""
    if last == "--optimizer":
        from skillfleet_nb.optimizers.registry import available

        return list(available())
    if last == "--set":
        return _parameters(words)
    if last in _VARIABLES or (command == "optimize" and not words):
        return own_variables(shell.user_ns)
    if command in _OF_JOBS and not words:
        return _jobs(shell)
    return parser.options()


def _jobs(shell: InteractiveShell) -> list[str]:
    try:
        fleet = shell.find_line_magic("skillfleet").__self__.fleet(None)
        return list(dict.fromkeys(fleet.jobs().name))
    except SkillfleetError:  # a command says what is wrong with the home; a key press does not
        return []


def _parameters(words: list[str]) -> list[str]:
    from skillfleet_nb.optimizers.registry import available, load

    name = words[words.index("--optimizer") + 1] if "--optimizer" in words[:-1] else ""
    return [f"{field}=" for field in load(name).Params.model_fields] if name in available() else []
