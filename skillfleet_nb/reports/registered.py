"""Registered programs with their evidence: ``fleet.registry``, and what `Fleet` says of it."""

from __future__ import annotations

import warnings
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import HomeError, InputError, JobError, NotFoundError, unknown
from skillfleet_nb.messages import as_typed
from skillfleet_nb.programs.building import build, give_models
from skillfleet_nb.programs.diff import diff_programs
from skillfleet_nb.programs.live import LiveProgram
from skillfleet_nb.programs.loading import LoadWarning, migration_steps, read_state
from skillfleet_nb.programs.registry import NEWEST, Registry, check_name, parse
from skillfleet_nb.programs.state import dump_state, program_id, unsaved_of
from skillfleet_nb.reports import fit
from skillfleet_nb.reports import golden as goldens
from skillfleet_nb.reports.evidence import evidence, stood_before, tested
from skillfleet_nb.reports.registered_page import RegisteredProgram, VersionList
from skillfleet_nb.reports.registry_uses import uses_of
from skillfleet_nb.runs.jobs.job import Job
from skillfleet_nb.stats import mean_interval
from skillfleet_nb.store import load_program, queries

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import dspy
    import pandas as pd

    from skillfleet_nb.programs.diff import ProgramDiff
    from skillfleet_nb.programs.loading import Differences
    from skillfleet_nb.programs.registry import Move, ProgramVersion
    from skillfleet_nb.programs.state import ProgramState
    from skillfleet_nb.reports.evidence import Evidence
    from skillfleet_nb.reports.fit import FitReport
    from skillfleet_nb.reports.golden import GoldenCheck
    from skillfleet_nb.reports.stored_programs import StoredProgram
    from skillfleet_nb.runs.request import RunRequest, TuneRequest
    from skillfleet_nb.store import Store
    from skillfleet_nb.typing import Model, Program, Rows

    Onto = Program | type[dspy.Signature] | None

_MADE_WITH = ("python", "dspy")


