"""Commands by what a person wants to do, for the overview and for ``help``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skillfleet_nb.commands.tree import Parser

TASKS = {
    "Prepare": ("demo", "doctor", "trainset", "headroom", "optimizers", "recommend", "estimate"),
    "Optimise": ("optimize", "watch", "answer", "pause", "unpause", "cancel", "resume"),
    "Learn from runs": (
        "dashboard",
        "jobs",
        "job",
        "compare",
        "programs",
        "program",
        "diff",
        "plot",
        "sql",
        "selector",
    ),
    "Keep": ("save", "export", "db"),
    "Agent skills": ("skill",),
}
"""What a person wants to do, and the commands for it, in the order they are needed."""


def by_task(top: Parser) -> list[tuple[str, list[tuple[str, str]]]]:
    """List the commands of the tree with what each does, by task; those without a task come last."""
    does = top.summaries()
    named = {name for names in TASKS.values() for name in names}
    tasks = {**TASKS, "More": tuple(name for name in does if name not in named)}
    found = [(task, [(name, does[name]) for name in names if name in does]) for task, names in tasks.items()]
    return [(task, commands) for task, commands in found if commands]


def listing(top: Parser) -> str:
    """Return that list as text, and how to read on."""
    tasks = by_task(top)
    width = max(len(name) for _, commands in tasks for name, _ in commands)
    parts = ["\n".join([task, *(f"  {name:<{width}}  {does}" for name, does in part)]) for task, part in tasks]
    return "\n\n".join([*parts, more_help(top)])


def more_help(top: Parser) -> str:
    """Say how to read on."""
    return f"{top.prog} help COMMAND shows a command's options and examples"
