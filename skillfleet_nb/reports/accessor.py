"""``fleet.reports``, ``fleet.programs`` and ``fleet.data``: what a home's runs and data come to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from skillfleet_nb.config import Settings
from skillfleet_nb.runs.jobs.job import Job
from skillfleet_nb.store import Trail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from skillfleet_nb.charts import Charts
    from skillfleet_nb.data import Splits, TrainsetReport
    from skillfleet_nb.lm.embed import Embedder
    from skillfleet_nb.reports.comparison import Comparison
    from skillfleet_nb.reports.compliance import Compliance
    from skillfleet_nb.reports.stored_programs import StoredProgram, StoredPrograms
    from skillfleet_nb.runs.request import RunRequest
    from skillfleet_nb.store import Store
    from skillfleet_nb.typing import Example, Metric, Model, Program, Rows


class Reports:
    """Reports of jobs.  Reached as ``fleet.reports``.

    Parameters
    ----------
    store
        Of the home.
    find
        Finds a job by name or id.
    charts
        Of the home.
    """

    def __init__(self, store: Store, find: Callable[[Job | str], Job], charts: Charts) -> None:
        self._store, self._find, self._charts = store, find, charts

    def compare(self, *jobs: Job | str) -> Comparison:
        """Put runs side by side: set-ups, scores, cost, prompts, and the examples they disagree on.

        Each is compared with the first, by the best program's scores on the sealed test split: pair by
        pair over the rows both scored; by their means, and said so, where these are few.

        Parameters
        ----------
        jobs
            At least two, by name or id or as they are.

        Returns
        -------
        Comparison
            Shows itself; ``.program("name").load()`` is a run's best program, to be used.

        Raises
        ------
        InputError, NotFoundError
            If one is unknown, or they are not at least two different ones.
        """
        from skillfleet_nb.reports.compare import compare

        settings = Settings.load(self._store.home.config)
        named = [job if isinstance(job, str) else job.name for job in jobs]
        return compare(self._store, settings, [self._find(job) for job in jobs], named)

    def export(
        self,
        jobs: Job | str | Sequence[Job | str],
        path: str | Path,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Write a report of jobs as one HTML file, which needs no network and holds no key.

        Parameters
        ----------
        jobs
            One or more jobs, by name or id or as they are.
        path
            A file that ends in .html.
        progress
            Called with how many charts are drawn, and of how many.

        Raises
        ------
        NotFoundError
            If there is no such job.
        InputError
            If no job is named, or the file cannot be written.
        """
        from skillfleet_nb.reports.html_report import write_report

        named = [jobs] if isinstance(jobs, str | Job) else jobs
        chosen = [self._find(job) for job in named]
        page = write_report(chosen, self._charts, self._store, path, progress)
        Trail(self._store.home).record("export", str(path), f"report of {', '.join(job.name for job in chosen)}")
        return page

    def compliance(self) -> Compliance:
        """Say what the home stores where and for how long, how it is protected, and who did what; ``.save(path)``.

        Raises
        ------
        HomeError, InputError
            If the home or its settings cannot be read.
        """
        from skillfleet_nb.reports.compliance import compliance

        return compliance(self._store, Settings.load(self._store.home.config))


class Programs:
    """The programs that jobs scored.  Reached as ``fleet.programs``.

    Parameters
    ----------
    store, find
        As for :class:`Reports`.
    """

    def __init__(self, store: Store, find: Callable[[Job | str], Job]) -> None:
        self._store, self._find = store, find

    def of(self, job: Job | str) -> StoredPrograms:
        """List the programs that a job scored; ``[id]`` opens one.

        Raises
        ------
        NotFoundError
            If there is no such job.
        """
        from skillfleet_nb.reports.stored_programs import programs_of

        return programs_of(self._store, Settings.load(self._store.home.config), self._find(job))

    def find(self, name_or_id: Job | str, job: Job | str | None = None) -> StoredProgram:
        """Find a program: what it says, its scores and ancestors; to try, to save, to use.

        Parameters
        ----------
        name_or_id
            A job, or its name or id, for its best program; or the id of any program, its first characters
            being enough.
        job
            The job to see it as a candidate of, where several scored it; by default the newest.

        Raises
        ------
        NotFoundError, InputError, JobError
            If there is none, several begin so, or the job has no scored program.
        """
        from skillfleet_nb.reports.stored_programs import find

        called = name_or_id if isinstance(name_or_id, str) else self._find(name_or_id).id
        return find(self._store, Settings.load(self._store.home.config), self._find, called, job)


