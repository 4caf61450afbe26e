"""Registered programs to look through: versions as a timeline, aliases as flags, evidence, promotion and rollback."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets as t

from skillfleet_nb.design import script, stylesheet
from skillfleet_nb.errors import InputError, JobError, NotFoundError, SkillfleetError
from skillfleet_nb.format import counted
from skillfleet_nb.html import fill, render, table
from skillfleet_nb.reports.registered_page import VersionList
from skillfleet_nb.reports.registry_timeline import SHOWN, legend, timeline
from skillfleet_nb.widgets.clicks import let_in
from skillfleet_nb.widgets.face import Face

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from skillfleet_nb.programs.registry import Move
    from skillfleet_nb.reports.evidence import Evidence
    from skillfleet_nb.reports.registered import Registered
    from skillfleet_nb.reports.registered_page import RegisteredProgram

_STATIC = Path(__file__).parent / "static"
_ROWS = 20  # names on a page
_COMPARED = 3  # aliases that a version is compared with as it is opened
_USUAL = ("production", "candidate")


class RegistryPage(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget is untyped
    """Pieces of HTML, shown as they are; what is clicked in them comes back as messages."""

    _esm = script(_STATIC / "registry.js")
    _css = stylesheet(_STATIC / "registry.css")
    listing = t.Unicode("").tag(sync=True)
    opened = t.Unicode("").tag(sync=True)
    panel = t.Unicode("").tag(sync=True)
    told = t.Unicode("").tag(sync=True)
    many = t.Bool(False).tag(sync=True)
    heard = t.Int(0).tag(sync=True)


class RegistryBrowser(Face):
    """Registered programs, one open at a time.  Whatever can be clicked is a method as well.

    Parameters
    ----------
    shown
        The list of them, or a version, which is opened.
    registry
        ``fleet.registry``.
    """

    def __init__(self, shown: VersionList | RegisteredProgram, registry: Registered) -> None:
        self._registry = registry
        self._list = shown if isinstance(shown, VersionList) else None
        self._open: RegisteredProgram | None = None if isinstance(shown, VersionList) else shown
        self._until = 0  # the last version of the timeline's window
        self._find, self._at = "", 0
        self._asked: tuple[str, str, int, Evidence] | None = None
        self.box = RegistryPage(many=self._list is not None and len(self._list.rows) > 1)
        let_in(self.box.comm)
        self.box.on_msg(self._on_message)
        if self._open is None and self._list is not None and len(self._list.rows) == 1:
            self._open = registry.show(self._list.rows[0].last.name)
        self._look()
        self._draw()

    @property
    def answer(self) -> VersionList | RegisteredProgram:
        """What is shown, for pages without widgets."""
        return self._list or self._open or self._registry.listing()

    @property
    def program(self) -> RegisteredProgram | None:
        """The version that is open."""
        return self._open

    def find(self, text: str) -> None:
        """List the names that hold a text."""
        self._find, self._at = text.strip().casefold(), 0
        self._draw()

    def open(self, ref: str) -> RegisteredProgram:
        """Open a registered program, or one version of it; raises `NotFoundError` as ``program show`` does."""
        self._open, self._asked = self._registry.show(ref), None
        self._look()
        self._draw()
        return self._open

    def ask_promotion(self, alias: str, version: int | None = None) -> Evidence:
        """Show what speaks for setting an alias to a version, by default the open one; nothing is moved.

        Raises
        ------
        InputError, NotFoundError
            If nothing is open, or there is no such version.
        """
        program = self._opened()
        version = program.version.version if version is None else version
        evidence = self._registry.evidence(program.version.name, alias, version)
        self._asked = "promote", alias, version, evidence
        self._draw()
        return evidence

    def promote(self, alias: str, version: int | None = None, *, force: str | None = None) -> Evidence:
        """Set an alias to a version, by default the open one; raises as :meth:`skillfleet_nb.Fleet.alias` does."""
        program = self._opened()
        version = program.version.version if version is None else version
        since = self._asked[3].moves if self._asked and self._asked[:3] == ("promote", alias, version) else None
        evidence = self._registry.move(program.version.name, alias, version, force=force, since=since)
        self._moved(f"{program.version.name}@{alias} is version {version}: {evidence.text}")
        return evidence

    def ask_rollback(self, alias: str, to: int | None = None) -> Evidence:
        """Show where an alias would go back to, and how the two versions compare; nothing is moved.

        Raises
        ------
        InputError, JobError, NotFoundError
            If nothing is open, or the alias cannot go back there.
        """
        name = self._opened().version.name
        version = self._registry.earlier(name, alias, to)
        evidence = self._registry.evidence(name, alias, version)
        self._asked = "back", alias, version, evidence
        self._draw()
        return evidence

    def roll_back(self, alias: str, to: int | None = None) -> Move:
        """Set an alias back; raises as :meth:`skillfleet_nb.Fleet.rollback` does."""
        name = self._opened().version.name
        since = self._asked[3].moves if self._asked and self._asked[:2] == ("back", alias) else None
        move = self._registry.rollback(name, alias, to, since=since)
        self._moved(f"{name}@{alias} is version {move.version} again, after {move.previous}")
        return move

    def refresh(self) -> None:
        """Take in what others registered and moved."""
        if self._list is not None:
            self._list = self._registry.listing()
        if self._open is not None:
            self._open = self._registry.show(self._open.version.ref)
        self._draw()

    def _look(self) -> None:
        """Have the timeline show the open version."""
        if self._open is None:
            return
        number, n = self._open.version.version, len(self._open.versions)
        if not self._until - SHOWN < number <= self._until:
            self._until = n if number > n - SHOWN else max(number, SHOWN)

    def _opened(self) -> RegisteredProgram:
        if self._open is None:
            raise InputError("no program is open: open one by its name first")
        return self._open

    def _moved(self, message: str) -> None:
        self._asked = None
        self.refresh()
        self.box.told = str(fill("<div>{}</div>", message))

    def _on_message(self, page: object, content: Mapping[str, Any], buffers: object) -> None:
        """Do what was clicked; a mistake is told on the page."""
        del page, buffers
        fields = content.get("fields") or {}
        doing: dict[str, Callable[[], object]] = {
            "find": lambda: self.find(str(content.get("text") or "")),
            "page": lambda: self._turn(int(content["to"])),
            "open": lambda: self.open(str(content["name"])),
            "select": lambda: self.open(f"{self._opened().version.name}@{int(content['version'])}"),
            "window": lambda: self._shift(int(content["to"])),
            "refresh": self.refresh,
            "ask": lambda: self.ask_promotion(str(fields.get("alias") or content.get("alias") or _USUAL[0])),
            "confirm": lambda: self._confirm(fields.get("reason") or None),
            "ask-back": lambda: self.ask_rollback(str(content["alias"]), _number(fields.get("to"))),
            "cancel": self._cancel,
        }
        self.box.told = ""
        try:
            doing[str(content.get("do"))]()
        except SkillfleetError as exc:
            self.box.told = str(fill("<div class='sf-error'>{}</div>", str(exc)))
            if isinstance(exc, JobError | NotFoundError) and self._open is not None:
                self._asked = None
                self.refresh()  # others moved it, or what is shown is old
        finally:
            self.box.heard = max(self.box.heard, int(content.get("n") or 0))

    def _confirm(self, reason: str | None) -> None:
        if self._asked is None:
            raise InputError("nothing is asked: choose Promote or Roll back first")
        what, alias, version, _ = self._asked
        if what == "promote":
            self.promote(alias, version, force=reason)
        else:
            self.roll_back(alias, version)

    def _cancel(self) -> None:
        self._asked = None
        self._draw()

    def _turn(self, page: int) -> None:
        self._at = page
        self._draw()

    def _shift(self, until: int) -> None:
        self._until = until
        self._draw()

    def _draw(self) -> None:
        with self.box.hold_sync():
            self.box.listing = str(self._listing())
            self.box.opened = str(self._program())
            self.box.panel = str(self._panel())

    def _listing(self) -> str:
        listed = self._list
        if listed is None or len(listed.rows) == 1:
            return ""
        if not listed.rows:
            return listed.html()
        rows = [row for row in listed.rows if self._find in row.last.name.casefold()]
        pages = max(1, -(-len(rows) // _ROWS))
        self._at = min(max(self._at, 0), pages - 1)
        shown = rows[self._at * _ROWS : (self._at + 1) * _ROWS]
        return render(
            "registry_list.html",
            header=VersionList.HEADER,
            rows=listed.cells(shown),
            opened=self._open.version.name if self._open else None,
            page=self._at,
            pages=pages,
            told=counted(rows, "name") + (f" · page {self._at + 1} of {pages}" if pages > 1 else ""),
        )

    def _program(self) -> str:
        program = self._open
        if program is None:
            return ""
        v, aliases = program.version, program.aliases
        shown = program.versions[max(0, self._until - SHOWN) : self._until]
        others = [alias for alias, version in aliases.items() if version != v.version][:_COMPARED]
        return render(
            "registry_program.html",
            name=v.name,
            version=v.version,
            aliases=aliases,
            alone=not self.box.listing,
            timeline=timeline(shown, aliases, v.version, live=True),
            legend=legend(shown),
            turns=self._turns(program),
            back=[alias for alias, moves in program.moves.items() if len({m.version for m in moves}) > 1],
            facts=table([], program.in_short()),
            evidence=[(alias, self._registry.evidence(v.name, alias, v.version).text) for alias in others],
            details=program.details(),
        )

    def _turns(self, program: RegisteredProgram) -> dict[str, Any]:
        """Tell where the timeline's window is, and where it may go; nothing where all is in it."""
        n, until = len(program.versions), self._until
        if n <= SHOWN:
            return {}
        return {
            "older": max(SHOWN, until - SHOWN),
            "newer": min(n, until + SHOWN),
            "at_first": until <= SHOWN,
            "at_last": until >= n,
            "told": f"versions {until - SHOWN + 1:,} to {until:,} of {n:,}",
        }

    def _panel(self) -> str:
        if self._asked is None or self._open is None:
            return ""
        what, alias, version, evidence = self._asked
        aliases, moves = self._open.aliases, self._open.moves.get(alias, ())
        stood = sorted({m.version for m in moves} - {aliases.get(alias)})
        return render(
            "registry_panel.html",
            what=what,
            name=self._open.version.name,
            alias=alias,
            version=version,
            now=aliases.get(alias),
            choices=stood if what == "back" else list(dict.fromkeys([*aliases, *_USUAL, alias])),
            evidence=evidence.text,
            objection=evidence.objection,
        )


def _number(text: object) -> int | None:
    return int(str(text)) if text else None
