"""Candidates of the home's jobs: what they say, where they come from, how they scored; to try, save and use."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, JobError, unknown
from skillfleet_nb.example import in_words
from skillfleet_nb.format import is_missing, points
from skillfleet_nb.html import Readable
from skillfleet_nb.messages import as_typed
from skillfleet_nb.programs.diff import diff_programs
from skillfleet_nb.programs.loading import load_state
from skillfleet_nb.programs.state import describe, save_state
from skillfleet_nb.reports.program_page import SHORT_ID, program_html, program_text, programs_table, use_lines
from skillfleet_nb.runs.tryout import ask
from skillfleet_nb.store import Trail, load_program, queries
from skillfleet_nb.store.blobs import Blobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd
    from markupsafe import Markup

    from skillfleet_nb.config import Settings
    from skillfleet_nb.programs.diff import ProgramDiff
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.tryout import Tryout
    from skillfleet_nb.store import Store
    from skillfleet_nb.typing import Model, Program

_TAIL = 2_000  # characters of a prompt around the inputs that it ends with
_MOST_CALLS = 100
_PREFIX = 4  # characters of an id that may stand for it


@dataclass(frozen=True, repr=False)
class StoredPrograms(Readable):
    """The programs that a job scored, in the order in which it met them.

    Attributes
    ----------
    job
        The job.
    frame
        One row a program: `program_id`; `role` in words (``given``, ``best``, both, or empty); the first `trial`
        it was scored in and the number of `trials`; `val_score` and `test_score` in [0, 1], of whole
        evaluations; `n_demos`; `parents`, the ids it was made from; `instructions`; `created_at`.
    given, best
        Ids of the program that the job was given and of the one it came to; None before they are scored.
    """

    job: Job
    frame: pd.DataFrame
    given: str | None
    best: str | None
    _open: Callable[[str], StoredProgram] = field(repr=False)

    @cached_property
    def examples(self) -> dict[str, Any]:
        """The examples of the job, by id; empty where they were not kept with it."""
        return self.job.examples()

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, program_id: str) -> StoredProgram:
        return self._open(program_id)

    def text(self) -> str:
        """Show the list as plain text."""
        return programs_table(self.job.name, self.frame, html=False)

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        return programs_table(self.job.name, self.frame, html=True)


class StoredProgram(Readable):
    """A candidate of a job, as it was kept.

    Attributes
    ----------
    id, job
        Its content hash, and the job it is looked at as a candidate of.
    state
        Its instructions and demos, as ``dspy.Module.load_state`` takes them.
    is_given, is_best
        Whether the job was given it, and whether it is what the job came to.
    val_score, test_score
        In [0, 1], of all of validation and of the test split; None where it was not scored there.
    parents
        Ids of the programs it was made from; empty where the optimizer does not tell.
    programs
        All programs of the job.
    """

    def __init__(self, store: Store, settings: Settings, programs: StoredPrograms, program_id: str) -> None:
        frame = programs.frame
        row = frame[frame.program_id == program_id].iloc[0]
        self.id, self.job, self.n_demos = program_id, programs.job, int(row.n_demos)
        self.is_given, self.is_best = program_id == programs.given, program_id == programs.best
        self.trial = None if is_missing(row.trial) else int(row.trial)
        self.val_score, self.test_score = (_number(row[name]) for name in ("val_score", "test_score"))
        self.parents: tuple[str, ...] = tuple(row.parents)
        self.programs, self._store, self._settings = programs, store, settings
        self.state: Mapping[str, Any] = load_program(store.home, program_id)

    @property
    def label(self) -> str:
        """What it is called: ``program ID of JOB``."""
        return f"program {self.id} of {self.job.name}"

    def ancestors(self) -> list[str]:
        """Return the ids of its parents, their parents and so on, nearest first."""
        parents = dict(zip(self.programs.frame.program_id, self.programs.frame.parents, strict=True))
        ancestors: dict[str, None] = {}
        todo = list(self.parents)
        while todo:
            program_id = todo.pop(0)
            if program_id not in ancestors and program_id != self.id:
                ancestors[program_id] = None
                todo += parents.get(program_id, ())
        return list(ancestors)

    def scores(self) -> pd.DataFrame:
        """Return how it did on each example of its whole evaluations, the worst of each split first.

        Columns: `trial`, `split`, `example_id`, `input` and `expected` where the examples were kept
        with the job, `score` in [0, 1] (a failure counts 0), `output` as JSON, `feedback`.
        """
        return self._scores.copy()

    @cached_property
    def _scores(self) -> pd.DataFrame:
        frame = queries.program_scores(self._store, self.job.id, self.id)
        examples = self.programs.examples if len(frame) else {}
        for place, (column, method) in enumerate((("input", "inputs"), ("expected", "labels")), 3):
            values = [getattr(examples[e], method)().toDict() if e in examples else {} for e in frame.example_id]
            frame.insert(place, column, [in_words(v) for v in values])
        return frame

    def calls(self, example_id: str) -> list[dict[str, Any]]:
        """Return the calls it made for an example, in order: rows of ``lm_calls``.

        They are known by their prompts, which end with the example's inputs and hold the program's instructions; none
        where prompts or examples were not kept.
        """
        frame = calls_for(self._store, self.programs, example_id)
        said = [_spaced(text) for text in describe(self.state).instructions.values()]
        rows = ({str(name): value for name, value in row.items()} for row in frame.to_dict("records"))
        return [row for row in rows if any(text in _spaced(row["prompt"]) for text in said)]

    def diff(self) -> ProgramDiff:
        """Compare it with the program that the job was given."""
        baseline = self.programs.given
        return diff_programs(self.state if baseline is None else load_program(self._store.home, baseline), self.state)

    def load(self, onto: Program | None = None) -> Program:
        """Return it as a ``dspy.Module`` to be used.

        Parameters
        ----------
        onto
            The program it is put onto, which is not changed; by default the one the job was given.

        Raises
        ------
        JobError
            If the job did not keep its program, so that `onto` is needed.
        InputError
            If it is not the same program.
        """
        if onto is None and self.is_best and self.job.state.is_finished():
            try:
                return self.job.program  # some compiled programs are more than their state
            except JobError:
                pass
        return load_state(self.job.given if onto is None else onto, self.state)

    def ask(self, inputs: Mapping[str, Any], *, lm: Model | None = None, onto: Program | None = None) -> Tryout:
        """Try it on an input; the calls are metered, and recorded in a stream of their own.

        Parameters
        ----------
        inputs
            The program's inputs by name; texts are read as the type their field has.
        lm
            The model; by default the one DSPy is configured with, else the job's own.
        onto
            As in :meth:`load`.

        Raises
        ------
        InputError, NotFoundError, LMError, JobError
            In one line: what is missing, what does not answer, what failed.
        """
        import dspy

        program = self.load(onto)
        model = lm or dspy.settings.lm or self.job.model()
        return ask(self._store.home, self._settings, program, inputs, lm=model, program_id=self.id, job_id=self.job.id)

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, which ``program.load(path)`` of DSPy reads.

        Raises
        ------
        InputError
            If the path does not end with ``.json`` or cannot be written.
        """
        file = save_state(self.state, path)
        Trail(self._store.home).record("export", str(path), f"program {self.id} of {self.job.name}")
        return file

    def text(self) -> str:
        """Show it as plain text."""
        return program_text(self._facts(), self.state, self.scores(), use_lines(self.id))

    _repr_pretty_ = Readable._repr_pretty_  # or IPython would take what follows

    def __repr__(self) -> str:
        return f"<StoredProgram {self.id} of {self.job.name}>"

    def html(self, *, lines: bool = True) -> Markup:
        """Show it as HTML; `lines` adds how to use it."""
        changes = None if self.is_given else self.diff().html()
        how = use_lines(self.id) if lines else ()
        return program_html(self._facts(), self.state, self.scores(), changes, how, Blobs(self._store.home).read)

    def _facts(self) -> list[list[str]]:
        role = {
            (True, True): ", given, and its best", (True, False): " as it was given", (False, True): ", its best",
        }.get((self.is_given, self.is_best), "")  # fmt: skip
        rows = [
            ["program", self.id],
            ["of", f"{self.job.name}{role}"],
            ["validation", points(self.val_score) or "not scored as a whole"],
            ["test (sealed)", points(self.test_score) or "not scored"],
            ["demos", str(self.n_demos)],
        ]
        if self.trial is not None:
            rows.insert(2, ["first scored", f"in trial {self.trial}"])
        judged = queries.decisions(self._store, self.job.id)
        for row in judged[judged.program_id == self.id].to_dict("records"):
            rows += [["proposed", row["reasons"]], ["judged", row["evidence"]]]
        line = [f"{a[:SHORT_ID]}{' (parent)' * (a in self.parents)}" for a in self.ancestors()]
        if line:
            rows.append(["ancestors", " ← ".join(line)])
        return rows


