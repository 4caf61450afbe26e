"""Advice for a home: estimates, recommendations and what became of them, each recorded."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from skillfleet_nb.advice import past_runs
from skillfleet_nb.advice.forecast import Setting, forecast
from skillfleet_nb.advice.recommend import Advice, advise, check_limits
from skillfleet_nb.advice.setup import Setup, looked_at, sized, task_key
from skillfleet_nb.advice.sizing import categories, read_sizes
from skillfleet_nb.errors import InputError
from skillfleet_nb.events import Chosen
from skillfleet_nb.lm.prices import price_of
from skillfleet_nb.store import Journal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skillfleet_nb.advice.forecast import Forecast
    from skillfleet_nb.advice.recommend import Recommendation
    from skillfleet_nb.config import Settings
    from skillfleet_nb.lm.embed import Embedder
    from skillfleet_nb.runs.prepare import Prepared
    from skillfleet_nb.store import Home, Store


def estimate(
    home: Home, store: Store, setup: Setup, optimizer: str, params: Mapping[str, Any] | None, probe: int
) -> Forecast:
    """Forecast one run; parameters are those of ``Fleet.estimate``."""
    from skillfleet_nb.optimizers import create

    made = create(optimizer, params)
    known = past_runs.read(store, setup.key)
    sizing, _ = sized(home, setup, known, probe)
    learned = past_runs.corrections(optimizer, str(setup.lm.model), known.past)
    return forecast(made, setup.setting(sizing), learned)


def advice(
    home: Home, store: Store, setup: Setup, *, probe: int, budget_usd: float | None, quality_target: float,
    max_minutes: float | None, domain: str | None, style: str | None, complexity: str | None, embedder: Embedder,
) -> tuple[Advice, float | None]:  # fmt: skip
    """Reckon everything a choice needs; return it with what a probe left of the budget."""
    for what, said in (("domain", domain), ("style", style), ("complexity", complexity)):
        if said is not None and not said.strip():
            raise InputError(f"{what} = {said!r}: give a word, or leave it out")
    check_limits(budget_usd, quality_target, max_minutes)
    known = past_runs.read(store, setup.key)
    sizing, called = sized(home, setup, known, probe, budget_usd=budget_usd)
    landmarks = looked_at(home, setup, known, embedder)
    left = budget_usd
    if called and budget_usd is not None and sizing.probe_usd:
        left = max(1e-9, budget_usd - sizing.probe_usd)
    found = advise(
        setup, sizing, known.past, landmarks=landmarks, headroom=known.headroom, domain=domain, style=style,
        complexity=complexity,
    )  # fmt: skip
    return found, left


def record(home: Home, recommendation: Recommendation) -> None:
    """Keep a recommendation in the journal."""
    stream = f"{past_runs.STREAM}{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
    with Journal(home, stream) as journal:
        journal.append(recommendation.event(), sync=True)


def record_once(home: Home, store: Store, recommendation: Recommendation) -> None:
    """Keep a recommendation that was made under moved sliders, and so is not kept yet."""
    known = store.frame(
        "SELECT 1 FROM recommendations WHERE id = ? AND recommended IS NOT NULL", [recommendation.recommendation_id]
    )
    if known.empty:
        record(home, recommendation)


def choice(prepared: Prepared, settings: Settings, recommendation: Recommendation | None) -> Chosen:
    """Say what a job runs, how that was chosen, and what is forecast of it from prompts alone."""
    spec, lm = prepared.spec, prepared.lm
    if recommendation is None:
        how, known = "manual", None
    else:
        same = recommendation.optimizer == spec.optimizer and all(
            spec.params.get(k) == v for k, v in recommendation.params.items()
        )
        how, known = "accepted" if same else "overridden", recommendation.recommendation_id
    sizes = spec.sizes["train"], spec.sizes["val"], spec.sizes["test"]
    predictors = len(prepared.program.predictors())
    features: dict[str, Any] = {
        "task": task_key(spec.program_hash, spec.data_hashes["train"], spec.lm), "program": spec.program,
        "lm": spec.lm, "n": sizes[0] + sizes[1], "train": sizes[0], "val": sizes[1], "test": sizes[2],
        "predictors": predictors,
        "labels": categories(prepared.program, prepared.splits.train),
    }  # fmt: skip
    if recommendation is not None:
        said = ("domain", "style", "complexity", "baseline", "baseline_n", "nearest", "words", "named")
        features |= {k: recommendation.features[k] for k in said if k in recommendation.features}
    if how == "accepted" and recommendation is not None:
        calls, cost, wall = recommendation.calls, recommendation.cost_usd, recommendation.wall_s
    else:
        sizing = read_sizes(prepared.program, prepared.splits.train, lm)
        engine = getattr(prepared.prompt_lm, "engine", None)
        setting = Setting(
            sizes, sizing, predictors, price_of(lm, settings.prices),
            price_of(prepared.prompt_lm, settings.prices), spec.num_threads, bool(getattr(lm, "cache", False)),
            1.0 if getattr(engine, "repeats_itself", False) else None, spec.lm, spec.prompt_lm,
        )  # fmt: skip
        told = forecast(prepared.optimizer, setting)
        calls, cost, wall = told.calls, told.cost_usd, told.wall_s
    return Chosen(
        how=how, recommendation_id=known, features=features, optimizer=spec.optimizer, params=spec.params,
        calls=tuple(calls), cost_usd=None if cost is None else tuple(cost), wall_s=tuple(wall),
    )  # fmt: skip
