"""Commands by what a person wants to do, for the overview and for ``help``."""

from __future__ import annotations

from skillfleet_nb.commands.grammar import TASKS, commands


def by_task() -> list[tuple[str, list[tuple[str, str]]]]:
    """List the commands with what each does, by task."""
    all_commands = commands()
    tasks = [(task, [(name, c.summary) for name, c in all_commands.items() if c.task == task]) for task in TASKS]
    return [(task, part) for task, part in tasks if part]


def listing(prog: str) -> str:
    """Return that list as text, and how to read on; `prog` is how the person calls the tree."""
    tasks = by_task()
    width = max(len(name) for _, part in tasks for name, _ in part)
    parts = ["\n".join([task, *(f"  {name:<{width}}  {does}" for name, does in part)]) for task, part in tasks]
    return "\n\n".join([*parts, more_help(prog)])


def more_help(prog: str) -> str:
    """Say how to read on."""
    return f"{prog} help COMMAND shows a command's options and examples"
