"""How registered programs look, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skillfleet_nb.config import Settings
from skillfleet_nb.format import ago, counted, one_line, points
from skillfleet_nb.html import NO_MATH, Readable, fill, join, passage, table, text_table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.programs.building import build
from skillfleet_nb.programs.state import describe, save_state
from skillfleet_nb.reports.program_page import predictors_html, predictors_text
from skillfleet_nb.reports.registry_timeline import SHOWN, legend, timeline
from skillfleet_nb.reports.registry_uses import Use, in_words
from skillfleet_nb.runs.tryout import ask
from skillfleet_nb.store import Trail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from markupsafe import Markup

    from skillfleet_nb.programs.registry import Move, NameOverview, ProgramVersion
    from skillfleet_nb.reports.registry_uses import Uses
    from skillfleet_nb.runs.tryout import Tryout
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Model, Program

_NOT_SCORED = "not scored"
_WIDE = 60  # characters of a note
_ROWS = 50  # names that a list shows
_VERSIONS = 20  # newest versions that a page lists, beside those that aliases stand for


@dataclass(frozen=True, repr=False)
class VersionList(Readable):
    """Every registered name: its last version, its aliases, scores, age, and where it is used.

    Attributes
    ----------
    rows
        One a name.
    uses
        Where their versions are used.
    """

    rows: Sequence[NameOverview]
    uses: Uses = field(default_factory=dict)

    HEADER = ("name", "versions", "aliases", "test", "validation", "optimizer", "used by", "registered")

    def cells(self, rows: Sequence[NameOverview]) -> list[list[str]]:
        """Write what is shown of some of the rows, under :attr:`HEADER`."""
        return [
            [
                last.name,
                f"{n:,}",
                ", ".join(f"{alias} → {version}" for alias, version in aliases.items()),
                tested(last),
                points(last.scores.get("val")),
                str(last.setup.get("optimizer") or ""),
                in_words(self.uses.get(last.name, {}).values()),
                ago(last.at),
            ]
            for last, aliases, n in rows
        ]

    def below(self, shown: int = _ROWS) -> str:
        """Say how many there are, or how to register the first."""
        n = len(self.rows)
        if not n:
            return f"no program is registered yet; {as_typed('program register JOB --as NAME')} keeps the best of a job"
        part = f", {shown:,} shown" if n > shown else ""
        return f"{counted(n, 'name')}{part}, scores of the last version; {as_typed('program show NAME')} shows one"

    def text(self) -> str:
        """Show the list as plain text."""
        shown = self.cells(self.rows[:_ROWS])
        return f"{text_table(self.HEADER, shown, numeric=[1])}\n{self.below()}" if shown else self.below()

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        shown = self.cells(self.rows[:_ROWS])
        listed = table(self.HEADER, shown, numeric=[1]) if shown else ""
        return fill("<div>{}<div style='opacity:.7;overflow-wrap:anywhere'>{}</div></div>", listed, self.below())


@dataclass(frozen=True, repr=False)
class RegisteredProgram(Readable):
    """A version, where it comes from, its evidence, its name's other versions, and how its aliases moved.

    Attributes
    ----------
    version
        The version.
    home
        Where it is kept.
    versions
        All of its name, oldest first.
    moves
        Of each alias of its name, oldest first.
    state
        What it says, as ``dspy`` loads it.
    uses
        Where versions of its name are used.
    """

    version: ProgramVersion
    home: Home
    versions: Sequence[ProgramVersion]
    moves: Mapping[str, Sequence[Move]]
    state: Mapping[str, Any]
    uses: Uses = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What it is called: ``program name@version``."""
        return f"program {self.version.ref}"

    def load(self, onto: Program | None = None) -> Program:
        """Return it as a ``dspy.Module`` to be used; raises as :meth:`skillfleet_nb.Fleet.program` does."""
        return build(self.state, onto)

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, which ``program.load(path)`` of DSPy reads; raises `InputError` where it cannot."""
        file = save_state(self.state, path)
        Trail(self.home).record("export", str(path), self.label)
        return file

    def ask(self, inputs: Mapping[str, Any], *, lm: Model | None = None, onto: Program | None = None) -> Tryout:
        """Try it on an input; see :meth:`skillfleet_nb.reports.stored_programs.StoredProgram.ask`."""
        import dspy

        return ask(
            self.home,
            Settings.load(self.home.config),
            self.load(onto),
            inputs,
            lm=lm or dspy.settings.lm,
            program_id=self.version.program_id,
            job_id=self.version.job_id or "",
        )

    def text(self) -> str:
        """Show it as plain text."""
        parts = [_aligned(self._facts()), *predictors_text(self.state)]
        header, rows = self._versions()
        parts.append(text_table(header, rows, numeric=[0]))
        if moves := self._moves():
            parts.append(text_table(*moves, numeric=[1]))
        parts.append("\n".join(self._lines()))
        return "\n\n".join(parts)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        drawn = join([self._drawn(), self.details()])
        return fill("<div class='{}' style='line-height:1.4'>{}</div>", NO_MATH, drawn)

    def details(self) -> Markup:
        """Show, as HTML, what is known of the version, what it says, how aliases moved, and how it is used."""
        header, rows = self._versions()
        parts = [table([], self._facts()), *predictors_html(self.state)]
        parts.append(table(header, rows, title=self._versions_of(), numeric=[0]))
        if moves := self._moves():
            parts.append(table(*moves, title="aliases, the last move first", numeric=[1]))
        parts.append(fill("<p><strong>use it</strong></p>{}", passage("\n".join(self._lines()))))
        return join(parts)

    @property
    def aliases(self) -> dict[str, int]:
        """The version that each alias of its name stands for."""
        return {alias: moves[-1].version for alias, moves in self.moves.items()}

    def _drawn(self) -> Markup:
        """Draw the newest versions, this one among them."""
        number = self.version.version
        shown = (
            self.versions[-SHOWN:]
            if number > len(self.versions) - SHOWN
            else self.versions[max(0, number - SHOWN) : number]
        )
        drawn = timeline(shown, self.aliases, number)
        return fill("<div style='overflow-x:auto;contain:inline-size'>{}</div>{}", drawn, legend(shown))

    def _versions_of(self) -> str:
        n, shown = len(self.versions), len(self._listed())
        return f"versions of {self.version.name}" + (f", {shown:,} of {n:,}" if n > shown else "")

    def _listed(self) -> list[ProgramVersion]:
        keep = {*self.aliases.values(), self.version.version, *(v.version for v in self.versions[-_VERSIONS:])}
        return [self.versions[number - 1] for number in sorted(keep, reverse=True)]

    def in_short(self) -> list[list[str]]:
        """Return the facts that decide: scores, where it comes from, and where it is used."""
        short = ("registered", "note", "job", "optimizer", "model", "validation", "test (sealed)", "used by")
        return [row for row in self._facts() if row[0] in short]

    def _facts(self) -> list[list[str]]:
        v = self.version
        aliases = [alias for alias, moves in self.moves.items() if moves[-1].version == v.version]
        rows = [
            ["version", " = ".join([v.ref, *(f"{v.name}@{alias}" for alias in aliases)])],
            ["content", v.content_id],
            ["program", v.program],
            ["registered", " ".join(filter(None, [ago(v.at), f"by {v.by}" if v.by else ""]))],
            ["note", v.note],
            ["job", v.job_id or "none: it was registered as it was given"],
            ["optimizer", str(v.setup.get("optimizer") or "")],
            ["model", str(v.setup.get("lm") or "")],
            ["metric", str(v.setup.get("metric") or "")],
            ["test data", str(v.setup.get("data", {}).get("test") or "")],
            ["validation", points(v.scores.get("val"))],
            ["test (sealed)", tested(v)],
            ["made with", ", ".join(f"{name} {number}" for name, number in v.versions.items())],
            ["demos", str(describe(self.state).n_demos)],
            ["used by", in_words([self.uses.get(v.name, {}).get(v.version, Use())])],
        ]
        return [row for row in rows if row[1]]

    def _versions(self) -> tuple[list[str], list[list[str]]]:
        stand: dict[int, list[str]] = {}
        for alias, moves in self.moves.items():
            stand.setdefault(moves[-1].version, []).append(alias)
        rows = [
            [
                str(v.version),
                ", ".join(stand.get(v.version, ())),
                tested(v),
                points(v.scores.get("val")),
                ago(v.at),
                one_line(v.note, _WIDE),
            ]
            for v in self._listed()
        ]
        return ["version", "aliases", "test", "validation", "registered", "note"], rows

    def _moves(self) -> tuple[list[str], list[list[str]]] | None:
        moved = sorted(((alias, m) for alias, ms in self.moves.items() for m in ms), key=lambda one: one[1].at)
        rows = [
            [
                alias,
                str(m.version),
                "" if m.previous is None else str(m.previous),
                ago(m.at),
                m.by,
                f"forced: {m.forced}" if m.forced else "rolled back" if m.how == "rollback" else m.evidence,
            ]
            for alias, m in reversed(moved)
        ]
        return (["alias", "to", "from", "moved", "by", "why"], rows) if rows else None

    def _lines(self) -> list[str]:
        alias = next(iter(self.moves), "production")
        return [
            f"{as_typed(f'program alias {self.version.name} {alias} {self.version.version} --dry-run')}",
            f'program = fleet.program("{self.version.ref}")',
            f'live = fleet.live("{self.version.name}@{alias}")',
        ]


def tested(version: ProgramVersion) -> str:
    """Write the score of a version on the sealed test split, with its interval and verdict."""
    s = version.scores
    if s.get("test") is None:
        return _NOT_SCORED
    interval = f" ({points(s.get('test_low'))} to {points(s.get('test_high'))}, n = {s.get('n_test')})"
    verdict = f", {s['verdict']}" if s.get("verdict") else ""
    return f"{points(s['test'])}{interval if s.get('n_test') else ''}{verdict}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    width = max(len(word) for word, _ in rows)
    return "\n".join(f"{word:<{width}}  {value}" for word, value in rows)
