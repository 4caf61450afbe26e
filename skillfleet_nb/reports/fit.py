"""Whether saved programs fit the code of today: those that are registered, or the JSON files of a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted
from skillfleet_nb.html import Readable, fill, table, text_table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.programs.building import build
from skillfleet_nb.programs.loading import migration_steps, read_state
from skillfleet_nb.programs.registry import parse
from skillfleet_nb.programs.state import dump_state, save_state, saved_versions
from skillfleet_nb.store import load_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from skillfleet_nb.programs.registry import ProgramVersion, Registry
    from skillfleet_nb.programs.signatures import MigrationStep
    from skillfleet_nb.programs.state import ProgramState
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Program

Fit = Literal["fits", "migrates", "differs"]
_BACKUP = ".bak"


@dataclass(frozen=True)
class SavedProgram:
    """A saved program against the code.

    Attributes
    ----------
    name
        What is registered, ``name@version``, or a file.
    fit
        ``"fits"``; ``"migrates"`` where declared migrations bring it to the code's version; ``"differs"``.
    told
        The versions that it is brought from and to, or what is in the way.
    state
        As it is kept, and as the code would have it; None where it differs.
    """

    name: str
    fit: Fit
    told: str
    state: ProgramState
    migrated: ProgramState | None


@dataclass(frozen=True, repr=False)
class FitReport(Readable):
    """What fits, what migrates, and what does not, each with the reason.

    Attributes
    ----------
    programs
        Every program that was looked at.
    done
        What was written, as pairs of a name and what became of it; empty for a check or a dry run.
    as_saved
        Whether a program that has still to be migrated is none that fits.
    """

    programs: Sequence[SavedProgram]
    done: Sequence[tuple[str, str]] = ()
    as_saved: bool = False

    @property
    def ok(self) -> bool:
        """Whether everything fits, or migrations that are declared bring it there."""
        return all(p.fit == "fits" or (p.fit == "migrates" and not self.as_saved) for p in self.programs)

    def _rows(self) -> list[list[str]]:
        became = dict(self.done)
        return [[p.name, p.fit, became.get(p.name, p.told)] for p in self.programs]

    def _below(self) -> str:
        kinds = [f"{sum(p.fit == fit for p in self.programs):,} {fit}" for fit in ("fits", "migrates", "differs")]
        waits = any(p.fit == "migrates" for p in self.programs) and not self.done
        way = f"; {as_typed('signatures migrate-all --apply')} migrates them" if waits else ""
        return f"{counted(self.programs, 'saved program')}: {', '.join(kinds)}{way}"

    def text(self) -> str:
        """Show it as plain text."""
        rows = self._rows()
        return f"{text_table(['program', '', ''], rows)}\n{self._below()}" if rows else _nothing()

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        rows = self._rows()
        if not rows:
            return fill("<div>{}</div>", _nothing())
        colours = {"differs": "rgba(220,60,60,.25)", "migrates": "rgba(220,160,40,.25)"}
        shown = table(["program", "", ""], rows, colours=colours)
        return fill("{}<div style='opacity:.7'>{}</div>", shown, self._below())


def check(
    home: Home,
    registry: Registry,
    folder: str | Path | None = None,
    onto: Program | None = None,
    *,
    otherwise: Callable[[ProgramVersion], Program | None] | None = None,
    migration: bool = False,
) -> FitReport:
    """Look whether saved programs fit the code.

    Parameters
    ----------
    home, registry
        Of registered programs: the last version of each name and all that aliases stand for are looked at.
    folder
        Look at the JSON files of programs in this folder, and below it, instead.
    onto
        The program that they are put onto; by default each one's class, found by its name.
    otherwise
        Asked for the program that a version is put onto where its class alone does not make one, as it is loaded.
    migration
        Take one that has still to be migrated for one that does not fit.

    Raises
    ------
    InputError
        If the folder is none.
    """
    looked_at = []
    for name, state, version in _saved(home, registry, folder):
        ask = partial(otherwise, version) if otherwise is not None and version is not None else None
        looked_at.append(_looked_at(name, state, onto, ask))
    return FitReport(looked_at, as_saved=migration)


def migrate_all(
    home: Home,
    registry: Registry,
    folder: str | Path | None = None,
    onto: Program | None = None,
    *,
    otherwise: Callable[[ProgramVersion], Program | None] | None = None,
    apply: bool,
) -> FitReport:
    """Bring saved programs to the versions of their signatures that the code declares.

    A registered one becomes the next version of its name, and aliases stay where they are; a file is written anew,
    whole or not at all, beside a copy of what it was.  The other parameters and errors are those of :func:`check`.

    Parameters
    ----------
    apply
        Whether to write; else it is only told.
    """
    report = check(home, registry, folder, onto, otherwise=otherwise)
    done = []
    for program in report.programs if apply else ():
        if program.fit != "migrates" or program.migrated is None:
            continue
        if folder is None:
            note = f"{program.name} migrated: {program.told}"
            version = registry.register(parse(program.name).name, program.migrated, {"note": note})
            done.append((program.name, f"{program.told}: registered as {version.ref}"))
        else:
            path = Path(program.name)
            backup = path.with_name(path.name + _BACKUP)
            backup.write_bytes(path.read_bytes())
            save_state(program.migrated, path)
            done.append((program.name, f"{program.told}: written, what it was is in {backup.name}"))
    return FitReport(report.programs, done)


def _saved(
    home: Home, registry: Registry, folder: str | Path | None
) -> Iterator[tuple[str, ProgramState, ProgramVersion | None]]:
    if folder is None:
        for name in registry.names:
            last = registry.find(name).version
            for number in sorted({last, *registry.aliases(name).values()}):
                version = registry.find(f"{name}@{number}")
                yield version.ref, load_program(home, version.program_id), version
        return
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"{folder} is no folder: give one that holds the JSON files of programs.")
    for path in sorted(place.rglob("*.json")):
        try:
            state = read_state(path)
        except InputError:  # another kind of file
            continue
        yield os.fspath(path), state, None


def _looked_at(
    name: str, state: ProgramState, onto: Program | None, otherwise: Callable[[], Program | None] | None
) -> SavedProgram:
    try:
        program = build(state, onto, otherwise=otherwise)
    except InputError as error:
        return SavedProgram(name, "differs", str(error), state, None)
    ways: dict[str, list[MigrationStep]] = {}
    for step in migration_steps(program, state):
        ways.setdefault(step.predictor, []).append(step)
    if not ways:
        return SavedProgram(name, "fits", "", state, state)
    steps = dict.fromkeys(f"{way[0].signature} {way[0].start} → {way[-1].to}" for way in ways.values())
    return SavedProgram(name, "migrates", ", ".join(steps), state, dump_state(program))


def history(home: Home, registry: Registry, name: str) -> list[dict[str, Any]]:
    """Return the signatures of each version of a registered program, oldest first: what changed, when, score and why.

    `name` is a registered one's, or that of a signature with declared versions: of all that was registered with it.
    Each has `program` (its registered name), `version`, `registered_at`, `predictor`, `signature` (name and version
    where declared, else the fingerprint), `loaded_as` (the last version of the code that it was migrated to as it was
    loaded; empty where it never was), `changed` (whether it is another than before), `test` (score in [0, 1] or None)
    and `reason`, which is its note.

    Raises
    ------
    NotFoundError
        If there is no such name.
    """
    if name in registry.names:
        return [row for row, _ in _signatures_of(home, registry, name)]
    rows = [row for one in registry.names for row, declared in _signatures_of(home, registry, one) if declared == name]
    if not rows:
        registry.versions(name)  # which says what there is
    return rows


def _signatures_of(home: Home, registry: Registry, name: str) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Yield the signatures of a registered program, each with its class's name where that declares versions."""
    before: dict[str, str] = {}
    migrations = registry.migrations(name)
    for version in registry.versions(name):
        named = saved_versions(load_program(home, version.program_id))
        for predictor, fingerprint in version.signatures.items():
            declared = named.get(predictor)
            row = {
                "program": name,
                "version": version.version,
                "registered_at": version.at,
                "predictor": predictor,
                "signature": " ".join(declared) if declared else fingerprint,
                "loaded_as": next(
                    (s.to for s in reversed(migrations.get(version.version, [])) if s.predictor == predictor), ""
                ),
                "changed": before.get(predictor) not in {None, fingerprint},
                "test": version.scores.get("test"),
                "reason": version.note,
            }
            yield row, declared[0] if declared else None
        before = dict(version.signatures)


def _nothing() -> str:
    return f"no saved program was found; {as_typed('program register JOB --as NAME')} keeps one"
