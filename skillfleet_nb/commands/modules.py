"""Commands about modules that installed packages bring along; each calls one method of ``fleet.modules``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_MODULES = group("modules", "modules by name and version: what they do and take", task="Prepare", place=8)


@command("modules list", "every module: versions, what it does, package", examples=("modules list",))
def _list(c: Context, a: argparse.Namespace) -> object:
    del a
    return c.fleet.modules.listing()


@command(
    "modules info",
    "one module: what it does, its configuration, how it is made",
    argument("name", metavar="MODULE", help="see the command modules list"),
    argument("--with-versions", action="store_true", help="show every version beside the newest"),
    examples=("modules info resilient", "modules info resilient --with-versions"),
)
def _info(c: Context, a: argparse.Namespace) -> object:
    return c.fleet.modules.info(a.name, with_versions=a.with_versions)
