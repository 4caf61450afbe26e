"""The facade: the one object behind every magic, button, route and shell command."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError, JobError, unknown
from skillfleet_nb.events import JobCreated, JobState, Resumed, StateChanged
from skillfleet_nb.runs.engines import parcel
from skillfleet_nb.runs.engines.launch import check_engine, launch, packed
from skillfleet_nb.runs.jobs.attempts import History
from skillfleet_nb.runs.jobs.job import Job
from skillfleet_nb.runs.jobs.resume import refuse_changes, refuse_finished, refuse_spent
from skillfleet_nb.runs.prepare import checked_fallbacks, prepare
from skillfleet_nb.runs.review.reviewer import read_review
from skillfleet_nb.runs.spec import Budget, tags_of
from skillfleet_nb.store import Home, Journal, Store
from skillfleet_nb.store.job_filter import condition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    import pandas as pd

    from skillfleet_nb.advice.doctor import Diagnosis
    from skillfleet_nb.advice.forecast import Forecast
    from skillfleet_nb.advice.headroom import Headroom
    from skillfleet_nb.advice.recommend import Recommendation
    from skillfleet_nb.advice.track_record import SelectorReport
    from skillfleet_nb.charts import Charts
    from skillfleet_nb.data import TrainsetReport
    from skillfleet_nb.lm.embed import Embedder
    from skillfleet_nb.reports.comparison import Comparison
    from skillfleet_nb.reports.stored_programs import Candidates, StoredProgram
    from skillfleet_nb.runs.jobs.live import LiveView
    from skillfleet_nb.runs.jobs.progress import Progress
    from skillfleet_nb.runs.prepare import Prepared
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

    def optimize(
        self,
        program: Any,
        *,
        train: Any,
        val: Any = None,
        test: Any = None,
        metric: Any,
        optimizer: str,
        params: Mapping[str, Any] | None = None,
        lm: Any = None,
        prompt_lm: Any = None,
        fallback_lm: Any = None,
        budget_usd: float | None = None,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        max_minutes: float | None = None,
        target: float | None = None,
        review: Any = (),
        seed: int = 0,
        num_threads: int | None = None,
        engine: str = "thread",
        max_parallel: int | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        domain: str | None = None,
        record_prompts: bool | None = None,
        select: int | None = None,
        strategy: str | None = None,
        recommendation: Recommendation | None = None,
    ) -> Job:
        """Start optimising a program, and return at once.

        Everything is checked before anything is spent.  Whatever ends the search, the best program
        so far is kept; it is compared with the given one on the test split, which nothing else sees.

        Parameters
        ----------
        program
            A ``dspy.Module`` with at least one predictor.  It is not changed.
        train, val, test
            Examples: lists of ``dspy.Example`` or mappings, or a data frame.  What is not given is
            cut from `train`, stratified and seeded.
        metric
            ``metric(example, pred, trace=None)`` returning a bool, a number in [0, 1], or
            ``dspy.Prediction(score=…, feedback=…)``; higher is better.
        optimizer
            Name of an optimizer; :meth:`optimizers` lists them.  ``"auto"`` takes what
            :meth:`recommend` says for the limits given here.
        params
            The optimizer's own parameters.
        lm, prompt_lm
            Models for the program's calls (default: DSPy's configured one) and for proposing or
            reflecting (default: `lm`).
        fallback_lm
            A model, or several in order, that answers a request where the one asked fails for good.
            Its calls are recorded, priced and counted as its own.
        budget_usd, max_calls, max_tokens, max_minutes
            Hard limits on everything the job buys, the final test included.  Cached calls are free.
        target
            Score in [0, 1] to hope for: a line in the learning curve, which stops nothing.
        review
            When to ask a person, and wait for :meth:`answer`: ``"accept"`` before the best program is tested
            and kept, ``"cost=0.50"`` before more USD are spent, or several of them.
        seed
            Decides the split and the optimizer's random choices.
        num_threads
            Threads of an evaluation.
        engine
            Where it runs: ``"thread"`` in this process, ``"process"`` in one of its own, which
            outlives this one; what the notebook defined travels to it by value.
        max_parallel
            A process waits until fewer than so many of the home's run; by default as the settings say.
        name
            What to call the job.
        tags, domain
            Words to find it by, in the dashboard and in the relation ``jobs``.
        record_prompts
            Whether prompts, responses and outputs are kept as text; by default as the settings say.
        select
            Train on so many examples of the train split, chosen by :meth:`trainset`'s scores; by
            default on all.  Validation and the sealed test split stay whole and are not looked at.
        strategy
            How they are chosen: ``"balanced"`` (the default where there are categories), ``"top"``,
            ``"coverage"``, ``"hard"``, or a mixture such as ``"balanced+coverage"``.
        recommendation
            The recommendation that is followed, or overridden, with this job: it is recorded which.

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
        check_engine(engine, max_parallel)
        if name is not None and not name.strip():
            raise InputError(f"name = {name!r}: give the job a name with a letter in it, or none")
        settings = self.settings
        if record_prompts is not None:
            settings = settings.model_copy(update={"record_prompts": record_prompts})
        if optimizer == "auto":
            if params:
                raise InputError("optimizer = 'auto' chooses its parameters itself: leave params (--set) out")
            recommendation = self.recommend(
                program, train=train, val=val, test=test, metric=metric, lm=lm, prompt_lm=prompt_lm, seed=seed,
                num_threads=num_threads, budget_usd=budget_usd, max_minutes=max_minutes,
            )  # fmt: skip
            optimizer, params = recommendation.optimizer, recommendation.params
            budget_usd = recommendation.budget_usd  # what the probe left
        checked = partial(
            prepare,
            program,
            metric=metric,
            optimizer=optimizer,
            params=params,
            lm=lm,
            prompt_lm=prompt_lm,
            fallback_lm=fallback_lm,
            budget=Budget(usd=budget_usd, calls=max_calls, tokens=max_tokens, minutes=max_minutes),
            target=target,
            review=review,
            seed=seed,
            num_threads=num_threads,
            settings=settings,
        )
        prepared = checked(train=train, val=val, test=test)
        if select is not None:
            prepared = self._selected(checked, prepared, program, select, strategy)
        elif strategy is not None:
            raise InputError(f"strategy = {strategy!r} is given without select: say how many examples to train on")
        job_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        pack = packed(prepared, program, self.home, settings, engine)
        created = JobCreated(
            name=name or f"{optimizer}-{job_id[-6:]}",
            optimizer=optimizer,
            program=prepared.spec.program,
            metric=prepared.spec.metric,
            engine=engine,
            seed=seed,
            budget_usd=budget_usd,
            tags=tags_of(tags),
            domain=(domain or "").strip() or None,
            spec=prepared.spec.model_dump(mode="json"),
        )
        from skillfleet_nb.advice.advisor import choice

        told = [created, choice(prepared, settings, recommendation)]
        job, journal = Job(self.home, job_id, program), Journal(self.home, job_id)
        self._jobs[job_id] = job
        return launch(self.home, job, journal, told, prepared, pack, settings, engine, max_parallel)

    def _selected(
        self, checked: Callable[..., Prepared], prepared: Prepared, program: Any, k: int, strategy: str | None
    ) -> Prepared:
        """Keep the best `k` of the train split; the other two stay as they were cut."""
        splits = prepared.splits
        report = self.trainset(splits.train, program=program, label=splits.label, name="train split", seed=splits.seed)
        chosen = report.select(k, strategy, seed=splits.seed)
        again = checked(train=chosen, val=splits.val, test=splits.test)
        how = f"{k} of {len(splits.train)} selected ({strategy or report.strategy}), {splits.origins['train']}"
        splits = replace(splits, train=again.splits.train, origins={**splits.origins, "train": how})
        spec = again.spec.model_copy(update={"splits": splits.describe()})
        return replace(again, splits=splits, spec=spec, warnings=prepared.warnings)

    def resume(
        self,
        name_or_id: str,
        *,
        program: Any = None,
        train: Any = None,
        val: Any = None,
        test: Any = None,
        metric: Any = None,
        lm: Any = None,
        prompt_lm: Any = None,
        fallback_lm: Any = None,
        seed: int | None = None,
        budget_usd: float | None = None,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        max_minutes: float | None = None,
        review: Any = None,
        engine: str | None = None,
        max_parallel: int | None = None,
        as_new: bool = False,
    ) -> Job:
        """Go on with a job that was interrupted, cancelled, failed or out of budget, and return at once.

        The same set-up and seed ask the model the same questions, so DSPy's cache replays what was
        paid for; the job goes on where it stopped, under its own id.  Limits count over all attempts.

        Parameters
        ----------
        name_or_id
            The job.
        program, train, val, test, metric, lm, prompt_lm, seed
            What it was started with; by default what was kept with the job.  A job that holds on to
            what cannot travel, such as a connection, keeps nothing: give program, train and metric.
        fallback_lm
            Models that take over from here on; by default those it had.
        budget_usd, max_calls, max_tokens, max_minutes
            New limits, over all attempts; by default the old ones.
        review
            When to ask from here on; by default as before, and not what was answered already.
        engine, max_parallel
            Where to run; by default where it ran.
        as_new
            Start a fresh job of this set-up instead, under the same name; what is given may differ.

        Raises
        ------
        JobError
            If the job runs, is complete, or was kept without what is needed.
        InputError
            If program, metric, data, seed or model differ, naming what changed; or if the model's
            cache is off, so that nothing can be replayed.
        """
        old = self.job(name_or_id)
        p = old.progress
        asked = {"usd": budget_usd, "calls": max_calls, "tokens": max_tokens, "minutes": max_minutes}
        limits = {k: v for k, v in asked.items() if v is not None}
        if not as_new:
            refuse_finished(p, limits)
            refuse_spent(p.name, limits, History.of(self.home, old.id))
        engine = engine or p.engine
        check_engine(engine, max_parallel)
        given = {"program": program, "metric": metric, "lm": lm, "prompt_lm": prompt_lm, "seed": seed}
        given["fallback_lms"] = checked_fallbacks(fallback_lm) or None
        given["review"] = None if review is None else read_review(review)
        given = {k: v for k, v in given.items() if v is not None}
        if train is not None:
            given |= {"train": train, "val": val, "test": test}
        elif val is not None or test is not None:
            raise InputError("val or test is given without train: give all that the job was started with, or none")
        kept = parcel.kept(self.home, old.id, p.spec, self.settings, given)
        kept = replace(kept, budget=kept.budget.model_copy(update=limits))
        if as_new:
            return self._restart(kept, engine, max_parallel, p)
        settings = self.settings.model_copy(update={"record_prompts": kept.record_prompts})
        prepared = parcel.prepared(kept, settings)
        refuse_changes(p.name, p.spec, prepared.spec)
        with parcel.settings_of(kept):
            pack = packed(prepared, kept.program, self.home, settings, engine, kept.cache_dir)
            job, journal = Job(self.home, old.id, kept.program), Journal(self.home, old.id)
            if job.progress.attempts != p.attempts:
                journal.close()
                raise JobError(f"job {p.name!r} was just resumed by another process: watch it")
            resumed = Resumed(attempt=p.attempts + 1, budget=prepared.spec.budget.model_dump())
            told = [resumed, StateChanged(state=JobState.PENDING)]
            self._jobs[job.id] = job
            return launch(self.home, job, journal, told, prepared, pack, settings, engine, max_parallel)

    def _restart(self, kept: parcel.Parcel, engine: str, max_parallel: int | None, p: Progress) -> Job:
        with parcel.settings_of(kept):
            return self.optimize(
                kept.program,
                train=kept.train,
                val=kept.val,
                test=kept.test,
                metric=kept.metric,
                optimizer=kept.optimizer,
                params=kept.params,
                lm=kept.lm,
                prompt_lm=kept.prompt_lm,
                fallback_lm=kept.fallback_lms or None,
                budget_usd=kept.budget.usd,
                max_calls=kept.budget.calls,
                max_tokens=kept.budget.tokens,
                max_minutes=kept.budget.minutes,
                target=p.spec.get("target"),
                review=kept.review,
                seed=kept.seed,
                num_threads=kept.num_threads,
                engine=engine,
                max_parallel=max_parallel,
                name=p.name,
                tags=p.tags,
                domain=p.domain,
                record_prompts=kept.record_prompts,
            )

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

    def estimate(
        self,
        program: Any,
        *,
        train: Any,
        optimizer: str,
        params: Mapping[str, Any] | None = None,
        val: Any = None,
        test: Any = None,
        metric: Any = None,
        lm: Any = None,
        prompt_lm: Any = None,
        seed: int = 0,
        num_threads: int | None = None,
        probe: int = 3,
    ) -> Forecast:
        """Forecast what a run will buy, cost and take, before it is started.

        Parameters
        ----------
        program, train, val, test, metric, lm, prompt_lm, seed, num_threads, optimizer, params
            As for :meth:`optimize`; the metric may be left out.
        probe
            Training examples the program is run on to measure its calls, which costs a little and is
            recorded; 0 reads all off the prompts and calls nothing.

        Returns
        -------
        Forecast
            Calls by role, tokens, USD and seconds, each with an 80% interval.

        Raises
        ------
        InputError, NotFoundError, LMError
            In one line.

        Examples
        --------
        >>> import dspy, tempfile, skillfleet_nb as sf
        >>> rows = [dspy.Example(n=str(n), odd=bool(n % 2)).with_inputs("n") for n in range(40)]
        >>> told = Fleet(tempfile.mkdtemp()).estimate(
        ...     dspy.Predict("n -> odd: bool"), train=rows, optimizer="miprov2", lm=sf.offline_lm(), probe=0)
        >>> told.calls.low < told.calls.expected < told.calls.high
        True
        """
        from skillfleet_nb.advice.advisor import estimate
        from skillfleet_nb.advice.setup import set_up

        setup = set_up(
            program, train=train, val=val, test=test, metric=metric, lm=lm, prompt_lm=prompt_lm, seed=seed,
            num_threads=num_threads, settings=self.settings,
        )  # fmt: skip
        return estimate(self.home, self.store, setup, optimizer, params, probe)

    def recommend(
        self,
        program: Any,
        *,
        train: Any,
        metric: Any,
        budget_usd: float | None = None,
        quality_target: float = 0.85,
        max_minutes: float | None = None,
        complexity: str | None = None,
        style: str | None = None,
        domain: str | None = None,
        val: Any = None,
        test: Any = None,
        lm: Any = None,
        prompt_lm: Any = None,
        seed: int = 0,
        num_threads: int | None = None,
        probe: int = 3,
    ) -> Recommendation:
        """Recommend an optimizer for a budget, with what it will cost, and why.

        Every candidate is forecast first: what is recommended keeps the budget and the time at the
        upper end of its forecast, and a larger budget never gives a weaker optimizer.

        Parameters
        ----------
        program, train, val, test, metric, lm, prompt_lm, seed, num_threads
            As for :meth:`optimize`.
        budget_usd, max_minutes
            Limits, the probe included; None is none.
        quality_target
            Score aimed at, in [0, 1]: its chance is told, and from 0.95 fine-tuning is considered.
        complexity, style, domain
            What you know of the task, in a word each; earlier runs on tasks of the same count more.
        probe
            Training examples to measure the program's calls on, once per task; 0 calls nothing.

        Returns
        -------
        Recommendation
            With up to three alternatives; it is recorded in the relation ``recommendations``.

        Raises
        ------
        InputError, LMError
            In one line: limits out of range or contradictory (with the smallest budget that would
            do), fewer than 5 examples, a budget for a model without a known price.
        """
        from skillfleet_nb.advice import advisor
        from skillfleet_nb.advice.setup import set_up

        setup = set_up(
            program, train=train, val=val, test=test, metric=metric, lm=lm, prompt_lm=prompt_lm, seed=seed,
            num_threads=num_threads, settings=self.settings,
        )  # fmt: skip
        found, left = advisor.advice(
            self.home, self.store, setup, probe=probe, budget_usd=budget_usd, quality_target=quality_target,
            max_minutes=max_minutes, domain=domain, style=style, complexity=complexity, embedder=self.embedder(),
        )  # fmt: skip
        made = found.choose(budget_usd=left, quality_target=quality_target, max_minutes=max_minutes)
        advisor.record(self.home, made)
        return made.prepared_with(found, setup)

    def follow(
        self,
        recommendation: Recommendation,
        *,
        optimizer: str | None = None,
        params: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Job:
        """Start the job that a recommendation of this session speaks for, or another one in its place.

        Parameters
        ----------
        recommendation
            Of :meth:`recommend`; its budget and time limit hold for the job.
        optimizer, params
            What to run instead; that it was overridden is recorded.
        **options
            Further ones of :meth:`optimize`, such as `name` or `engine`.

        Raises
        ------
        InputError
            If the recommendation is of another session: give program, data and metric to :meth:`optimize`.
        """
        from skillfleet_nb.advice import advisor

        given = recommendation.given()
        advisor.record_once(self.home, self.store, recommendation)
        chosen, settled = recommendation.optimizer, recommendation.params
        if optimizer is not None and optimizer != chosen:
            chosen, settled = optimizer, dict(params or {})
        elif params is not None:
            settled = dict(params)
        limits: dict[str, Any] = {
            "budget_usd": recommendation.budget_usd,
            "max_minutes": recommendation.max_minutes,
        }
        return self.optimize(
            **given, **limits, optimizer=chosen, params=settled, recommendation=recommendation, **options
        )

    def headroom(
        self,
        program: Any,
        *,
        train: Any,
        metric: Any,
        val: Any = None,
        test: Any = None,
        lm: Any = None,
        seed: int = 0,
        num_threads: int | None = None,
        n: int = 24,
        k: int = 4,
        budget_usd: float | None = None,
    ) -> Headroom:
        """Say what optimising can win here at most, before money is spent on it.

        The metric and the labels are looked at first, which costs nothing; where they are sound, the
        program is tried `k` times on `n` validation examples.

        Parameters
        ----------
        program, train, val, test, metric, lm, seed, num_threads
            As for :meth:`optimize`.  The test split stays sealed.
        n, k
            Examples tried, and tries of each: one as it is, one with demos, the rest drawn at random.
        budget_usd
            No call starts beyond it.

        Returns
        -------
        Headroom
            A verdict, ``"worth trying"``, ``"little to gain"``, ``"fix the data first"`` or ``"fix the
            metric first"``, with its evidence.

        Raises
        ------
        InputError, LMError
            In one line.
        """
        from skillfleet_nb.advice.headroom import look
        from skillfleet_nb.advice.setup import set_up

        setup = set_up(
            program, train=train, val=val, test=test, metric=metric, lm=lm, seed=seed, num_threads=num_threads,
            settings=self.settings,
        )  # fmt: skip
        return look(self.home, setup, n=n, k=k, budget_usd=budget_usd)

    def selector_report(self) -> SelectorReport:
        """Say how good the home's advice has been: accuracy, regret, calibration, forecast errors, use."""
        from skillfleet_nb.advice.track_record import report

        return report(self.store)

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

        return Embedder(cache=self.home.root / "vectors" / "texts", progress=progress)

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

    def doctor(self, program: Any = None, *, train: Any = None, metric: Any = None, lm: Any = None) -> Diagnosis:
        """Tell whether everything is ready before money is spent; each failing row names its fix.

        Parameters
        ----------
        program, train, metric
            What a run would be given; what is left out is not checked.
        lm
            The model; by default the one DSPy is configured with.  It is asked one short question.
        """
        from skillfleet_nb.advice.doctor import diagnose

        return diagnose(self.home, program=program, train=train, metric=metric, lm=lm)
