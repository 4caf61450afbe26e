"""The facade: the one object behind every magic, button, route and shell command."""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import unknown
from skillfleet_nb.runs.engines import parcel
from skillfleet_nb.runs.engines.launch import start, start_again
from skillfleet_nb.runs.jobs.attempts import History
from skillfleet_nb.runs.jobs.job import Job
from skillfleet_nb.runs.jobs.resume import refuse_changes, refuse_finished, refuse_spent
from skillfleet_nb.runs.prepare import prepare
from skillfleet_nb.runs.request import AUTO, ResumeRequest, RunRequest, takes
from skillfleet_nb.store import Home, Store
from skillfleet_nb.store.job_filter import condition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    import pandas as pd

    from skillfleet_nb.advice.advisor import Advisor
    from skillfleet_nb.charts import Charts
    from skillfleet_nb.data import TrainsetReport
    from skillfleet_nb.lm.embed import Embedder
    from skillfleet_nb.reports.comparison import Comparison
    from skillfleet_nb.reports.stored_programs import Candidates, StoredProgram
    from skillfleet_nb.runs.jobs.live import LiveView
    from skillfleet_nb.runs.review.answers import Answer
    from skillfleet_nb.skills.similarity.index import SimilarityIndex


class Fleet:
    """Jobs, their facts and their programs, in one home.

    Parameters
    ----------
    home
        The home's folder.  By default ``$SKILLFLEET_HOME``, else the nearest ``.skillfleet`` above
        the working folder, else a new one in it, made when there is something to keep.

    Raises
    ------
    HomeError
        If the home was made by a newer version, or cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> fleet = Fleet(tempfile.mkdtemp())
    >>> len(fleet.jobs())
    0
    """

    def __init__(self, home: str | Path | None = None) -> None:
        self.home = Home.find(home)
        self.store = Store(self.home)
        self._jobs: dict[str, Job] = {}

    def __repr__(self) -> str:
        return f"Fleet({str(self.home.root)!r})"

    @property
    def settings(self) -> Settings:
        """Settings of the home, as they are now."""
        return Settings.load(self.home.config)

    @cached_property
    def advice(self) -> Advisor:
        """Advice before money is spent: what a run can win and cost, and which optimizer to choose."""
        from skillfleet_nb.advice.advisor import Advisor

        return Advisor(self.store, self._run)

    @takes(RunRequest)
    def optimize(self, *program: Any, **options: Any) -> Job:
        """Start optimising a program, and return at once.

        Everything is checked before anything is spent.  Whatever ends the search, the best program
        so far is kept; it is compared with the given one on the test split, which nothing else sees.

        Returns
        -------
        Job
            A handle; ``job.result()`` waits for what it comes to.

        Raises
        ------
        InputError, NotFoundError, LMError, HomeError
            In one line, with nothing spent.

        Examples
        --------
        >>> import dspy, tempfile, skillfleet_nb as sf
        >>> rows = [dspy.Example(n=str(n), odd=bool(n % 2)).with_inputs("n") for n in range(40)]
        >>> job = Fleet(tempfile.mkdtemp()).optimize(
        ...     dspy.Predict("n -> odd: bool"), train=rows, metric=lambda e, p, trace=None: e.odd == p.odd,
        ...     optimizer="labeled_fewshot", lm=sf.offline_lm(),
        ... )
        >>> job.result().verdict in {"improved", "no evidence", "worse"}
        True
        """
        return self._run(RunRequest(*program, **options))

    def _run(self, request: RunRequest) -> Job:
        from skillfleet_nb.advice.advisor import choice
        from skillfleet_nb.reports.trainsets import narrowed

        if request.optimizer == AUTO:
            request = self.advice.decided(request)
        settings = self.settings
        select = partial(narrowed, self.trainset, request) if request.select is not None else None
        prepared = prepare(request, settings, select)
        job = start(self.home, prepared, settings, choice(prepared, settings, request.recommendation))
        self._jobs[job.id] = job
        return job

    @takes(ResumeRequest)
    def resume(self, *name_or_id: Any, **options: Any) -> Job:
        """Go on with a job that was interrupted, cancelled, failed or out of budget, and return at once.

        The same set-up and seed ask the model the same questions, so DSPy's cache replays what was
        paid for; the job goes on where it stopped, under its own id.  Limits count over all attempts.

        Raises
        ------
        JobError
            If the job runs, is complete, or was kept without what is needed.
        InputError
            If program, metric, data, seed or model differ, naming what changed; or if the model's
            cache is off, so that nothing can be replayed.
        """
        asked = ResumeRequest(*name_or_id, **options)
        before = self.job(asked.name_or_id).progress
        if not asked.as_new:
            refuse_finished(before, asked.limits)
            refuse_spent(before.name, asked.limits, History.of(self.home, before.job_id))
        changes = {"engine": before.engine, "name": before.name, "tags": before.tags, "domain": before.domain}
        settings = self.settings
        kept = parcel.kept(self.home, before.job_id, before.spec, settings, changes | asked.changes())
        with kept.under():
            if asked.as_new:
                return self._run(kept.request)
            prepared = prepare(kept.request, settings)
            refuse_changes(before.name, before.spec, prepared.spec)
            job = start_again(self.home, prepared, settings, before, kept.cache_dir)
        self._jobs[job.id] = job
        return job

    def jobs(
        self,
        state: str | None = None,
        *,
        optimizer: str | None = None,
        domain: str | None = None,
        tag: str | None = None,
        since: str | date | None = None,
        until: str | date | None = None,
        text: str | None = None,
    ) -> pd.DataFrame:
        """List jobs, newest first, one row each; columns as in the relation ``jobs``.

        Parameters
        ----------
        state, optimizer, domain, tag
            Only jobs with these.
        since, until
            Only jobs made on these days (UTC) or between: ``"2026-01-31"``, or a date.
        text
            Only jobs with this in their name, in capitals or not.

        Raises
        ------
        NotFoundError
            If `state` is no state of a job.
        InputError
            If a day is none.
        """
        where, values = condition(
            state=state, optimizer=optimizer, domain=domain, tag=tag, since=since, until=until, text=text
        )
        return self.store.frame(f"from jobs where {where} order by created_at desc", values)

    def job(self, name_or_id: str) -> Job:
        """Find a job by its id, or the newest one by its name.

        Raises
        ------
        NotFoundError
            If there is none, with the nearest name.
        """
        if name_or_id in self._jobs:
            return self._jobs[name_or_id]
        known = self.store.frame("select job_id, name from jobs order by created_at desc")
        found = known[(known.job_id == name_or_id) | (known.name == name_or_id)].job_id
        if found.empty:
            raise unknown("job", name_or_id, list(dict.fromkeys(known.name)))
        job_id = str(found.iloc[0])
        return self._jobs.setdefault(job_id, Job(self.home, job_id))

    def monitor(self, job: Job | str) -> LiveView:
        """Show a job live in a notebook: its curve, cost and phase, and buttons to pause and stop it.

        Parameters
        ----------
        job
            The job, or its name or id.

        Raises
        ------
        NotFoundError
            If there is none of that name.
        """
        return (self.job(job) if isinstance(job, str) else job).monitor()

    def compare(self, *jobs: str) -> Comparison:
        """Put runs side by side: set-ups, scores, cost, prompts, and the examples they disagree on.

        Each is compared with the first, by the best program's scores on the sealed test split: pair by
        pair over the rows both scored; by their means, and said so, where these are few.

        Parameters
        ----------
        jobs
            Names or ids, at least two.

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

        return compare(self.store, self.settings, [self.job(name) for name in jobs], jobs)

    def programs(self, job: str) -> Candidates:
        """List the programs that a job scored; ``[id]`` opens one.

        Raises
        ------
        NotFoundError
            If there is no such job.
        """
        from skillfleet_nb.reports.stored_programs import candidates

        return candidates(self.store, self.settings, self.job(job))

    def program(self, name_or_id: str, job: str | None = None) -> StoredProgram:
        """Find a program: what it says, its scores and ancestors; to try, to save, to use.

        Parameters
        ----------
        name_or_id
            Name or id of a job, for its best program; or the id of any program, its first characters
            being enough.
        job
            The job to see it as a candidate of, where several scored it; by default the newest.

        Raises
        ------
        NotFoundError, InputError, JobError
            If there is none, several begin so, or the job has no scored program.
        """
        from skillfleet_nb.reports.stored_programs import find

        return find(self.store, self.settings, self.job, name_or_id, job)

    def answer(self, name_or_id: str, text: str = "", choice: str | None = None) -> Answer:
        """Answer what a job asks, in this or any process; it goes on from there.

        Parameters
        ----------
        name_or_id
            The job.
        text
            The answer in words, read by the settings' keywords; ``"revise: TEXT"`` gives a text of your own.
        choice
            ``"proceed"``, ``"revise"`` or ``"cancel"``: `text` is then taken as it is.

        Returns
        -------
        Answer
            As it was understood.

        Raises
        ------
        InputError
            If it cannot be read, or contradicts itself: the question stays open.
        JobError
            If the job asks nothing, or was answered already.
        """
        return self.job(name_or_id).answer(text, choice)

    def questions(self) -> pd.DataFrame:
        """List what jobs ask a person now: `name`, `question`, `asks`, `asked_at`, `job_id`; oldest first."""
        return self.store.frame(
            "select name, question, asks, asked_at, job_id from reviews join jobs using (job_id) "
            "where answered_at is null and state = 'pending_hitl' order by asked_at"
        )

    def trials(self, job_id: str) -> pd.DataFrame:
        """List the trials of a job in order; columns as in the relation ``trials``."""
        return self.store.frame("from trials where job_id = ? order by trial", [job_id])

    @property
    def charts(self) -> Charts:
        """Charts of jobs: ``fleet.charts.convergence("intents")``; each is shown or saved by itself."""
        from skillfleet_nb.charts import Charts

        return Charts(self.store, self.job)

    def export(self, jobs: Job | str | Sequence[Job | str], path: str | Path) -> Path:
        """Write a report of jobs as one HTML file, which needs no network and holds no key.

        Parameters
        ----------
        jobs
            One or more jobs, by name or id or as they are.
        path
            A file that ends in .html.

        Raises
        ------
        NotFoundError
            If there is no such job.
        InputError
            If no job is named, or the file cannot be written.
        """
        from skillfleet_nb.reports.html_report import write_report

        named = [jobs] if isinstance(jobs, str | Job) else jobs
        found = [self.job(job) if isinstance(job, str) else job for job in named]
        return write_report(found, self.charts, self.store, path)

    def sql(self, query: str) -> pd.DataFrame:
        """Ask anything of the recorded facts; see ``docs/sql.md`` for the relations.

        Parameters
        ----------
        query
            One statement that only reads.

        Raises
        ------
        QueryError
            If it is not valid, or would do more than read.

        Examples
        --------
        >>> import tempfile
        >>> Fleet(tempfile.mkdtemp()).sql("select count(*) as n from jobs").n[0]
        0
        """
        return self.store.sql(query)

    def optimizers(self, name: str | None = None) -> pd.DataFrame:
        """List the installed optimizers: what each changes, does and needs.

        Parameters
        ----------
        name
            List the parameters of this one instead, with their defaults.

        Raises
        ------
        NotFoundError
            If there is no optimizer of that name.
        """
        import pandas as pd

        from skillfleet_nb.optimizers.registry import available, load

        if name is not None:
            fields = load(name).Params.model_fields.items()
            return pd.DataFrame(
                [[k, f.get_default(call_default_factory=True), f.description or ""] for k, f in fields],
                columns=["parameter", "default", "what it is"],
                dtype=object,  # or 8 would become 8.0 beside a default that is None
            )
        classes = [load(n) for n in available()]
        return pd.DataFrame(
            [[c.name, ", ".join(sorted(c.changes, reverse=True)), c.summary, c.needs] for c in classes],
            columns=["name", "changes", "what it does", "needs"],
        )

    def trainset(
        self,
        train: Any,
        label: str | None = None,
        metric: Any = None,
        program: Any = None,
        reference: Any = None,
        *,
        test: Any = None,
        style: str | None = None,
        input_fields: Sequence[str] | None = None,
        weights: Mapping[str, Any] | None = None,
        target: Mapping[str, float] | None = None,
        near: float = 0.95,
        max_rows: int = 20_000,
        judge: Any = None,
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
            Of the components of the scores, see :class:`~skillfleet_nb.data.scoring.Weights`.
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

        return analyse(
            self.home,
            self.store,
            self.embedder(progress and progress("embedding texts")),
            train,
            judge=judge
            and Judge(judge, self.settings, max_calls, budget_usd, progress and progress("asking the judge")),
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

        rate(self.home, example_id, rating)

    def embedder(self, progress: Callable[[int, int], None] | None = None) -> Embedder:
        """Make an embedder that keeps its vectors in the home; its model is loaded on first use."""
        from skillfleet_nb.lm.embed import Embedder

        return Embedder.of(self.home.root, progress)

    def skill_index(self, root: str | Path, progress: Callable[[int, int], None] | None = None) -> SimilarityIndex:
        """Return the similarity index of the skills under `root`, kept in the home.

        Parameters
        ----------
        root
            A folder of skills.
        progress
            Called as ``progress(done, total)`` while texts are embedded, after two seconds.
        """
        from skillfleet_nb.data.identity import content_hash
        from skillfleet_nb.skills.similarity.index import SimilarityIndex

        name = content_hash(str(Path(root).resolve()))
        return SimilarityIndex(self.home.root / "vectors" / name, self.embedder(progress))
