"""The grammar: one argparse tree for the magic and for the shell."""

from __future__ import annotations

import argparse
import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from skillfleet_nb.commands import advice, dashboard, db, handlers, plots, programs, review, skills, trainset
from skillfleet_nb.commands.tasks import listing
from skillfleet_nb.errors import InputError, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.commands.context import Context


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

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        raise _Helped(parser.format_help())


class Parser(argparse.ArgumentParser):
    """Raises where argparse would exit, suggests the nearest option, and shows examples.

    Parameters
    ----------
    examples
        Lines as they are typed, without ``%skillfleet``; one that begins with ``%`` is for notebooks only.
    """

    def __init__(self, *, examples: Sequence[str] = (), **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(add_help=False, allow_abbrev=False, **kwargs)
        self.add_argument("-h", "--help", action=_Help)
        self._examples = examples

    @property
    def examples(self) -> list[str]:
        """Lines to try, as the person who asks would type them."""
        way = self.prog.split()[0]
        lines = [e if e.startswith("%") else f"{way} {e}" for e in self._examples]
        return lines if way.startswith("%") else [line for line in lines if not line.startswith("%")]

    def format_help(self) -> str:
        """Return the help, with the examples at its end."""
        shown = "".join(f"\n  {line}" for line in self.examples)
        return super().format_help() + (f"\nexamples:{shown}\n" if shown else "")

    def error(self, message: str) -> NoReturn:
        """Turn argparse's message into one line with the way out."""
        raise InputError(f"{self.prog}: {message}; see `{self.prog} --help`")

    def options(self) -> list[str]:
        """Every option string of this command."""
        return [s for action in self._actions for s in action.option_strings]

    def option(self, text: str) -> argparse.Action | None:
        """Find the argument of an option string; None where it is none."""
        return self._option_string_actions.get(text)

    def positionals(self) -> list[argparse.Action]:
        """Arguments without an option string, in order."""
        return self._get_positional_actions()

    def summaries(self) -> dict[str, str]:
        """What each subcommand does, in a few words."""
        actions = [a for a in self._actions if isinstance(a, argparse._SubParsersAction)]  # noqa: SLF001  as below
        return {c.dest: str(c.help or "") for a in actions for c in a._choices_actions}  # noqa: SLF001

    def children(self) -> dict[str, Parser]:
        """Subcommands by name."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  argparse has no public way
                return dict(action.choices)
        return {}


class _Top(Parser):
    """The whole tree: its help lists the commands by what one wants to do."""

    def format_help(self) -> str:
        return f"usage: {self.prog} COMMAND …\n\n{self.description}\n\n{listing(self)}\n"


def build(prog: str = "%skillfleet") -> Parser:
    """Build the tree; `prog` is how the person calls it."""
    top = _Top(prog=prog, description="Optimise DSPy programs, with the price known and nothing lost.")
    commands = top.add_subparsers(dest="command", metavar="command", parser_class=Parser)
    handlers.add(commands)
    programs.add(commands)
    review.add(commands)
    db.add(commands)
    plots.add(commands)
    dashboard.add(commands)
    skills.add(commands)
    trainset.add(commands)
    advice.add(commands)
    for parser in _leaves(top):
        parser.add_argument("--home", metavar="FOLDER", help="home folder; by default the nearest .skillfleet")
        parser.add_argument("--debug", action="store_true", help="show the trace of an error")
    return top


def _leaves(parser: Parser) -> list[Parser]:
    children = parser.children()
    return [leaf for child in children.values() for leaf in _leaves(child)] if children else [parser]


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
    >>> split("sql select * from jobs where name = 'demo'")[-1]
    "'demo'"
    """
    try:
        text = _without_comment(line)
        tokens = shlex.split(text)
        whole = tokens[:1] != ["sql"] or any(" " in token for token in tokens[1:2])
        return tokens if whole else shlex.split(text, posix=False)
    except ValueError as exc:
        raise InputError(f"cannot read {line.strip()!r}: {str(exc).lower()}; close the quote") from None


def _without_comment(line: str) -> str:
    quote, escaped = "", False
    for at, char in enumerate(line):
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in {"'", '"'}:
            quote = char
        elif char == "#" and not line[at - 1 : at].strip() and not line[at + 1 : at + 2].strip():
            return line[:at]
    return line


def one_line(exc: BaseException) -> str:
    r"""Say an error in one line, whatever it quotes.

    Examples
    --------
    >>> one_line(ValueError("no such label:\n  'x'"))
    "no such label: 'x'"
    """
    return " ".join(line.strip() for line in str(exc).splitlines() if line.strip())


def run(tokens: Sequence[str], context: Context, *, prog: str = "%skillfleet") -> Any:
    """Run one command and return what it answers.

    Raises
    ------
    SkillfleetError
        For anything the person can put right, in one line.
    """
    top = build(prog)
    tokens = list(tokens)
    if not tokens:
        return handlers.overview(context, top)
    if tokens[0] == "help":
        tokens = [*tokens[1:], "--help"]
    try:
        args = _parse(top, tokens)
    except _Helped as helped:
        return helped.text
    context.home = args.home
    return args.run(context, args)


def _parse(top: Parser, tokens: list[str]) -> argparse.Namespace:
    parser, rest = top, tokens
    while parser.children():
        if not rest or rest[0] in {"-h", "--help"}:
            raise _Helped(parser.format_help())
        if rest[0] not in parser.children():
            raise unknown("command", rest[0], parser.children(), hint=f"See `{top.prog} help`.")
        parser, rest = parser.children()[rest[0]], rest[1:]
    args, extra = parser.parse_known_args(rest)
    if extra:
        near = get_close_matches(extra[0], parser.options(), n=1)
        meant = f": did you mean {near[0]}?" if near else f"; see `{parser.prog} --help`"
        kind = "option" if extra[0].startswith("-") else "argument"
        raise InputError(f"{parser.prog}: unknown {kind} {extra[0]!r}{meant}")
    return args
