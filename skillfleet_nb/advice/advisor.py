"""``fleet.advice``: estimates, recommendations and what became of them, each recorded."""

from __future__ import annotations

import secrets
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from skillfleet_nb.advice import past_runs
from skillfleet_nb.advice.forecast import Workload, forecast
from skillfleet_nb.advice.recommendation import Recommendation
from skillfleet_nb.advice.selector import Requirements, selector_for
from skillfleet_nb.advice.setup import Setup, landmarks_of, set_up, sized, task_key
from skillfleet_nb.advice.sizing import categories, read_sizes
from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError
from skillfleet_nb.events import Chosen
from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.lm.prices import price_of
from skillfleet_nb.runs.request import RunRequest, TaskRequest
from skillfleet_nb.store import Journal, queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from skillfleet_nb.advice.doctor import Diagnosis
    from skillfleet_nb.advice.forecast import Forecast
    from skillfleet_nb.advice.headroom import Headroom
    from skillfleet_nb.advice.track_record import SelectorReport
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.prepare import Prepared
    from skillfleet_nb.store import Home, Store
    from skillfleet_nb.typing import Metric, Model, Program, Rows


class Advisor:
    """Advice before money is spent, and how good it has been.  Reached as ``fleet.advice``.

    Parameters
    ----------
    store
        Of the home.
    start
        Starts a run.
    """

    def __init__(self, store: Store, start: Callable[[RunRequest], Job]) -> None:
        self._home, self._store, self._start = store.home, store, start
        self._histories = past_runs.Histories(store)

    def doctor(
        self,
        program: Program | None = None,
        *,
        train: Rows | None = None,
        metric: Metric | None = None,
        lm: Model | None = None,
    ) -> Diagnosis:
        """Tell whether everything is ready before money is spent; each failing row names its fix.

        Parameters
        ----------
        program, train, metric
            What a run would be given; what is left out is not checked.
        lm
            The model; by default the one DSPy is configured with.  It is asked one short question.
        """
        from skillfleet_nb.advice.doctor import diagnose

        return diagnose(self._home, program=program, train=train, metric=metric, lm=lm)

    def headroom(
        self,
        program: Program,
        *,
        train: Rows,
        metric: Metric,
        val: Rows | None = None,
        test: Rows | None = None,
        lm: Model | None = None,
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
            As for ``fleet.optimize``.  The test split stays sealed.
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

        task = TaskRequest(
            program, train=train, val=val, test=test, metric=metric, lm=lm, seed=seed, num_threads=num_threads
        )
        return look(self._home, self._checked(task), n=n, k=k, budget_usd=budget_usd)

    def estimate(
        self,
        program: Program,
        *,
        train: Rows,
        optimizer: str,
        params: Mapping[str, object] | None = None,
        val: Rows | None = None,
        test: Rows | None = None,
        metric: Metric | None = None,
        lm: Model | None = None,
        prompt_lm: Model | None = None,
        seed: int = 0,
        num_threads: int | None = None,
        probe: int = 3,
    ) -> Forecast:
        """Forecast what a run will buy, cost and take, before it is started.

        Parameters
        ----------
        program, train, val, test, metric, lm, prompt_lm, seed, num_threads, optimizer, params
            As for ``fleet.optimize``; the metric may be left out.
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
        >>> told = sf.Fleet(tempfile.mkdtemp()).advice.estimate(
        ...     dspy.Predict("n -> odd: bool"), train=rows, optimizer="miprov2", lm=sf.offline_lm(), probe=0)
        >>> told.calls.low < told.calls.expected < told.calls.high
        True
        """
        from skillfleet_nb.optimizers import create

        task = TaskRequest(
            program, train=train, val=val, test=test, metric=metric, lm=lm, prompt_lm=prompt_lm, seed=seed,
            num_threads=num_threads,
        )  # fmt: skip
        setup, made = self._checked(task), create(optimizer, params)
        history = self._histories.of(setup.key)
        sizing, _ = sized(self._home, setup, history, probe)
        learned = past_runs.corrections(optimizer, str(setup.lm.model), history.past)
        return forecast(made, setup.workload(sizing), learned)

    def recommend(
        self,
        program: Program,
        *,
        train: Rows,
        metric: Metric,
        budget_usd: float | None = None,
        quality_target: float = 0.85,
        max_minutes: float | None = None,
        complexity: str | None = None,
        style: str | None = None,
        domain: str | None = None,
        val: Rows | None = None,
        test: Rows | None = None,
        lm: Model | None = None,
        prompt_lm: Model | None = None,
        seed: int = 0,
        num_threads: int | None = None,
        probe: int = 3,
    ) -> Recommendation:
        """Recommend an optimizer for a budget, with what it will cost, and why.

        Every preset of every installed optimizer is forecast first: what is recommended keeps the budget and the
        time at the upper end of its forecast, and a larger budget never gives a weaker optimizer.

        Parameters
        ----------
        program, train, val, test, metric, lm, prompt_lm, seed, num_threads
            As for ``fleet.optimize``.
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
        task = TaskRequest(
            program, train=train, val=val, test=test, metric=metric, lm=lm, prompt_lm=prompt_lm, seed=seed,
            num_threads=num_threads,
        )  # fmt: skip
        return self._recommended(
            task, budget_usd=budget_usd, quality_target=quality_target, max_minutes=max_minutes, probe=probe,
            domain=domain, style=style, complexity=complexity,
        )  # fmt: skip

    def decided(self, request: RunRequest) -> RunRequest:
        """Put the optimizer that is recommended for its limits in the place of ``auto``."""
        made = self._recommended(request, budget_usd=request.budget_usd, max_minutes=request.max_minutes)
        return replace(
            request,
            optimizer=made.optimizer,
            params=made.params,
            budget_usd=made.budget_usd,  # what the probe left
            recommendation=made,
        )

    def follow(
        self,
        recommendation: Recommendation,
        *,
        optimizer: str | None = None,
        params: Mapping[str, object] | None = None,
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
            Further ones of ``fleet.optimize``, such as `name` or `engine`.

        Raises
        ------
        InputError
            If the recommendation is of another session: give program, data and metric to ``fleet.optimize``.
        """
        task = recommendation.request()
        record_once(self._home, self._store, recommendation)
        chosen, settled = recommendation.optimizer, recommendation.params
        if optimizer is not None and optimizer != chosen:
            chosen, settled = optimizer, dict(params or {})
        elif params is not None:
            settled = dict(params)
        request = task.run(
            optimizer=chosen,
            params=settled,
            budget_usd=recommendation.budget_usd,
            max_minutes=recommendation.max_minutes,
            recommendation=recommendation,
            **options,
        )
        return self._start(request)

    def report(self) -> SelectorReport:
        """Say how good the home's advice has been: accuracy, regret, calibration, forecast errors, use."""
        from skillfleet_nb.advice.track_record import report

        return report(self._store)

    def _checked(self, task: TaskRequest) -> Setup:
        return set_up(task, Settings.load(self._home.config))

    def _recommended(
        self,
        task: TaskRequest,
        *,
        budget_usd: float | None,
        quality_target: float = 0.85,
        max_minutes: float | None,
        probe: int = 3,
        domain: str | None = None,
        style: str | None = None,
        complexity: str | None = None,
    ) -> Recommendation:
        setup = self._checked(task)
        for what, word in (("domain", domain), ("style", style), ("complexity", complexity)):
            if word is not None and not word.strip():
                raise InputError(f"{what} = {word!r}: give a word, or leave it out")
        limits = Requirements(budget_usd, quality_target, max_minutes)
        history = self._histories.of(setup.key)
        sizing, probed = sized(self._home, setup, history, probe, budget_usd=budget_usd)
        landmarks = landmarks_of(self._home, setup, history, Embedder.of(self._home.root))
        selector = selector_for(
            setup, sizing, history.past, landmarks=landmarks, headroom=history.headroom, domain=domain, style=style,
            complexity=complexity,
        )  # fmt: skip
        if probed and budget_usd is not None and sizing.probe_usd:
            limits = replace(limits, budget_usd=max(1e-9, budget_usd - sizing.probe_usd))
        made = selector.choose(**asdict(limits))
        record(self._home, made)
        return made.prepared_with(selector.choose, task)


def record(home: Home, recommendation: Recommendation) -> None:
    """Keep a recommendation in the journal."""
    stream = f"{past_runs.STREAM}{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
    with Journal(home, stream) as journal:
        journal.append(recommendation.event(), sync=True)


def record_once(home: Home, store: Store, recommendation: Recommendation) -> None:
    """Keep a recommendation that was made under moved sliders, and so is not kept yet."""
    if not queries.is_recommended(store, recommendation.recommendation_id):
        record(home, recommendation)


def choice(prepared: Prepared, settings: Settings, recommendation: object) -> Chosen:
    """Say what a job runs, how that was chosen, and what is forecast of it from prompts alone."""
    if not isinstance(recommendation, Recommendation | None):
        raise InputError(f"recommendation is {recommendation!r}: give what fleet.advice.recommend returned")
    spec, lm = prepared.spec, prepared.lm
    if recommendation is None:
        how, recommendation_id = "manual", None
    else:
        same = recommendation.optimizer == spec.optimizer and all(
            spec.params.get(k) == v for k, v in recommendation.params.items()
        )
        how, recommendation_id = "accepted" if same else "overridden", recommendation.recommendation_id
    sizes = spec.sizes["train"], spec.sizes["val"], spec.sizes["test"]
    predictors = len(prepared.program.predictors())
    features: dict[str, Any] = {
        "task": task_key(spec.program_hash, spec.data_hashes["train"], spec.lm), "program": spec.program,
        "lm": spec.lm, "n": sizes[0] + sizes[1], "train": sizes[0], "val": sizes[1], "test": sizes[2],
        "predictors": predictors,
        "labels": categories(prepared.program, prepared.splits.train),
    }  # fmt: skip
    if recommendation is not None:
        further = ("domain", "style", "complexity", "baseline", "baseline_n", "nearest", "words", "named")
        features |= {k: recommendation.features[k] for k in further if k in recommendation.features}
    if how == "accepted" and recommendation is not None:
        calls, cost, wall = recommendation.calls, recommendation.cost_usd, recommendation.wall_s
    else:
        sizing = read_sizes(prepared.program, prepared.splits.train, lm)
        engine = getattr(prepared.prompt_lm, "engine", None)
        workload = Workload(
            sizes, sizing, predictors, price_of(lm, settings.prices),
            price_of(prepared.prompt_lm, settings.prices), spec.num_threads, bool(getattr(lm, "cache", False)),
            1.0 if getattr(engine, "repeats_itself", False) else None, spec.lm, spec.prompt_lm,
        )  # fmt: skip
        reckoned = forecast(prepared.optimizer, workload)
        calls, cost, wall = reckoned.calls, reckoned.cost_usd, reckoned.wall_s
    return Chosen(
        how=how, recommendation_id=recommendation_id, features=features, optimizer=spec.optimizer, params=spec.params,
        calls=tuple(calls), cost_usd=None if cost is None else tuple(cost), wall_s=tuple(wall),
    )  # fmt: skip
