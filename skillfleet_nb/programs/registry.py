"""Registered programs: names with versions that never change, and aliases that move between them.

Everything is an event of one stream of the journal, which one writer holds at a time: so the history of an alias is a
line, whoever moves it from where.  What is registered is read off that stream alone, without the database, which
makes it cheap enough to be asked at every call of a live program.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.data.identity import content_hash
from skillfleet_nb.errors import InputError, JobError, NotFoundError, unknown
from skillfleet_nb.events import AliasMoved, SignatureMigrated, VersionRegistered
from skillfleet_nb.messages import as_typed
from skillfleet_nb.programs.signatures import MigrationStep, fingerprint
from skillfleet_nb.programs.state import (
    describe,
    predictor_states,
    program_class,
    program_id,
    saved_fields,
    saved_models,
)
from skillfleet_nb.store import Journal, Trail, follow, save_program
from skillfleet_nb.store.people import person

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from skillfleet_nb.programs.state import ProgramState
    from skillfleet_nb.store import Home

STREAM = "registry"
"""The stream of the journal that registrations and moves of aliases are written to."""

NEWEST = "newest"
"""Stands for the last version of a name where no other is said."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,79}")
_WAIT_S = 10.0  # for others who register at this moment; one takes some milliseconds


class Reference(NamedTuple):
    """A registered program as people write it: ``intents``, ``intents@3``, ``intents@production``."""

    name: str
    at: str


