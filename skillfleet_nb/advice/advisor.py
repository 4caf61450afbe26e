"""``fleet.advice``: estimates, recommendations and what became of them, each recorded."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from skillfleet_nb.advice import past_runs
from skillfleet_nb.advice.forecast import forecast
from skillfleet_nb.advice.portfolio_start import started
from skillfleet_nb.advice.recommendation import Recommendation
from skillfleet_nb.advice.requests import EstimateRequest, HeadroomRequest, NoiseRequest, RecommendRequest
from skillfleet_nb.advice.selector import Requirements, selector_for, without_price
from skillfleet_nb.advice.sizing import read_sizes
from skillfleet_nb.advice.task_facts import checked, features, landmarks_of, sized, workload
from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError
from skillfleet_nb.events import Chosen, Warned
from skillfleet_nb.format import one_line
from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.lm.prices import unpriced
from skillfleet_nb.lm.tap import own_models
from skillfleet_nb.optimizers.portfolio import Portfolio
from skillfleet_nb.runs.request import AUTO, RunRequest, takes
from skillfleet_nb.store import Journal, queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from skillfleet_nb.advice.doctor import Diagnosis
    from skillfleet_nb.advice.forecast import Forecast
    from skillfleet_nb.advice.headroom import Headroom
    from skillfleet_nb.advice.noise import NoiseFloor
    from skillfleet_nb.advice.recommendation import Option
    from skillfleet_nb.advice.track_record import SelectorReport
    from skillfleet_nb.events import Payload
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.prepare import Prepared
    from skillfleet_nb.runs.task import CheckedTask
    from skillfleet_nb.store import Home, Store
    from skillfleet_nb.typing import Metric, Model, Program, Rows

_TOLD = ("domain", "style", "complexity", "baseline", "baseline_n", "nearest", "words", "named")
"""Features of a task that only a recommendation knows."""


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

    @takes(HeadroomRequest)
    def headroom(self, *program: Any, **options: Any) -> Headroom:
        """Say what optimising can win here at most, before money is spent on it.

        The metric and the labels are looked at first, which costs nothing; where they are sound, the
        program is tried `k` times on `n` validation examples.  The test split stays sealed.

        Returns
        -------
        Headroom
            A verdict, ``"worth trying"``, ``"little to gain"``, ``"fix the data first"``, ``"fix the
            metric first"`` or ``"fix the format first"``, with its evidence.

        Raises
        ------
        InputError, LMError
            In one line.
        """
        from skillfleet_nb.advice.headroom import look

        asked = HeadroomRequest(*program, **options)
        task = checked(asked, self._settings)
        _refuse_unpriced(asked.budget_usd, _unpriced_of(task))
        return look(self._home, task, asked)

    @takes(NoiseRequest)
    def noise(self, *program: Any, **options: Any) -> NoiseFloor:
        """Say how far apart two runs of the same program are, and so which gains this task can show at all.

        The program is run twice on `n` examples, asked anew each time; the test split stays sealed.

        Returns
        -------
        NoiseFloor
            The smallest gain that the test split shows in 8 of 10 runs, and the rows that the wanted one needs.

        Raises
        ------
        InputError, LMError
            In one line.

        Examples
        --------
        >>> import dspy, tempfile, skillfleet_nb as sf
        >>> rows = [dspy.Example(n=str(n), odd=bool(n % 2)).with_inputs("n") for n in range(40)]
        >>> found = sf.Fleet(tempfile.mkdtemp()).advice.noise(
        ...     dspy.Predict("n -> odd: bool"), train=rows, metric=lambda e, p, trace=None: e.odd == p.odd,
        ...     lm=sf.offline_lm(), n=10)
        >>> found.differing, found.rows
        (0, 155)
        """
        from skillfleet_nb.advice.noise import listen

        asked = NoiseRequest(*program, **options)
        task = checked(asked, self._settings)
        _refuse_unpriced(asked.budget_usd, _unpriced_of(task))
        return listen(self._home, task, asked)

    @takes(EstimateRequest)
    def estimate(self, *program: Any, **options: Any) -> Forecast:
        """Forecast what a run will buy, cost and take, before it is started.

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

        asked = EstimateRequest(*program, **options)
        task, optimizer = checked(asked, self._settings), create(asked.optimizer, asked.params)
        if optimizer.has_members:  # what would be refused costs nothing
            optimizer.try_check(task.for_optimizer())
        history = self._histories.of(task.key)
        sizing = sized(self._home, task, history, asked.probe)
        learned = past_runs.corrections(asked.optimizer, str(task.lm.model), history.past)
        return forecast(optimizer, workload(task, sizing), learned)

    @takes(RecommendRequest)
    def recommend(self, *program: Any, **options: Any) -> Recommendation:
        """Recommend an optimizer for a budget, with what it will cost, and why.

        Every preset of every installed optimizer is forecast first: what is recommended keeps the budget and the
        time at the upper end of its forecast, and a larger budget never gives a weaker optimizer.

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
        asked = RecommendRequest(*program, **options)
        return self._recommended(checked(asked, self._settings), asked.requirements, asked.probe, asked.words)

    def decided(self, request: RunRequest, task: CheckedTask) -> RunRequest:
        """Put what is recommended for its limits in the place of ``auto``; and say of a portfolio what it starts with.

        Where the evidence does not support one optimizer, that is a portfolio.
        """
        if request.optimizer == Portfolio.name:
            return replace(request, params=started(request, task, self._histories.of(task.key)))
        if request.optimizer != AUTO:
            return request
        made = self._recommended(task, Requirements(request.budget_usd, max_minutes=request.max_minutes))
        request = replace(request, budget_usd=made.job_usd, recommendation=made)
        several, calls = made.together, request.max_calls
        if several is not None and (calls is None or calls >= several.calls.low):
            with suppress(InputError):  # the limits do not reach for several
                together = replace(request, optimizer=several.optimizer, params=several.params)
                return replace(together, params=started(together, task, self._histories.of(task.key)))
        return replace(request, optimizer=made.optimizer, params=made.params)

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
            Of :meth:`recommend`; its task, budget and time limit are the job's.
        optimizer, params
            What to run instead; that it was overridden is recorded.
        **options
            Further ones of ``fleet.optimize``, such as `name` or `engine`; one that the recommendation has too, such
            as `seed` or `budget_usd`, goes before it.

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
        follows = {
            "optimizer": chosen,
            "params": settled,
            "budget_usd": recommendation.job_usd,
            "max_minutes": recommendation.max_minutes,
            "recommendation": recommendation,
        }
        return self._start(task.run(**follows | options))

    def explained(self, run: Prepared) -> list[Payload]:
        """Say what a job runs, how that was chosen, and what is forecast of it from prompts alone.

        No job waits for what the home knows of earlier ones.  A forecast that fails is told of, and stops no run.
        """
        recommendation = run.request.recommendation
        if not isinstance(recommendation, Recommendation | None):
            raise InputError(f"recommendation is {recommendation!r}: give what fleet.advice.recommend returned")
        spec, task_features = run.spec, features(run)
        reckoned: Recommendation | Option | Forecast | None = None
        how, recommendation_id = "manual", None
        if recommendation is not None:
            runs = recommendation.to_run if spec.optimizer == Portfolio.name else recommendation
            same = runs.optimizer == spec.optimizer and all(spec.params.get(k) == v for k, v in runs.params.items())
            how, recommendation_id = "accepted" if same else "overridden", recommendation.recommendation_id
            reckoned = runs if same else None
            task_features |= {k: recommendation.features[k] for k in _TOLD if k in recommendation.features}
        events: list[Payload] = []
        try:
            if reckoned is None:
                reckoned = forecast(run.optimizer, workload(run, read_sizes(run)))
        except Exception as exc:  # noqa: BLE001  whatever a program's fields or a plugin's arithmetic may raise
            events.append(Warned(text=f"the run is not forecast: {type(exc).__name__}: {one_line(str(exc))}"))
        cost = None if reckoned is None else reckoned.cost_usd
        chosen = Chosen(
            how=how, recommendation_id=recommendation_id, features=task_features,
            optimizer=spec.optimizer, params=spec.params,
            calls=None if reckoned is None else tuple(reckoned.calls), cost_usd=None if cost is None else tuple(cost),
            wall_s=None if reckoned is None else tuple(reckoned.wall_s),
        )  # fmt: skip
        return [chosen, *events]

    def weights(self) -> pd.DataFrame:
        """Say what each optimizer has been worth, by kind of task, with intervals.

        Returns
        -------
        pandas.DataFrame
            See :func:`~skillfleet_nb.advice.weights.weights`; empty before the first run.

        Examples
        --------
        >>> import tempfile, skillfleet_nb as sf
        >>> len(sf.Fleet(tempfile.mkdtemp()).advice.weights())
        0
        """
        from skillfleet_nb.advice.weights import weights

        return weights(self._histories.of("").past)

    def report(self) -> SelectorReport:
        """Say how good the home's advice has been: accuracy, regret, calibration, forecast errors, use."""
        from skillfleet_nb.advice.track_record import report

        return report(self._store)

    @property
    def _settings(self) -> Settings:
        return Settings.load(self._home.config)

    def _recommended(
        self,
        task: CheckedTask,
        requirements: Requirements,
        probe: int = RecommendRequest.probe,
        words: Mapping[str, str] | None = None,
    ) -> Recommendation:
        budget_usd = requirements.budget_usd
        _refuse_unpriced(budget_usd, task.unpriced)  # as the run would be; no probe could keep it either
        history = self._histories.of(task.key)
        sizing = sized(self._home, task, history, probe, budget_usd=budget_usd)
        selector = selector_for(
            task,
            sizing,
            history.past,
            landmarks=landmarks_of(self._home, task, history, Embedder.of(self._home)),
            headroom=history.headroom,
            words=words,
        )
        made = selector.choose(**asdict(requirements))
        record(self._home, made)
        return made.prepared_with(selector.choose, task.request)


def _unpriced_of(task: CheckedTask) -> list[Model]:
    """List the models without a known price that running and scoring the program asks."""
    return unpriced((task.lm, *task.judges, *own_models(task.program)), task.settings.prices)


def _refuse_unpriced(budget_usd: float | None, models: Sequence[Model]) -> None:
    """Refuse a budget where a model has no known price."""
    if budget_usd is not None and models:
        raise without_price(budget_usd, str(models[0].model))


def record(home: Home, recommendation: Recommendation) -> None:
    """Keep a recommendation in the journal."""
    stream = f"{past_runs.STREAM}{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
    with Journal(home, stream) as journal:
        journal.append(recommendation.event(), sync=True)


def record_once(home: Home, store: Store, recommendation: Recommendation) -> None:
    """Keep a recommendation that was made under moved sliders, and so is not kept yet."""
    if not queries.is_recommended(store, recommendation.recommendation_id):
        record(home, recommendation)
