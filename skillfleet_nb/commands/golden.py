"""Commands of golden sets; each calls one facade method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.views import Table

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_ADD = """Keep examples that a registered program is checked by from now on; a set that is kept never changes.

With --score-now the program answers them, twice, and is scored: its first answers are what later ones are compared
with, and how far the second differ is what any drop has to be seen through. The same examples stay the version they
are; others, or other answers, make the next one."""

_golden = group(
    "golden",
    "examples with answers and scores that programs are checked by: add, list, show",
    about="Keep examples that never change, to see later whether a program is still as good.",
    task="Keep",
    place=89,
)


@command(
    "golden add",
    "keep examples, and have a program answer them",
    argument("name", metavar="REGISTERED", help="what the set is called: by custom as the program it is for"),
    argument("--from", dest="rows", metavar="DATA", help="examples; default: those of the set's last version"),
    argument("--program", metavar="REF", help="the program; default: NAME@production, or the last version of NAME"),
    argument("--metric", metavar="METRIC", help="default: that of the program's job"),
    argument("--lm", metavar="LM", help="variable, 'offline', 'local', or model name; default: dspy's, or the job's"),
    argument("--score-now", dest="score", action="store_true", help="have the program answer now, which buys calls"),
    about=_ADD,
    examples=("golden add support-intents --from golden.csv --score-now",),
)
def _add(c: Context, a: argparse.Namespace) -> object:
    return c.call(c.fleet.golden_sets.add, a)


@command("golden list", "the sets, and how often they were used", examples=("golden list",))
def _list(c: Context, a: argparse.Namespace) -> object:
    del a
    return Table(c.fleet.golden_sets.listing())


@command(
    "golden show",
    "a set: its examples, answers and scores, and what a check by it can see",
    argument("name", metavar="GOLDEN", help="NAME, or NAME@VERSION"),
    argument("--history", action="store_true", help="how it was made and used instead"),
    examples=("golden show support-intents", "golden show support-intents --history"),
)
def _show(c: Context, a: argparse.Namespace) -> object:
    return Table(c.fleet.golden_sets.history(a.name)) if a.history else c.fleet.golden(a.name)