class Trainsets:
    """Training sets, analysed with what runs and people said of their examples.  Reached as ``fleet.data``.

    Parameters
    ----------
    store
        Of the home.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def analyse(
        self,
        train: Rows,
        label: str | None = None,
        metric: Metric | None = None,
        program: Program | None = None,
        reference: Rows | Sequence[str] | None = None,
        *,
        test: Rows | None = None,
        style: str | None = None,
        input_fields: Sequence[str] | None = None,
        weights: Mapping[str, object] | None = None,
        target: Mapping[str, float] | None = None,
        near: float = 0.95,
        max_rows: int = 20_000,
        judge: Model | None = None,
        max_calls: int = 200,
        budget_usd: float | None = None,
        name: str = "train",
        seed: int = 0,
        progress: Callable[[str], Callable[[int, int], None]] | None = None,
    ) -> TrainsetReport:
        """Analyse a training set: scores, label errors, duplicates, conflicts, gaps, what to select.

        What runs of this home came to and people's ratings are taken in; what is found is recorded
        in the relation ``examples``.  Embeddings are kept in the home, so a second analysis is quick.

        Parameters
        ----------
        train
            Mappings, ``dspy.Example`` objects, a data frame, an Arrow table or a ``datasets.Dataset``.
        label
            The output to check and to balance on; by default the one that looks like it.
        metric
            Tried on each example's own answer, which it should score 1.  No model is asked.
        program
            Says which fields are inputs, and how relevant each example is.
        reference
            Test or production inputs, as texts or rows: regions of them without examples are gaps.
        test
            Test rows, which are never selected.
        style
            The wanted style of skills; others are half as relevant.
        input_fields
            Inputs of rows that do not say; by default all fields but the label.
        weights
            Of the components of the scores, see :class:`~skillfleet_nb.data.scoring.RankWeights`.
        target
            Weight of each category the set should have; uniform by default.
        near
            Cosine from which two inputs are near-duplicates.
        max_rows
            Of a larger set a random sample of so many rows is analysed, and the report says so.
        judge
            A model that grades each example, as a further component of its quality.  Its grades are kept
            in the home: no example is bought twice for the same judge and task.
        max_calls, budget_usd
            Hard limits on what the judge buys in this analysis; a random part of the set is graded then,
            and the next analysis goes on.
        name
            What to call the set.
        seed
            Of the sample, of the folds in which labels are checked, and of the order of the judge.
        progress
            Called as ``progress("embedding texts")``, or with what else takes long; returns what is
            called as ``show(done, total)`` meanwhile.

        Raises
        ------
        InputError, NotFoundError, LMError
            In one line: no rows, no such label, a value out of range, a judge that does not answer.
        """
        from skillfleet_nb.reports.judge import Judge
        from skillfleet_nb.reports.trainsets import analyse

        grades = None
        if judge is not None:
            settings = Settings.load(self._store.home.config)
            grades = Judge(judge, settings, max_calls, budget_usd, progress and progress("asking the judge"))
        return analyse(
            self._store.home,
            self._store,
            self.embedder(progress and progress("embedding texts")),
            train,
            judge=grades,
            label=label,
            metric=metric,
            program=program,
            reference=reference,
            test=test,
            style=style,
            input_fields=input_fields,
            weights=weights,
            target=target,
            near=near,
            max_rows=max_rows,
            name=name,
            seed=seed,
        )

    def narrowed(self, request: RunRequest, splits: Splits[Example]) -> Splits[Example]:
        """Keep of the train split what a run selects; the other two stay as they were cut."""
        k, strategy = request.select or 0, request.strategy
        report = self.analyse(
            splits.train, program=request.program, label=splits.label, name="train split", seed=splits.seed
        )
        chosen = report.select(k, strategy, seed=splits.seed)
        how = f"{k} of {len(splits.train)} selected ({strategy or report.strategy}), {splits.origins['train']}"
        return replace(splits, train=chosen, origins={**splits.origins, "train": how})

    def rate(self, example_id: str, rating: float | None) -> None:
        """Rate an example in [0, 1]: half of its quality from then on; None takes the rating back.

        Parameters
        ----------
        example_id
            As in the report's ``examples``.
        rating
            The rating.

        Raises
        ------
        InputError
            If it is out of range.
        """
        from skillfleet_nb.reports.trainsets import rate

        rate(self._store.home, example_id, rating)

    def embedder(self, progress: Callable[[int, int], None] | None = None) -> Embedder:
        """Make an embedder that keeps its vectors in the home; its model is loaded on first use."""
        from skillfleet_nb.lm.embed import Embedder

        return Embedder.of(self._store.home, progress)
