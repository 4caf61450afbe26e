"""The grammar: one argparse tree for the magic and for the shell."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import warnings
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from skillfleet_nb.commands.expressions import keys_kept
from skillfleet_nb.commands.grammar import argument, commands
from skillfleet_nb.commands.job_views import Overview
from skillfleet_nb.commands.outputs import check_outputs
from skillfleet_nb.commands.tasks import listing
from skillfleet_nb.errors import InputError, SkillfleetError, unknown
from skillfleet_nb.format import visible
from skillfleet_nb.messages import MAGIC, read_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.commands.grammar import Argument, Command

_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""")  # of SQL, with what is quoted as it stands
_ABOUT = "Optimise DSPy programs, with the price known and nothing lost."
_EVERYWHERE = (
    argument("--home", metavar="FOLDER", help="home folder; by default the nearest .skillfleet"),
    argument("--debug", action="store_true", help="show the trace of an error"),
)


class HelpText(str):
    """Help to be shown as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class _Helped(Exception):  # noqa: N818  control flow of argparse, not an error
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = HelpText(text)


class _Help(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        del kwargs
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help="show this help")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        raise _Helped(parser.format_help())


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would exit, and shows examples."""

    def __init__(self, *, examples: Sequence[str] = (), **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(add_help=False, allow_abbrev=False, **options)
        self.add_argument("-h", "--help", action=_Help)
        self._examples = examples

    def format_help(self) -> str:
        """Return the help, with the examples at its end."""
        shown = "".join(f"\n  {line}" for line in examples(self._examples, self.prog.split()[0]))
        return super().format_help() + (f"\nexamples:{shown}\n" if shown else "")

    def error(self, message: str) -> NoReturn:
        """Turn argparse's message into one line with the way out."""
        raise InputError(f"{self.prog}: {message}; see `{self.prog} --help`")


def examples(lines: Sequence[str], prog: str) -> list[str]:
    """Return lines to try, as the person who calls the tree by `prog` would type them."""
    typed = [line if line.startswith("%") else f"{prog} {line}" for line in lines]
    return typed if prog.startswith("%") else [line for line in typed if not line.startswith("%")]


def _parser(command: Command, prog: str) -> _Parser:
    """Make what reads the arguments of a command, or shows the help of a group."""
    parser = _Parser(prog=f"{prog} {' '.join(command.path)}", description=_about(command), examples=command.examples)
    if command.run is None:
        parts = parser.add_subparsers(metavar=command.parts_are)
        for name, part in command.parts.items():
            parts.add_parser(name, help=part.summary)
    for one in options_of(command):
        parser.add_argument(*one.names, **one.options)
    return parser


def _about(command: Command) -> str | None:
    """Describe a command, and the parts of one that does something by itself as well."""
    if command.run is None or not command.parts:
        return command.about
    parts = [f"  {' '.join(part.path):<20} {part.summary}" for part in command.parts.values()]
    return "\n".join([f"{command.about or command.summary}\n\nalso:", *parts])


def options_of(command: Command) -> tuple[Argument, ...]:
    """Return the arguments of a command, with those that every command takes."""
    return command.arguments if command.run is None else (*command.arguments, *_EVERYWHERE)


def split(line: str) -> list[str]:
    """Split a line as a shell does; what follows a ``#`` that stands alone is a comment.

    A query keeps its quotes, which are SQL's, unless it is quoted as a whole.

    Raises
    ------
    InputError
        If a quote is not closed.

    Examples
    --------
    >>> split("sql 'select 1 # 2' --limit 5  # the first five")
    ['sql', 'select 1 # 2', '--limit', '5']
    >>> split("sql select * from jobs where name='it''s  a demo'")[-1]
    "name='it''s  a demo'"
    """
    try:
        text = _without_comment(line)
        tokens = shlex.split(keys_kept(text))
        whole = tokens[:1] != ["sql"] or any(" " in token for token in tokens[1:2])
        return tokens if whole else _WORD.findall(text)
    except ValueError as exc:
        raise InputError(f"cannot read {line.strip()!r}: {str(exc).lower()}; close the quote") from None


def _without_comment(line: str) -> str:
    quote, escaped = "", False
    for i, char in enumerate(line):
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in {"'", '"'}:
            quote = char
        elif char == "#" and not line[i - 1 : i].strip() and not line[i + 1 : i + 2].strip():
            return line[:i]
    return line


def one_line(exc: BaseException) -> str:
    r"""Say an error in one line, whatever it quotes.

    Examples
    --------
    >>> one_line(ValueError("no such label:\n  'x'"))
    "no such label: 'x'"
    """
    return visible(" ".join(line.strip() for line in str(exc).splitlines() if line.strip()))


def help_of(words: Sequence[str], *, prog: str = MAGIC) -> HelpText:
    """Return the help of the command that these words name.

    Examples
    --------
    >>> help_of(["db", "status"]).splitlines()[0]
    'usage: %skillfleet db status [-h] [--home FOLDER] [--debug]'

    Raises
    ------
    NotFoundError
        If there is no such command.
    """
    with read_in(prog):
        try:
            _parse([*words, "--help"], prog)
        except _Helped as helped:
            return helped.text
    raise AssertionError("a command line that ends in --help is answered with help")


def run(tokens: Sequence[str], context: Context, *, prog: str = MAGIC) -> object:
    """Run one command and return what it answers; `prog` is how the person calls the tree.

    Raises
    ------
    SkillfleetError
        For anything the person can put right, in one line.
    """
    if tokens and tokens[0] == "help":
        return help_of(tokens[1:], prog=prog)
    with read_in(prog):
        if not tokens:
            return _overview(context, prog)
        _check_text(tokens)
        try:
            args = _parse(list(tokens), prog)
        except _Helped as helped:
            return helped.text
        context.home = args.home
        try:
            check_outputs(args)
            with _age_told(prog):
                return args.command.run(context, args)
        except OSError as exc:
            if isinstance(exc, SkillfleetError) or exc.filename is None:
                raise
            raise InputError(f"cannot use {str(exc.filename)!r}: {exc.strerror}; give another path") from exc


def _check_text(tokens: Sequence[str]) -> None:
    """Refuse what neither a name nor a file can hold, before it gets anywhere."""
    for token in tokens:
        if "\0" in token:
            raise InputError(f"{token!r} holds a NUL character, which no name and no path can: leave it out")
        try:
            token.encode()
        except UnicodeEncodeError:
            raise InputError(f"{token!r} is not UTF-8: give it in UTF-8, and name files so") from None


@contextmanager
def _age_told(prog: str) -> Iterator[None]:
    """Say in a line, once for a command, that an answer is not of this moment, and why."""
    from skillfleet_nb.store import StaleWarning

    with warnings.catch_warnings():
        warnings.simplefilter("always", StaleWarning)
        show, is_told = warnings.showwarning, False

        def told(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            nonlocal is_told
            if issubclass(category, StaleWarning):
                if is_told:
                    return
                is_told = True
                sys.stderr.write(f"{prog}: {visible(str(message))}\n")
            else:
                show(message, category, *where, **more)

        warnings.showwarning = told
        yield


def _parse(words: list[str], prog: str) -> argparse.Namespace:
    """Read a line: first the words of the command, then what it takes."""
    if words[0] in {"-h", "--help"}:
        raise _Helped(f"usage: {prog} COMMAND …\n\n{_ABOUT}\n\n{listing(prog)}\n")
    all_commands = commands()
    if words[0] not in all_commands:
        raise unknown("command", words[0], all_commands, hint=f"See `{prog} help`.")
    command, rest = all_commands[words[0]], words[1:]
    while command.parts and rest and rest[0] not in {"-h", "--help"}:
        if rest[0] not in command.parts:
            if command.run is not None:
                break
            raise unknown("command", rest[0], command.parts, hint=f"See `{prog} help`.")
        command, rest = command.parts[rest[0]], rest[1:]
    parser = _parser(command, prog)
    if command.run is None:
        raise _Helped(parser.format_help())
    args, extra = parser.parse_known_args(rest)
    if extra:
        near = get_close_matches(extra[0], [name for one in options_of(command) for name in one.names], n=1)
        meant = f": did you mean {near[0]}?" if near else f"; see `{parser.prog} --help`"
        kind = "option" if extra[0].startswith("-") else "argument"
        raise InputError(f"{parser.prog}: unknown {kind} {extra[0]!r}{meant}")
    args.command = command
    return args


def _overview(context: Context, prog: str) -> Overview:
    """Show what there is: the home, the newest jobs, the model, and the commands."""
    dspy = sys.modules.get("dspy")  # not imported to tell that nothing is configured in it
    lm = getattr(dspy.settings, "lm", None) if dspy is not None else None
    return Overview(context.fleet, prog, str(lm.model) if lm is not None else None)
