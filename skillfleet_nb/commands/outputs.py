"""What a command writes, besides showing its answer: whether it can is seen before the work is done."""

from __future__ import annotations

import keyword
import os
from pathlib import Path
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import expanded
from skillfleet_nb.security import known_place
from skillfleet_nb.store.redacting import redacted_json

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context


def check_outputs(args: argparse.Namespace) -> None:
    """Refuse a file that cannot be written, a folder of nobody's, and a name that no variable can have.

    Files and folders are named from here on without ``~``: no shell stands before the magic.

    Raises
    ------
    InputError
        For each of them.
    """
    for one in args.command.arguments:
        value = getattr(args, one.dest)
        if one.is_path and value:
            several = isinstance(value, list)
            setattr(args, one.dest, [str(known_place(v)) for v in value] if several else str(known_place(value)))
        elif one.is_written and value:
            setattr(args, one.dest, _writable(value))
        elif one.dest == "output" and value and (keyword.iskeyword(value) or not value.isidentifier()):
            why = "no variable can have this name; use letters, digits and _, and no word of Python's own"
            raise InputError(f"{one.names[0]} {value!r}: {why}")


def keep_json(context: Context, file: str, text: str) -> None:
    """Write an answer as JSON, without what the settings of the home take out."""
    Path(file).write_text(redacted_json(getattr(context.fleet, "home", None), text) + "\n", "utf-8")


def _writable(named: str) -> str:
    file = expanded(named)
    try:
        if file.is_dir():
            raise InputError(f"cannot write {named!r}: it is a folder; name a file in it")
        if not file.parent.is_dir():
            raise InputError(f"cannot write {named!r}: there is no such folder; make it, or name another")
        file.exists()
    except OSError as exc:
        raise InputError(f"cannot write {named!r}: {exc.strerror}; write it elsewhere") from exc
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise InputError(f"cannot write {named!r}: it is not yours to write; write it elsewhere")
    return str(file)
