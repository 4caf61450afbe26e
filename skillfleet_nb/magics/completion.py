"""Tab completion of ``%skillfleet``, as IPython asks for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import InteractiveShell

    from skillfleet_nb.fleet import Fleet

IDENTIFIER = "skillfleet_nb"
_LINE = re.compile(r"^\s*(?:[^=%]+=\s*)?%{1,2}skillfleet\s+(?P<rest>.*)$")
_QUERY = re.compile(r"\s*(?:%%skillfleet\s+sql\b[^\n]*\n|sql\s+(?!-))(?P<query>[\s\S]*)$")


def matcher(shell: InteractiveShell, fleet: Callable[[str | None], Fleet]) -> Any:
    """Make IPython's matcher: it answers on lines of the magic alone, and there keeps others silent."""

    @context_matcher(identifier=IDENTIFIER)  # type: ignore[untyped-decorator]  # IPython is untyped
    def complete(context: CompletionContext) -> dict[str, Any]:
        from skillfleet_nb.commands.complete import offers
        from skillfleet_nb.commands.complete_sql import offers_of_sql

        line = _LINE.match(context.line_with_cursor[: context.cursor_position])
        query = _QUERY.match(context.full_text if line is None else line["rest"])
        if query is not None:
            before = context.text_until_cursor
            word, matches = offers_of_sql(before, query["query"], shell.user_ns, lambda: fleet(None))
        elif line is not None:
            word, matches = offers(line["rest"], shell.user_ns, lambda: fleet(None))
        else:
            return {"completions": []}
        made = [SimpleCompletion(text=offer.text, type=offer.kind) for offer in matches]
        return {"completions": made, "matched_fragment": word, "suppress": bool(made), "ordered": True}

    return complete


def install(shell: InteractiveShell, fleet: Callable[[str | None], Fleet]) -> None:
    """Complete lines of the magic, in place of what did so before."""
    uninstall(shell)
    shell.Completer.custom_matchers.append(matcher(shell, fleet))


def uninstall(shell: InteractiveShell) -> None:
    """Complete them no more."""
    kept = [m for m in shell.Completer.custom_matchers if getattr(m, "matcher_identifier", "") != IDENTIFIER]
    shell.Completer.custom_matchers[:] = kept
