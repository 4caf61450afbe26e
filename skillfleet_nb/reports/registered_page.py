"""How registered programs look, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.config import Settings
from skillfleet_nb.format import ago, counted, one_line, points
from skillfleet_nb.html import NO_MATH, Readable, fill, join, passage, table, text_table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.programs.building import build
from skillfleet_nb.programs.state import describe, save_state
from skillfleet_nb.reports.program_page import predictors_html, predictors_text
from skillfleet_nb.runs.tryout import ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from skillfleet_nb.programs.registry import Move, ProgramVersion
    from skillfleet_nb.runs.tryout import Tryout
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Model, Program

_NOT_SCORED = "not scored"
_WIDE = 60  # characters of a note


@dataclass(frozen=True, repr=False)
class VersionList(Readable):
    """Every registered name: its last version, its aliases, scores and age.

    Attributes
    ----------
    rows
        Of each name: the last version, the version of each alias, and the number of versions.
    """

    rows: Sequence[tuple[ProgramVersion, Mapping[str, int], int]]

    def _cells(self) -> tuple[list[str], list[list[str]], str]:
        header = ["name", "versions", "aliases", "test", "validation", "optimizer", "registered"]
        rows = [
            [
                last.name,
                str(n),
                ", ".join(f"{alias} → {version}" for alias, version in aliases.items()),
                tested(last),
                points(last.scores.get("val")),
                str(last.setup.get("optimizer") or ""),
                ago(last.at),
            ]
            for last, aliases, n in self.rows
        ]
        below = f"{counted(rows, 'name')}, scores of the last version; {as_typed('program show NAME')} shows one"
        return header, rows, below

    def text(self) -> str:
        """Show the list as plain text."""
        header, rows, below = self._cells()
        return f"{text_table(header, rows, numeric=[1])}\n{below}" if rows else _nothing()

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        header, rows, below = self._cells()
        if not rows:
            return fill("<div>{}</div>", _nothing())
        shown = table(header, rows, numeric=[1])
        return fill("{}<div style='opacity:.7;overflow-wrap:anywhere'>{}</div>", shown, below)


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
    """

    version: ProgramVersion
    home: Home
    versions: Sequence[ProgramVersion]
    moves: Mapping[str, Sequence[Move]]
    state: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What it is called: ``program name@version``."""
        return f"program {self.version.ref}"

    def load(self, onto: Program | None = None) -> Program:
        """Return it as a ``dspy.Module`` to be used; raises as :meth:`skillfleet_nb.Fleet.program` does."""
        return build(self.state, onto)

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, which ``program.load(path)`` of DSPy reads; raises `InputError` where it cannot."""
        return save_state(self.state, path)

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
        header, rows = self._versions()
        parts = [table([], self._facts()), *predictors_html(self.state)]
        parts.append(table(header, rows, title=f"versions of {self.version.name}", numeric=[0]))
        if moves := self._moves():
            parts.append(table(*moves, title="aliases, the last move first", numeric=[1]))
        parts.append(fill("<p><strong>use it</strong></p>{}", passage("\n".join(self._lines()))))
        return fill("<div class='{}' style='line-height:1.4'>{}</div>", NO_MATH, join(parts))

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
            for v in reversed(self.versions)
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


def _nothing() -> str:
    return f"no program is registered yet; {as_typed('program register JOB --as NAME')} keeps the best of a job"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    width = max(len(word) for word, _ in rows)
    return "\n".join(f"{word:<{width}}  {value}" for word, value in rows)
