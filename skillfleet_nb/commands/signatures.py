"""Commands about signatures: whether saved programs fit the code, and how their signatures came about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.views import Table

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_SIGNATURES = group(
    "signatures", "whether saved programs fit the code; their versions and migrations", task="Keep", place=3
)
_FOLDER = argument(
    "--root", metavar="FOLDER", help="look at the JSON files of programs below it, not at what is registered"
)
_ONTO = argument("--onto", metavar="PROGRAM", help="the program they are put onto; default: each one's own class")
_CHECK = """Look whether saved programs fit the code of today: the last version of each registered name and those that
aliases stand for, or the JSON files of a folder. Fails where one does not fit, for use in CI."""
_MIGRATE = """Bring saved programs to the versions that the code's signatures declare with sf.signature_version.

Without --apply it is only told. A registered program becomes the next version of its name, and aliases stay where they
are; a file is written anew, and what it was is kept beside it as .bak."""


@command(
    "signatures check",
    "whether saved programs fit the code",
    _FOLDER,
    _ONTO,
    about=_CHECK,
    examples=("signatures check", "signatures check --root saved/"),
)
def _check(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.registry.check(a.root, c.object(a.onto, "program") if a.onto else None)


@command(
    "signatures migrate-all",
    "bring saved programs to the code's signatures; tells what it would do, unless --apply",
    _FOLDER,
    _ONTO,
    argument("--apply", action="store_true", help="do it"),
    about=_MIGRATE,
    examples=("signatures migrate-all", "signatures migrate-all --root saved/ --apply"),
)
def _migrate(c: Context, a: argparse.Namespace) -> object:
    onto = c.object(a.onto, "program") if a.onto else None
    return c.fleet.registry.migrate_all(a.root, onto, apply=a.apply)


@command(
    "signatures history",
    "the signatures of each version of a registered program",
    argument("name", metavar="REGISTERED", help="name of a registered program"),
    examples=("signatures history support-intents",),
)
def _history(c: Context, a: argparse.Namespace) -> object:
    return Table(c.fleet.registry.signatures(a.name))
