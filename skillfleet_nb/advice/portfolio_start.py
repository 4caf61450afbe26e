"""What a portfolio starts with: its members, what is expected of each, and how many requests the limits pay for."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from skillfleet_nb.advice.forecast import forecast
from skillfleet_nb.advice.posterior import baseline_of, expectations
from skillfleet_nb.advice.task_facts import features, sizes_of, workload
from skillfleet_nb.errors import InputError
from skillfleet_nb.optimizers import Shape
from skillfleet_nb.optimizers.members import made
from skillfleet_nb.optimizers.portfolio import PortfolioParams
from skillfleet_nb.runs.reach import for_the_search

if TYPE_CHECKING:
    from skillfleet_nb.advice.past_runs import History
    from skillfleet_nb.optimizers import Optimizer
    from skillfleet_nb.runs.request import RunRequest
    from skillfleet_nb.runs.task import CheckedTask


def started(request: RunRequest, task: CheckedTask, history: History) -> dict[str, Any]:
    """Return a portfolio's parameters, with what was not given filled in from the home's runs and from forecasts.

    They are settled before the run: resumed, it decides as it did.
    """
    params: dict[str, Any] = dict(request.params or {})
    chosen = PortfolioParams.model_validate({k: v for k, v in params.items() if k in {"members", "settings"}})
    members = {name: made(name, chosen.settings.get(name, {})) for name in chosen.members}
    if "expected" not in params and history.past:
        params["expected"] = _expected(members, task, history)
    if "members" not in params and params.get("expected"):
        params["members"] = sorted(members, key=lambda name: -params["expected"].get(name, 0.0))
    if params.get("requests") is None and (requests := _paid_for(request, task, members, history)) is not None:
        params["requests"] = requests
    return params


def _expected(members: dict[str, Optimizer], task: CheckedTask, history: History) -> dict[str, float]:
    """Expect of each member what share of what is left to gain it wins, by the runs of the home."""
    from skillfleet_nb.advice.configurations import installed

    task_features, every = features(task) | dict(history.landmarks or {}), installed()
    start = baseline_of(task_features, history.past)
    configurations = {
        name: c for name, o in members.items()
        if (c := every.of_run(o.name, o.params.model_dump(mode="json"))) is not None
    }  # fmt: skip
    expected = expectations(list(configurations.values()), task_features, start, history.past)
    left = max(0.02, 1 - start)
    return {
        name: round(min(0.95, max(0.0, (e.mean - start) / left)), 4)
        for name, e in zip(configurations, expected, strict=True)
    }


def _paid_for(request: RunRequest, task: CheckedTask, members: dict[str, Optimizer], history: History) -> int | None:
    """Return how many requests of the search the limits pay for; None where there is none but on time.

    Raises
    ------
    InputError
        If money or tokens do not reach for the smallest forecast of a member.
    """
    per_run, bounds = task.predictors, {}
    if request.max_calls is not None:
        bounds["max_calls"] = float(request.max_calls)
    if request.budget_usd is not None or request.max_tokens is not None:
        load = workload(task, sizes_of(task, history))
        forecasts = [forecast(optimizer, load) for optimizer in members.values()]
        if request.budget_usd is not None and all(
            f.cost_usd is not None and f.cost_usd.expected > 0 for f in forecasts
        ):
            each = fmean(f.cost_usd.expected / f.calls.expected for f in forecasts if f.cost_usd)
            bounds["budget_usd"] = request.budget_usd / each
        if request.max_tokens is not None:
            bounds["max_tokens"] = request.max_tokens / fmean(f.tokens.expected / f.calls.expected for f in forecasts)
    if not bounds:
        return None
    limit = min(bounds, key=bounds.__getitem__)
    requests = for_the_search(int(bounds[limit]), task.sizes["val"], task.tested, per_run)
    shape = Shape(task.sizes["train"], task.sizes["val"], task.predictors)
    least = min(optimizer.expected_calls(shape).low for optimizer in members.values())
    if limit != "max_calls" and requests < least:  # of max_calls every run of several is refused alike
        raise InputError(
            f"{limit} = {getattr(request, limit):g} pays for about {max(0, requests):,} calls of the search: "
            f"the smallest forecast of a member of portfolio is {least:,}; raise it, or name cheaper members"
        )
    return max(1, requests)