class Registered:
    """Registered programs: names with versions, and aliases.  Reached as ``fleet.registry``.

    Parameters
    ----------
    store
        Of the home.
    job, program
        Find a job by its name or id, and a program that a job scored.
    """

    def __init__(self, store: Store, job: Callable[[str], Job], program: Callable[[str], StoredProgram]) -> None:
        self._store, self._job, self._program = store, job, program
        self._registry = Registry(store.home)

    @property
    def names(self) -> list[str]:
        """Every registered name, sorted."""
        return self._registry.names

    def aliases(self, name: str) -> dict[str, int]:
        """Return the version that each alias of a name stands for; raises `NotFoundError` for an unknown name."""
        return self._registry.aliases(name)

    def register(
        self, source: Job | str | Path | Program, name: str, note: str | None = None, golden: Rows | None = None
    ) -> ProgramVersion:
        """Keep a program as the next version of a name; see :meth:`skillfleet_nb.Fleet.register`."""
        from skillfleet_nb.reports.stored_programs import StoredProgram

        facts: dict[str, Any] = {}
        if isinstance(source, str | Path) and Path(source).suffix == ".json":
            state = read_state(source)
        elif isinstance(source, Job | str):
            state, facts = self._of_job(self._program(source.id if isinstance(source, Job) else str(source)))
        elif isinstance(source, StoredProgram):
            state, facts = self._of_job(source)
        else:
            state = dump_state(_program(source))
        if reasons := unsaved_of(state):
            raise InputError(f"this program cannot be registered: {'; '.join(reasons)}.")
        made_with = (state.get("metadata") or {}).get("dependency_versions") or {}
        facts["versions"] = {k: v for k, v in made_with.items() if k in _MADE_WITH}
        facts |= {"note": note} if note else {}
        check_name(name, "name")
        if golden is not None:
            program = source if not facts and not isinstance(source, str | Path) else build(state)
            facts["golden"] = goldens.ask_and_keep(self._store.home, program, golden, program_id(state))
        return self._registry.register(name, state, facts)

    def versions(self, name: str | None = None) -> pd.DataFrame:
        """List versions as a frame; see :meth:`skillfleet_nb.Fleet.versions`."""
        if name is not None:
            self._registry.versions(name)
        return queries.program_versions(self._store, name)

    def listing(self) -> VersionList:
        """List every registered name with its last version, its aliases and scores."""
        return VersionList(self._registry.overview(), uses_of(queries.program_uses(self._store)))

    def show(self, ref: str) -> RegisteredProgram:
        """Show a version: what it says, where it comes from, its evidence, and the history of its aliases.

        Raises
        ------
        NotFoundError
            If there is no such name, version or alias.
        """
        version = self._registry.find(ref)
        aliases = self._registry.aliases(version.name)
        moves = {alias: self._registry.history(version.name, alias) for alias in aliases}
        uses = uses_of(queries.program_uses(self._store, version.name))
        versions, state = self._registry.versions(version.name), self.state(version.ref)
        return RegisteredProgram(version, self._store.home, versions, moves, state, uses)

    def state(self, ref: str) -> ProgramState:
        """Return the state of a version: its instructions and demos, as ``dspy`` loads them."""
        return load_program(self._store.home, self._registry.find(ref).program_id)

    def check(
        self, folder: str | Path | None = None, onto: Program | None = None, *, migration: bool = False
    ) -> FitReport:
        """Look whether saved programs fit the code; see :func:`skillfleet_nb.reports.fit.check`."""
        return fit.check(self._store.home, self._registry, folder, onto, otherwise=self._given, migration=migration)

    def migrate_all(
        self, folder: str | Path | None = None, onto: Program | None = None, *, apply: bool = False
    ) -> FitReport:
        """Bring saved programs to the code's signatures; see :func:`skillfleet_nb.reports.fit.migrate_all`."""
        return fit.migrate_all(self._store.home, self._registry, folder, onto, otherwise=self._given, apply=apply)

    def signatures(self, name: str) -> pd.DataFrame:
        """List the signatures of each version of a name; see :func:`skillfleet_nb.reports.fit.history`."""
        import pandas as pd

        return pd.DataFrame(fit.history(self._store.home, self._registry, name))

    def tuning(self, asked: TuneRequest) -> tuple[RunRequest, AbstractContextManager[None]]:
        """Put together a run that tunes signatures, and the adapter it runs under; see `Fleet.tune`."""
        source, version, job = asked.source, None, None
        if isinstance(source, str) and self.is_ref(source):
            version = self._registry.find(source)
            job = self._job(version.job_id) if version.job_id else None
        elif isinstance(source, Job | str):
            job = source if isinstance(source, Job) else self._job_called(source)
        try:
            parcel = None if job is None else job.parcel()
        except JobError:
            parcel = None
        kept = None if parcel is None else parcel.request
        if version is not None:
            program = self.load(version.ref, kept and kept.program, check=False)
            name = f"{version.name}-tuned"
        elif job is not None:
            program, name = job.best_program(job.given), f"{job.name}-tuned"
        else:
            program, name = _program(source), "tuned"
        return asked.run(program, name, kept), nullcontext() if parcel is None else parcel.under()

    def _job_called(self, name: str) -> Job:
        try:
            return self._job(name)
        except NotFoundError:
            names = [*self._registry.names, *dict.fromkeys(queries.job_names(self._store).name)]
            raise unknown("registered program or job", name, names) from None

    def decisions(self, job: Job) -> pd.DataFrame:
        """Return what a job's optimizer accepted and what not, in order: the relation ``decisions``."""
        return queries.decisions(self._store, job.id)

    def is_ref(self, text: str) -> bool:
        """Tell whether a text names what is registered, or is written like it."""
        return "@" in text or text in self._registry.names

    def diff(self, one: str, other: str) -> ProgramDiff:
        """Compare what two versions say; raises as `show` does."""
        return diff_programs(self.state(one), self.state(other))

    def load(
        self, ref: str, onto: Onto = None, *, differences: Differences = "refuse", check: bool | int | None = None
    ) -> dspy.Module:
        """Make the program of a version, ready to be called.

        Parameters
        ----------
        ref
            ``name@production``, ``name@3``, or ``name`` for the last version.
        onto
            The program it is put onto, or the signature of a `dspy.Predict` or `dspy.ChainOfThought`; by default its
            class is found by its name, and made without arguments; where it takes some, or is not to be found, the
            program that its job was started with takes its place.
        differences
            If fields are not those it was registered with: ``"refuse"``, ``"migrate"`` or ``"keep"``; see
            :func:`skillfleet_nb.programs.loading.load_state`.
        check
            Whether it still answers, on the inputs that were kept with it, as it did when it was registered: True
            looks, False does not, a number looks and may buy so many calls for it.  By default what an alias stands
            for is looked at, with as many calls as the setting `golden_calls` allows: 0, so that DSPy's cache alone is
            asked.  A difference is warned of (:class:`~skillfleet_nb.reports.golden.GoldenWarning`), and so is
            that nothing could be looked at.

        Raises
        ------
        NotFoundError
            If there is no such name, version or alias.
        InputError
            If its class is not to be found, or fields differ, each named.
        """
        from dspy import Module

        version = self._registry.find(ref)
        state = self.state(version.ref)
        try:
            program = build(state, onto, differences=differences, otherwise=lambda: self._given(version))
        except InputError as error:
            raise InputError(f"{version.ref} cannot be loaded: {error}") from error
        if steps := migration_steps(program, state):
            with suppress(HomeError, JobError):  # a program is loaded from a home that cannot be written too
                self._registry.migrated(version, steps)
        if not isinstance(onto, Module):
            job_lm = version.setup.get("lm") if version.job_id else None
            for lost in give_models(program, state, but=job_lm):
                text = f"{version.ref}: {lost}: set it, or the configured model answers"
                warnings.warn(text, LoadWarning, stacklevel=3)
        if check is None and _is_alias(ref):
            self._warn(version, program, None)
        elif check is not None and check is not False:
            self._warn(version, program, check)
        return program

    def _given(self, version: ProgramVersion) -> dspy.Module | None:
        """Return the program that the job of a version was started with; None where it was not kept."""
        with suppress(JobError, NotFoundError):
            return self._job(version.job_id).given if version.job_id else None
        return None

    def golden(self, ref: str, onto: Onto = None, *, calls: int | None = None, lm: Model | None = None) -> GoldenCheck:
        """Look how a version answers the inputs that were kept with it.

        Parameters
        ----------
        ref, onto
            As for :meth:`load`.
        calls
            Calls that may be bought for what DSPy's cache does not hold; by default as the settings say.
        lm
            The model; by default the one DSPy is configured with, else that of its job.

        Raises
        ------
        NotFoundError, InputError
            As :meth:`load` does.
        """
        import dspy

        version, settings = self._registry.find(ref), Settings.load(self._store.home.config)
        program = self.load(version.ref, onto, check=False)
        budget, model = settings.golden_calls if calls is None else calls, lm or dspy.settings.lm
        if model is None and version.job_id:
            with suppress(JobError):
                model = self._job(version.job_id).model()
        with dspy.context(lm=model):
            return goldens.check(self._store.home, settings, version, program, budget, run_tools=True)

    def _warn(self, version: ProgramVersion, program: dspy.Module, check: int | None) -> str:
        """Warn of what is to be known before a program is used, and return it; nothing where nothing is."""
        settings = Settings.load(self._store.home.config)
        calls = settings.golden_calls if check is None or check is True else check
        outcome = goldens.check(self._store.home, settings, version, program, calls, run_tools=check is not None)
        if not outcome.answers or (outcome.ok and outcome.checked):
            return ""
        warnings.warn(outcome.sentence(), goldens.GoldenWarning, stacklevel=4)
        return outcome.sentence()

    def live(
        self, ref: str, onto: Onto = None, *, record: float = 0.01, check: bool | int | None = None
    ) -> LiveProgram:
        """Follow an alias.

        Parameters
        ----------
        ref
            ``name@alias``.
        onto
            As for :meth:`load`.
        record
            Share of the calls whose version is recorded (relation ``live_answers``), in [0, 1].
        check
            As for :meth:`load`: of the first version before this returns, of later ones beside the calls.

        Raises
        ------
        NotFoundError, InputError
            As :meth:`load` does.
        """
        if not _is_alias(ref):
            name = parse(ref).name
            raise InputError(
                f"{ref!r} stands for one version: a live program follows an alias, for example {name}@production."
            )
        return LiveProgram(
            self._store.home,
            self._registry,
            ref,
            lambda version: self.load(version.ref, onto, check=False),
            record=record,
            check=None if check is False else lambda version, program: self._warn(version, program, check),
        )

    def evidence(self, name: str, alias: str, version: int) -> Evidence:
        """Tell how a version compares with the one that an alias stands for now, on the sealed test split.

        Raises
        ------
        NotFoundError
            If there is no such name or version.
        """
        return evidence(self._store, self._registry, name, alias, version)

    def move(
        self,
        name: str,
        alias: str,
        version: int,
        *,
        force: str | None = None,
        dry_run: bool = False,
        since: int | None = None,
    ) -> Evidence:
        """Set an alias to a version, with the evidence of how the two compare, pair by pair on the test split.

        Parameters
        ----------
        force
            Why it is moved even where its sealed test is worse than that of the version the alias stands for, or
            cannot be compared with it.
        dry_run
            Whether only to tell the evidence.
        since
            The `moves` of the evidence that it was decided on; None takes the alias as it is now.

        Raises
        ------
        NotFoundError
            If there is no such name or version.
        JobError
            If the evidence speaks against it and `force` gives no reason, or another moved the alias meanwhile.
        """
        if force is not None and not force.strip():
            raise InputError("force: say why the alias is moved against the evidence, in a few words.")
        evidence = self.evidence(name, alias, version)
        since = evidence.moves if since is None else since
        if since == evidence.moves > 0 and self._registry.find(f"{name}@{alias}").version == version:
            return evidence
        if since == evidence.moves and evidence.objection and force is None and not dry_run:
            typed = as_typed(f"program alias {name} {alias} {version} --force REASON")
            raise JobError(
                f"{name}@{alias} is not moved to version {version}: {evidence.objection}. "
                f"{typed} moves it all the same."
            )
        if not dry_run:
            self._registry.move(name, alias, version, since=since, evidence=evidence.text, forced=force)
        return evidence

    def rollback(self, name: str, alias: str, to: int | None = None, *, since: int | None = None) -> Move:
        """Set an alias back to the version that it stood for before, or to an earlier one, `to`.

        Parameters
        ----------
        since
            As for :meth:`move`.

        Raises
        ------
        NotFoundError
            If there is no such name or alias, or it never was that version.
        JobError
            If there is nothing to go back to, or another moved it meanwhile.
        """
        since = len(self._registry.history(name, alias)) if since is None else since
        return self._registry.move(name, alias, self.earlier(name, alias, to), since=since, rollback=True)

    def earlier(self, name: str, alias: str, to: int | None = None) -> int:
        """Return the version that an alias goes back to; raises as :meth:`rollback` does."""
        moves = self._registry.history(name, alias)
        now = moves[-1].version
        if to is None:
            earlier = stood_before(moves)
            if earlier is None:
                raise JobError(
                    f"{name}@{alias} is version {now}, and stood for no other before that it could go back to."
                )
            to = earlier
        elif to not in {move.version for move in moves}:
            stood = ", ".join(map(str, dict.fromkeys(move.version for move in moves)))
            raise NotFoundError(f"{name}@{alias} never was version {to}: it was {stood}.")
        return to

    def _of_job(self, program: StoredProgram) -> tuple[ProgramState, dict[str, Any]]:
        """Return the state of a job's program, and what the job knows of it."""
        job, examples = program.job, program.programs.examples
        spec, result = job.progress.spec, job.progress.result
        scores: dict[str, Any] = {"val": program.val_score, "test": program.test_score}
        if program.test_score is not None:
            interval = mean_interval(tested(program.scores()).tolist())
            scores |= {"test_low": interval.low, "test_high": interval.high, "n_test": interval.n}
            if result is not None and program.is_best:
                scores |= {"test_baseline": result.test_baseline, "verdict": result.verdict}
        data = spec.get("data_hashes", {})
        setup = {k: spec.get(k) for k in ("optimizer", "metric", "metric_hash", "lm", "seed")} | {"data": data}
        frame = program.scores().sort_values(["split", "example_id"], ascending=[False, True])
        scored = zip(frame.example_id.astype(str), frame.output, strict=True)
        answers = [(examples[row].inputs().toDict(), output) for row, output in scored if row in examples]
        facts = {"job_id": job.id, "scores": scores, "setup": setup, "note": self._reasons(job, program.id)}
        return dict(program.state), {**facts, "golden": goldens.keep(self._store.home, answers)}

    def _reasons(self, job: Job, program_id: str) -> str:
        """Tell why a program was proposed and taken, and those before it, where its optimizer says so."""
        judged = queries.decisions(self._store, job.id)
        taken = judged[judged.accepted].reset_index(drop=True)
        places = taken.index[taken.program_id == program_id]
        return " Then: ".join(dict.fromkeys(taken.reasons[: places[-1] + 1])) if len(places) else ""


def _is_alias(ref: str) -> bool:
    wanted = parse(ref).at
    return wanted != NEWEST and not wanted.isdecimal()


def _program(source: object) -> dspy.Module:
    import dspy

    if not isinstance(source, dspy.Module):
        raise InputError(
            f"a {type(source).__name__} cannot be registered: give a job, its name, a program, or the JSON file of one."
        )
    return source
