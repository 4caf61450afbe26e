"""The facade: the one object behind every magic, button, route and shell command."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError, JobError, unknown
from skillfleet_nb.insights.methods import InsightMethods
from skillfleet_nb.monitoring.methods import MonitoringMethods
from skillfleet_nb.reports.registry_methods import RegistryMethods
from skillfleet_nb.runs.creation import CreateRequest
from skillfleet_nb.runs.engines import parcel
from skillfleet_nb.runs.engines.launch import start, start_again
from skillfleet_nb.runs.engines.queue import Queue
from skillfleet_nb.runs.evaluation import EvaluateRequest, prepare_evaluation
from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
from skillfleet_nb.runs.jobs.job import Job
from skillfleet_nb.runs.jobs.names import free_name
from skillfleet_nb.runs.jobs.resume import refuse_changes, refuse_finished, refuse_spent
from skillfleet_nb.runs.kinds import prepare_kind
from skillfleet_nb.runs.prepare import in_time
from skillfleet_nb.runs.request import ResumeRequest, RunRequest, takes
from skillfleet_nb.runs.spec import CREATE_SKILL, EVALUATE
from skillfleet_nb.store import Encryption, Home, Store, queries
from skillfleet_nb.store.methods import StoreMethods
from skillfleet_nb.tracing.methods import TracingMethods

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date
    from pathlib import Path

    import pandas as pd

    from skillfleet_nb.advice.advisor import Advisor
    from skillfleet_nb.charts import Charts
    from skillfleet_nb.events import Payload
    from skillfleet_nb.modules.accessor import Modules
    from skillfleet_nb.reports.accessor import Programs, Reports, Trainsets
    from skillfleet_nb.reports.registered import Registered
    from skillfleet_nb.runs.jobs.curation import Curation
    from skillfleet_nb.runs.jobs.live import LiveView
    from skillfleet_nb.runs.prepare import Prepared
    from skillfleet_nb.runs.review.answers import Answer
    from skillfleet_nb.runs.skill_work import SkillWork


class Fleet(StoreMethods, RegistryMethods, MonitoringMethods, InsightMethods, TracingMethods):
    """Jobs, their facts and their programs, in one home.

    Parameters
    ----------
    home
        The home's folder.  By default ``$SKILLFLEET_HOME``, else the nearest ``.skillfleet`` above
        the working folder, else a new one in it, made when there is something to keep.
    start
        Folder to look from, in place of the working folder.

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

    def __init__(self, home: str | Path | None = None, *, start: Path | None = None) -> None:
        self.home = Home.find(home, start=start)
        self.store = Store(self.home)
        self._jobs: dict[str, Job] = {}

    def __repr__(self) -> str:
        return f"Fleet({str(self.home.root)!r})"

    @property
    def settings(self) -> Settings:
        """Settings of the home, as they are now."""
        return Settings.load(self.home.config)

    @cached_property
    def encryption(self) -> Encryption:
        """The encryption of this home: encrypt, rotate, decrypt, lock and unlock it."""
        from skillfleet_nb.lm.answer_cache import forget_answers

        return Encryption(self.home, before_lock=forget_answers)

    @cached_property
    def advice(self) -> Advisor:
        """Advice before money is spent: what a run can win and cost, and which optimizer to choose."""
        from skillfleet_nb.advice.advisor import Advisor

        return Advisor(self.store, self._run)

    @cached_property
    def data(self) -> Trainsets:
        """Training sets: their quality, wrong labels, duplicates and gaps; what to train on."""
        from skillfleet_nb.reports.accessor import Trainsets

        return Trainsets(self.store)

    @cached_property
    def programs(self) -> Programs:
        """The programs that jobs scored: to read, to try, to save, to use."""
        from skillfleet_nb.reports.accessor import Programs

        return Programs(self.store, self.job)

    @cached_property
    def registry(self) -> Registered:
        """Registered programs: their versions and aliases, shown, compared and loaded."""
        from skillfleet_nb.reports.registered import Registered

        return Registered(self.store, self.job, self.programs.find)

    @cached_property
    def modules(self) -> Modules:
        """Modules that installed packages bring along, by name and version."""
        from skillfleet_nb.modules.accessor import Modules

        return Modules(self.home)

    @cached_property
    def reports(self) -> Reports:
        """Runs side by side, and reports to send to a colleague."""
        from skillfleet_nb.reports.accessor import Reports

        return Reports(self.store, self.job, self.charts)

    @cached_property
    def charts(self) -> Charts:
        """Charts of jobs: ``fleet.charts.convergence("intents")``; each is shown or saved by itself."""
        from skillfleet_nb.charts import Charts

        return Charts(self.store, self.job)

    @cached_property
    def curation(self) -> Curation:
        """Jobs put in order: renamed, tagged, noted, archived, deleted and brought back."""
        from skillfleet_nb.runs.jobs.curation import Curation

        return Curation(self.store, self.job, self._jobs)

    @cached_property
    def skills(self) -> SkillWork:
        """Agent skills: the index in which similar ones are found, skills improved, tasks researched."""
        from skillfleet_nb.runs.skill_work import SkillWork

        return SkillWork(self.store)

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
        settle = partial(prepare_kind, request, self.settings, select=self.data.narrowed, choose=self.advice.decided)
        explain = self.advice.explained if request.optimizer != CREATE_SKILL else lambda _: ()
        return self._start(in_time(settle, request.max_minutes), explain)

    def _start(self, prepared: Prepared, explain: Callable[[Prepared], Sequence[Payload]]) -> Job:
        with free_name(self.store, prepared.request.name) as name:
            job = start(self.home, prepared.named(name), explain)
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
        if before.optimizer == EVALUATE:
            raise JobError(f"{before.name!r} only scores: evaluate again, what was answered comes from the cache")
        if not asked.as_new:
            refuse_finished(before, asked.limits)
            refuse_spent(before.name, asked.limits, EarlierAttempts.of(self.home, before.job_id))
        changes = {"engine": before.engine, "name": before.name, "tags": before.tags, "domain": before.domain}
        settings = self.settings
        kept = parcel.kept(self.home, before.job_id, before.spec, settings, changes | asked.changes())
        with kept.under():
            if asked.as_new:
                return self._run(kept.request)
            prepared = in_time(partial(prepare_kind, kept.request, settings), kept.request.max_minutes)
            refuse_changes(before.name, before.spec, prepared.spec)
            job = start_again(self.home, prepared, before, kept.cache_dir)
        self._jobs[job.id] = job
        return job

    @takes(EvaluateRequest)
    def evaluate(self, *program: Any, **options: Any) -> Job:
        """Score a program on data, and return at once: a job as any other, which only scores.

        A job that was stopped before its test is tested so: ``fleet.evaluate("intents")`` compares its best program
        with the given one on the sealed test split.

        Returns
        -------
        Job
            A handle; its result has `test_score` and `test_interval`, of two programs `test_delta` and a verdict.

        Raises
        ------
        InputError, NotFoundError, JobError, LMError
            In one line, with nothing spent.

        Examples
        --------
        >>> import dspy, tempfile, skillfleet_nb as sf
        >>> rows = [dspy.Example(n=str(n), odd=bool(n % 2)).with_inputs("n") for n in range(20)]
        >>> job = Fleet(tempfile.mkdtemp()).evaluate(
        ...     dspy.Predict("n -> odd: bool"), rows, lambda e, p, trace=None: e.odd == p.odd, lm=sf.offline_lm())
        >>> low, high = job.result().test_interval
        >>> low <= job.result().test_score <= high
        True
        """
        from skillfleet_nb.reports.evaluated import resolved

        asked = resolved(EvaluateRequest(*program, **options), self.job, self.registry)
        settle = partial(prepare_evaluation, asked, self.settings)
        return self._start(in_time(settle, asked.max_minutes), lambda _: ())

    @takes(CreateRequest)
    def create_skill(self, *task: Any, **options: Any) -> Job:
        """Start creating a skill, and return at once: a job as any other, which writes the skill last.

        Returns
        -------
        Job
            A handle; its result has `skill`, `folder`, `path`, `score`, `similar`, `seconds_saved` and `created`.

        Raises
        ------
        InputError, NotFoundError, LMError, HomeError
            In one line, with nothing spent.

        Examples
        --------
        >>> import tempfile, skillfleet_nb as sf
        >>> made = Fleet(tempfile.mkdtemp()).create_skill(
        ...     "Use when API keys must be rotated without downtime", root=tempfile.mkdtemp(), lm=sf.offline_lm()
        ... ).result()
        >>> made.skill.validate().conformant
        True
        """
        return self._run(CreateRequest(*task, **options).run(self.home))

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
        archived: bool | None = None,
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
        archived
            Only jobs that are, or are not.

        Raises
        ------
        NotFoundError
            If `state` is no state of a job.
        InputError
            If a day is none.
        """
        Queue(self.home).tend()
        return queries.jobs(
            self.store,
            state=state,
            optimizer=optimizer,
            domain=domain,
            tag=tag,
            since=since,
            until=until,
            text=text,
            archived=archived,
        )

    def job(self, name_or_id: Job | str) -> Job:
        """Find a job by its id, or the newest one by its name; a job of this home is returned as it is.

        Raises
        ------
        NotFoundError
            If there is none, with the nearest name.
        InputError
            If it is a job of another home, or no name.
        """
        if isinstance(name_or_id, Job):
            if name_or_id.home.root.resolve() != self.home.root.resolve():
                there = str(name_or_id.home.root)
                raise InputError(f"job {name_or_id.id} is of another home, '{there}': ask Fleet({there!r})")
            return name_or_id
        if not isinstance(name_or_id, str):
            raise InputError(f"a job is given as {name_or_id!r}: give its name, its id or the job itself")
        if name_or_id in self._jobs:
            return self._jobs[name_or_id]
        names = queries.job_names(self.store)
        ids = names[(names.job_id == name_or_id) | (names.name == name_or_id)].job_id
        if ids.empty:
            # A home may have gone from under the jobs of this process.
            own = [job for job in self._jobs.values() if job.name == name_or_id]
            if own:
                return own[-1]
            raise unknown("job", name_or_id, list(dict.fromkeys(names.name)))
        job_id = str(ids.iloc[0])
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
        return self.job(job).monitor()

    def answer(self, name_or_id: Job | str, text: str = "", choice: str | None = None) -> Answer:
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
        return queries.open_questions(self.store)

    def trials(self, job_id: str) -> pd.DataFrame:
        """List the trials of a job in order; columns as in the relation ``trials``."""
        return queries.trials(self.store, [job_id])

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
        from skillfleet_nb.optimizers.registry import listed, parameters

        return listed() if name is None else parameters(name)