@dataclass(frozen=True, repr=False)
class ProgramVersion:
    """A registered version of a program; it never changes.

    Attributes
    ----------
    name, version
        What it is registered as; versions count from 1.
    content_id
        Identifies what it says and what it is made for: instructions, demos, fields, class.
    program_id
        Its state in the home's ``programs/``.
    program
        Its class, as ``module.name``.
    signatures
        Fingerprint of the signature of each predictor.
    job_id
        The job that it comes from, None where it was not made by one.
    scores
        In [0, 1], as far as they are known: `val`; `test` with its 95% interval `test_low`, `test_high` on `n_test`
        examples, `test_baseline`; and the `verdict` on the difference.
    setup
        What the scores rest on: `optimizer`, `metric`, `lm`, and content hashes of the `data` and of the metric.
    versions
        Of Python and the packages it was made with.
    golden
        Where a few inputs are kept with what it answered, in the home's ``programs/``; None where none are.
    note, by, at
        What was said of it, who registered it, and when (UTC).
    """

    name: str
    version: int
    content_id: str
    program_id: str
    program: str
    signatures: Mapping[str, str]
    job_id: str | None
    scores: Mapping[str, Any]
    setup: Mapping[str, Any]
    versions: Mapping[str, str]
    note: str
    by: str
    golden: str | None
    at: datetime

    @property
    def ref(self) -> str:
        """What it is called: ``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def is_scored(self) -> bool:
        """Whether it was scored on a sealed test split."""
        return self.scores.get("test") is not None

    def __repr__(self) -> str:
        return f"<ProgramVersion {self.ref}>"


class Move(NamedTuple):
    """A move of an alias, `previous` None at the first; see :class:`~skillfleet_nb.events.AliasMoved`."""

    version: int
    previous: int | None
    how: str
    evidence: str
    forced: str | None
    by: str
    at: datetime


class NameOverview(NamedTuple):
    """A registered name: its last version, the version of each alias, and the number of versions."""

    last: ProgramVersion
    aliases: dict[str, int]
    n: int


@dataclass
class _Name:
    versions: list[ProgramVersion] = field(default_factory=list)
    by_content: dict[str, ProgramVersion] = field(default_factory=dict)
    aliases: dict[str, list[Move]] = field(default_factory=dict)
    migrated: dict[tuple[int, str, str, str, str], None] = field(default_factory=dict)  # version, and its step

    @property
    def standing(self) -> dict[str, int]:
        return {alias: moves[-1].version for alias, moves in sorted(self.aliases.items())}


class Registry:
    """The registered programs of a home, as they are now; safe to share between threads.

    Parameters
    ----------
    home
        The home; it is made when something is registered.

    Examples
    --------
    >>> import dspy, tempfile
    >>> from skillfleet_nb.programs.state import dump_state
    >>> from skillfleet_nb.store import Home
    >>> registry = Registry(Home.find(tempfile.mkdtemp()))
    >>> version = registry.register("intents", dump_state(dspy.Predict("text -> intent")))
    >>> registry.move("intents", "production", version.version).version
    1
    >>> registry.find("intents@production").ref
    'intents@1'
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._names: dict[str, _Name] = {}
        self._follower = follow(home, STREAM)
        self._reading = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Every registered name, sorted."""
        return sorted(self._up_to_date())

    def overview(self) -> list[NameOverview]:
        """Return of every name its last version, its aliases and how many versions it has, by name."""
        names = self._up_to_date()
        return [NameOverview(n.versions[-1], n.standing, len(n.versions)) for _, n in sorted(names.items())]

    def versions(self, name: str) -> list[ProgramVersion]:
        """Return the versions of a name, oldest first; raises `NotFoundError` where there is none of that name."""
        return list(self._named(name).versions)

    def aliases(self, name: str) -> dict[str, int]:
        """Return the version that each alias of a name stands for; raises as `versions` does."""
        return self._named(name).standing

    def history(self, name: str, alias: str) -> list[Move]:
        """Return the moves of an alias, oldest first.

        Raises
        ------
        NotFoundError
            If there is no such name or alias.
        """
        aliases = self._named(name).aliases
        if alias not in aliases:
            raise unknown(f"alias of {name}", alias, aliases)
        return list(aliases[alias])

    def find(self, ref: str) -> ProgramVersion:
        """Find a version: ``name@3``, ``name@alias``, or ``name`` for the last one.

        Raises
        ------
        NotFoundError
            If there is no such name, version or alias, with the nearest.
        """
        name, version_or_alias = parse(ref)
        named = self._named(name)
        if version_or_alias == NEWEST:
            return named.versions[-1]
        if version_or_alias.isdecimal():
            return _version(name, named, int(version_or_alias))
        if version_or_alias not in named.aliases:
            ways = [*named.aliases, *(str(v.version) for v in named.versions[-3:])]
            raise unknown(f"version or alias of {name}", version_or_alias, ways)
        return _version(name, named, named.aliases[version_or_alias][-1].version)

    def register(self, name: str, state: ProgramState, facts: Mapping[str, Any] | None = None) -> ProgramVersion:
        """Keep a program as the next version of `name`; what is registered already stays the version it is.

        Parameters
        ----------
        name
            Letters, digits, dots, dashes and underscores, a letter first.
        state
            From :func:`~skillfleet_nb.programs.state.dump_state`.
        told
            What else is known of it: fields of :class:`~skillfleet_nb.events.VersionRegistered`.

        Raises
        ------
        InputError
            If the name cannot be one.
        HomeError
            If the home cannot be written.
        """
        check_name(name, "name")
        content = content_id(state)
        with self._writing() as journal:
            named = self._names.get(name, _Name())
            if content not in named.by_content:
                event = VersionRegistered(
                    name=name,
                    version=len(named.versions) + 1,
                    content_id=content,
                    program_id=save_program(self._home, state),
                    program=program_class(state) or "",
                    signatures=fingerprints(state),
                    by=person(),
                    **(facts or {}),
                )
                journal.append(event, sync=True)
                Trail(self._home).record("program.register", name, f"version {event.version}")
        return self._named(name).by_content[content]

    def migrated(self, version: ProgramVersion, steps: Sequence[MigrationStep]) -> None:
        """Record by which migrations a version was loaded, each once; raises as `register` does."""
        recorded = self._named(version.name).migrated
        if all((version.version, *step) in recorded for step in steps):
            return
        with self._writing() as journal:
            new = [step for step in steps if (version.version, *step) not in recorded]
            events = [SignatureMigrated(name=version.name, version=version.version, **step._asdict()) for step in new]
            journal.append_many(events)

    def migrations(self, name: str) -> dict[int, list[MigrationStep]]:
        """Return by which migrations each version of a name was ever loaded; raises as `versions` does."""
        steps: dict[int, list[MigrationStep]] = {}
        for version, *step in self._named(name).migrated:
            steps.setdefault(version, []).append(MigrationStep(*step))
        return steps

    def move(
        self,
        name: str,
        alias: str,
        version: int,
        *,
        since: int | None = None,
        rollback: bool = False,
        evidence: str = "",
        forced: str | None = None,
    ) -> Move:
        """Set an alias to a version; it is made where there is none.

        Parameters
        ----------
        since
            How many moves of the alias were known when it was decided; None takes it as it is.
        rollback, evidence, forced
            As in :class:`~skillfleet_nb.events.AliasMoved`.

        Raises
        ------
        NotFoundError
            If there is no such name or version.
        InputError
            If the alias cannot be one.
        JobError
            If another moved it meanwhile: to which version, and by whom.
        """
        check_name(alias, "alias")
        if alias == NEWEST:
            raise InputError(f"alias {alias!r} stands for the last version already: choose another word.")
        with self._writing() as journal:
            named = self._named(name, fresh=False)
            _version(name, named, version)
            moves = named.aliases.get(alias, [])
            if since is not None and len(moves) != since:
                last = moves[-1]
                raise JobError(
                    f"{name}@{alias} was moved to version {last.version} by {last.by or 'another'} meanwhile; nothing "
                    "was changed: look at the evidence again, then move it."
                )
            event = AliasMoved(
                name=name,
                alias=alias,
                move=len(moves) + 1,
                version=version,
                previous=moves[-1].version if moves else None,
                how="rollback" if rollback else "set",
                evidence=evidence,
                forced=forced,
                by=person(),
            )
            journal.append(event, sync=True)
            how = f"version {version}, from {event.previous or 'none'}{f', forced: {forced}' if forced else ''}"
            Trail(self._home).record("program.promote", f"{name}@{alias}", how)
        return self.history(name, alias)[-1]

    @contextmanager
    def _writing(self) -> Iterator[Journal]:
        """Hold the stream as its one writer, with everything taken in that was written before."""
        try:
            journal = Journal(self._home, STREAM, wait_s=_WAIT_S, join=True)
        except JobError:
            raise JobError(
                f"others have been registering programs in {self._home} for {_WAIT_S:g} s: try again."
            ) from None
        with journal:
            self._up_to_date()
            yield journal

    def _up_to_date(self) -> dict[str, _Name]:
        with self._reading:
            for event in self._follower.read():
                self._take(event.payload, event.at)
        return self._names

    def _take(self, payload: object, at: datetime) -> None:
        if isinstance(payload, VersionRegistered):
            named = self._names.setdefault(payload.name, _Name())
            version = ProgramVersion(**payload.model_dump(exclude={"kind"}), at=at)
            named.versions.append(version)
            named.by_content[version.content_id] = version
        elif isinstance(payload, AliasMoved) and payload.name in self._names:
            p = payload
            moves = self._names[p.name].aliases.setdefault(p.alias, [])
            moves.append(Move(p.version, p.previous, p.how, p.evidence, p.forced, p.by, at))
        elif isinstance(payload, SignatureMigrated) and payload.name in self._names:
            m = payload
            self._names[m.name].migrated[m.version, m.predictor, m.signature, m.start, m.to] = None

    def _named(self, name: str, *, fresh: bool = True) -> _Name:
        names = self._up_to_date() if fresh else self._names
        if name not in names:
            raise unknown(
                "registered program", name, names, hint=f"{as_typed('program register JOB --as NAME')} makes one."
            )
        return names[name]


def parse(ref: str) -> Reference:
    """Read what people write for a version.

    Examples
    --------
    >>> parse("intents@3"), parse("intents")
    (Reference(name='intents', at='3'), Reference(name='intents', at='newest'))
    """
    name, _, version_or_alias = ref.partition("@")
    return Reference(name, version_or_alias or NEWEST)


def check_name(text: str, what: str) -> None:
    """Refuse what cannot be a name or an alias; raises `InputError`."""
    if not _NAME.fullmatch(text) or (what == "alias" and text.isdecimal()):
        raise InputError(
            f"{what} {text!r}: give letters, digits, dots, dashes and underscores, a letter first, 80 at most; "
            "for example 'support-intents'."
        )


def content_id(state: Mapping[str, Any]) -> str:
    """Identify a program by what it says and what it is made for: its content, fields, types, class and models."""
    fields = {name: saved_fields(state, name) for name in predictor_states(state)}
    made_for = {name: [list(astuple(shape)) for shape in shapes or ()] for name, shapes in fields.items()}
    models = saved_models(state)
    return content_hash([program_id(state), made_for, program_class(state), *([models] if models else [])])


def fingerprints(state: Mapping[str, Any]) -> dict[str, str]:
    """Return the fingerprint of the signature of each predictor of a state."""
    instructions = describe(state).instructions
    return {name: fingerprint(saved_fields(state, name) or (), text) for name, text in instructions.items()}


def _version(name: str, named: _Name, number: int) -> ProgramVersion:
    if not 1 <= number <= len(named.versions):
        raise NotFoundError(f"{name} has no version {number}: its versions are 1 to {len(named.versions)}.")
    return named.versions[number - 1]