def _spaced(text: str) -> str:
    """Write a text with single spaces: adapters indent instructions."""
    return " ".join(text.split())


def programs_of(store: Store, settings: Settings, job: Job) -> StoredPrograms:
    """List the programs of a job."""
    frame = queries.job_programs(store, job.id)
    baseline, best = (next(iter(frame.program_id[frame[role]]), None) for role in ("given", "best"))
    roles = [" ".join(role for role in ("given", "best") if row[role]) for row in frame.to_dict("records")]
    frame = frame.drop(columns=["given", "best"]).assign(parents=frame["parents"].map(tuple))
    frame.insert(1, "role", roles)
    programs = StoredPrograms(
        job, frame, baseline, best, lambda program_id: StoredProgram(store, settings, programs, program_id)
    )
    return programs


def find(
    store: Store,
    settings: Settings,
    job_of: Callable[[Job | str], Job],
    name_or_id: str,
    job: Job | str | None = None,
) -> StoredProgram:
    """Find a program by its id or the beginning of it, or the best one of a job by the job's name or id.

    Parameters
    ----------
    job_of
        Finds a job.
    job
        The job it is looked at as a candidate of; by default the newest that has it.

    Raises
    ------
    NotFoundError, InputError, JobError
        If there is none, several begin so, or the job has no scored program.
    """
    jobs = queries.job_names(store)
    if job is None and name_or_id in {*jobs.job_id, *jobs.name}:
        programs = programs_of(store, settings, job_of(name_or_id))
        if programs.best is None:
            raise JobError(f"job {name_or_id!r} ({programs.job.state}) has no scored program yet")
        return programs[programs.best]
    if job is not None:
        job_id: str | None = job_of(job).id
        if name_or_id in {job, job_id}:
            return find(store, settings, job_of, name_or_id)
    else:
        job_id = None
    newest = queries.program_ids(store, job_id)
    ids = newest.program_id.astype(str)
    fits = newest[ids.str.startswith(name_or_id)] if len(name_or_id) >= _PREFIX else newest[ids == name_or_id]
    if len(fits) > 1:
        raise InputError(
            f"{len(fits)} programs begin with {name_or_id!r}: {', '.join(fits.program_id)}; give more of it"
        )
    if fits.empty:
        allowed = [*dict.fromkeys(jobs.name), *(ids if job_id else ())]
        hint = f"Give a job for its best program, or an id: {as_typed('programs JOB')} lists them."
        raise unknown("program", name_or_id, allowed, hint=hint)
    return programs_of(store, settings, job_of(str(fits.job_id.iloc[0])))[str(fits.program_id.iloc[0])]


def _number(value: float) -> float | None:
    return None if is_missing(value) else float(value)


def calls_for(store: Store, programs: StoredPrograms, example_id: str) -> pd.DataFrame:
    """Return the calls that a job's programs made for an example, in order: rows of ``lm_calls``.

    They are known by their prompts, which end with the example's inputs; none where prompts or examples were not kept.
    """
    example = programs.examples.get(example_id)
    texts = [v for v in (example.inputs().toDict().values() if example is not None else ()) if isinstance(v, str)]
    if not texts:
        return queries.calls(store, programs.job.id, limit=0)
    within = _TAIL + 2 * sum(map(len, texts))
    return queries.calls_that_end_with(store, programs.job.id, texts, within=within, limit=_MOST_CALLS)
