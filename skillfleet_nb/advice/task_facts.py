"""What advice knows of a task before a run: its features, the size of its calls, how simple learners do on it."""

from __future__ import annotations

import math
from collections.abc import Sized
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from skillfleet_nb.advice.forecast import Workload
from skillfleet_nb.advice.sizing import Sizing, categories, checked_probe, for_another_metric, probe, read_sizes
from skillfleet_nb.config import pattern_of
from skillfleet_nb.errors import InputError, MissingExtraError
from skillfleet_nb.events import Landmarked
from skillfleet_nb.format import counted
from skillfleet_nb.lm.prices import mixed, price_of
from skillfleet_nb.lm.tap import own_models
from skillfleet_nb.runs.task import check_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from skillfleet_nb.advice.past_runs import History
    from skillfleet_nb.config import Settings
    from skillfleet_nb.data.landmarks import Landmarks
    from skillfleet_nb.lm.embed import Embedder
    from skillfleet_nb.lm.prices import Price
    from skillfleet_nb.runs.request import TaskRequest
    from skillfleet_nb.runs.task import CheckedTask
    from skillfleet_nb.store import Home

FEWEST = 5


def checked(request: TaskRequest, settings: Settings) -> CheckedTask:
    """Check a task as a run would, and refuse one that is too small to advise on.

    Raises
    ------
    InputError, LMError
        In one line.
    """
    train = request.train
    if isinstance(train, Sized) and len(train) < FEWEST:
        raise InputError(
            f"train holds {counted(train, 'example')}: advice needs {FEWEST} or more; 20 to 50 make a useful start"
        )
    return check_task(request, settings)


def features(task: CheckedTask) -> dict[str, Any]:
    """Tell what advice goes by: sizes, categories, predictors, and the names of program and model."""
    sizes = task.sizes
    return {
        "task": task.key, "program": task.name, "lm": str(task.lm.model), "n": sizes["train"] + sizes["val"], **sizes,
        "predictors": task.predictors, "labels": categories(task),
    }  # fmt: skip


def workload(task: CheckedTask, sizing: Sizing) -> Workload:
    """Put together what a forecast needs."""
    sizes, rates = task.sizes, task.settings.rates
    models = sizing.models or {str(task.lm.model): (1.0, 1.0)}  # a probe that is kept of old tells of none
    prices = _prices(task, models)
    return Workload(
        sizes=(sizes["train"], sizes["val"], task.tested),
        sizing=sizing,
        predictors=task.predictors,
        price=_average(prices, models),
        prompt_price=task.prompt_price,
        threads=task.num_threads,
        cached=bool(getattr(task.lm, "cache", False)),
        repeats=1.0 if getattr(getattr(task.prompt_lm, "engine", None), "repeats_itself", False) else None,
        unpriced=tuple(model for model, price in prices.items() if price is None),
        prompt_lm=str(task.prompt_lm.model),
        rate=rates[pattern] if (pattern := pattern_of(str(task.lm.model), rates)) else None,
    )


def _prices(task: CheckedTask, models: Iterable[str]) -> dict[str, Price | None]:
    """Find what a token costs of each model that the program asks; of one that it makes only the name is there."""
    lms = {str(lm.model): lm for lm in (*own_models(task.program), task.lm)}
    return {model: price_of(lms.get(model, SimpleNamespace(model=model)), task.settings.prices) for model in models}


def _average(prices: Mapping[str, Price | None], models: Mapping[str, tuple[float, float]]) -> Price | None:
    """Average prices by what each model reads and writes; None where one is not known."""
    all_read, all_written = (math.fsum(tokens) or 1.0 for tokens in zip(*models.values(), strict=True))
    parts = [
        (price, reads / all_read, writes / all_written)
        for model, (reads, writes) in models.items()
        if (price := prices[model])
    ]
    return mixed(parts) if len(parts) == len(models) else None


def sized(home: Home, task: CheckedTask, history: History, n: int, *, budget_usd: float | None = None) -> Sizing:
    """Size the calls of a task, by running it on `n` examples; with 0 by what is known of it without a call.

    A task that was probed before with its metric, on this home, is not probed again.

    Raises
    ------
    InputError, LMError
        If `n` is no number of examples, or the probe got no answer.
    """
    checked_probe(n)
    kept = _kept(history)
    if n == 0 or (kept is not None and kept.probed >= n and (task.metric is None or kept.metric == task.metric_hash)):
        return sizes_of(task, history)
    return probe(home, task, n=n, budget_usd=budget_usd, sizes=kept)


def sizes_of(task: CheckedTask, history: History) -> Sizing:
    """Size the calls of a task without making one: by the probe that the home keeps, else by prompts alone."""
    kept = _kept(history)
    if kept is None:
        return read_sizes(task)
    return kept if task.metric is None or kept.metric == task.metric_hash else for_another_metric(kept, task)


def _kept(history: History) -> Sizing | None:
    return None if history.probed is None else Sizing.model_validate(history.probed["sizing"])


def landmarks_of(home: Home, task: CheckedTask, history: History, embedder: Embedder) -> Landmarks:
    """Try simple learners on a task's examples, once for each task; no model is asked."""
    from skillfleet_nb.data.landmarks import Landmarks, landmarks
    from skillfleet_nb.store import Journal, new_stream

    if history.landmarks is not None:
        return Landmarks(**history.landmarks)
    try:
        embedder.check()
        embed = embedder
    except MissingExtraError:
        embed = None
    measured = landmarks([*task.splits.train, *task.splits.val], embed)
    with Journal(home, new_stream("landmarks")) as journal:
        journal.append(Landmarked(key=task.key, **measured._asdict()), sync=True)
    return measured
