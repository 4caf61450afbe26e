"""The magic itself: it reads a line, runs the command, and turns a user's mistake into one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from skillfleet_nb.errors import SkillfleetError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from skillfleet_nb.fleet import Fleet

NAME = "skillfleet"


@magics_class
class SkillfleetMagics(Magics):  # type: ignore[misc]  # IPython is untyped
    """Holds what a session needs: one fleet per home."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._fleets: dict[str | None, Fleet] = {}

    def fleet(self, home: str | None) -> Fleet:
        """Find the session's fleet of a home; its jobs are the ones started here."""
        from skillfleet_nb.fleet import Fleet

        fleet = Fleet(home)  # resolves the home anew: the working folder may have changed
        key = str(fleet.home.root)
        return self._fleets.setdefault(key, fleet)

    @no_var_expand  # type: ignore[untyped-decorator]  # `{…}` of SQL and JSON is not for Python
    @line_cell_magic  # type: ignore[untyped-decorator]  # IPython is untyped
    def skillfleet(self, line: str, cell: str | None = None) -> Any:
        """Optimise DSPy programs; ``%skillfleet help`` lists the commands."""
        from skillfleet_nb.runs.interrupts import taken

        try:
            with taken():
                return self._answered(line, cell)
        except KeyboardInterrupt:
            raise UsageError("interrupted") from None
        except SkillfleetError as exc:
            if "--debug" in line.split():
                exc.shows_trace = True
                raise
            from skillfleet_nb.commands import one_line

            # Exactly UsageError: IPython shows a subclass of it with its traceback.
            raise UsageError(one_line(exc)) from None

    def _answered(self, line: str, cell: str | None) -> Any:
        from skillfleet_nb.commands import Context, run
        from skillfleet_nb.commands.expressions import expanded
        from skillfleet_nb.commands.tree import split
        from skillfleet_nb.magics.waiting import counting, wait
        from skillfleet_nb.widgets import shown

        context = Context(self.fleet, self.shell.user_ns, wait, display, counting, cell)
        words = split(line)
        is_query = words[:1] == ["sql"]  # it takes values as parameters, bound
        line_words = words if is_query else expanded(words, self.shell.user_ns)
        return shown(run(line_words, context), context)


def register(shell: InteractiveShell) -> None:
    """Register the magics and their completion; doing it twice changes nothing."""
    from skillfleet_nb.magics.completion import install

    magics = SkillfleetMagics(shell)
    shell.register_magics(magics)
    install(shell, magics.fleet)


def unregister(shell: InteractiveShell) -> None:
    """Take the magics and their completion away."""
    from skillfleet_nb.magics.completion import uninstall

    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(NAME, None)
    shell.magics_manager.registry.pop(SkillfleetMagics.__name__, None)
    uninstall(shell)
