"""Prices: stated, declared or known offline; what is found nowhere is unknown, never zero."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from skillfleet_nb.lm.prices import Price, how_to_state_a_price, price_of
from skillfleet_nb.offline import offline_lm
from skillfleet_nb.runs.jobs.progress import money


def named(model: str, **more: Any) -> Any:
    return SimpleNamespace(model=model, **more)


def test_models_of_the_bundled_table_have_a_price() -> None:
    mini = price_of(named("openai/gpt-4o-mini"))
    assert mini is not None
    assert 0 < mini.input_usd < mini.output_usd < 1e-4
    assert price_of(named("gpt-4o-mini")) == mini


def test_the_users_price_wins_over_the_engines_and_that_over_the_table() -> None:
    engine = SimpleNamespace(price_per_token=lambda: (3e-6, 4e-6))
    lm = named("openai/gpt-4o-mini", engine=engine)
    assert price_of(lm) == Price(3e-6, 4e-6)
    assert price_of(lm, {"openai/gpt-4o-mini": (1.0, 2.0)}) == Price(1e-6, 2e-6)


def test_the_offline_model_has_the_price_it_was_given() -> None:
    assert price_of(offline_lm()) == Price(0.0, 0.0)
    assert price_of(offline_lm(usd_per_1k_tokens=(1.0, 2.0))) == Price(0.001, 0.002)


@pytest.mark.parametrize("model", ["acme/one", "", "skillfleet/unknown"])
def test_an_unknown_model_has_no_price(model: str) -> None:
    assert price_of(named(model)) is None
    assert model in how_to_state_a_price(model)


@pytest.mark.parametrize(
    ("usd", "said"),
    [(None, "cost unknown"), (0, "$0.00"), (0.00004, "$0.0000"), (0.05, "$0.0500"), (1, "$1.00"), (1234.5, "$1234.50")],
)
def test_money_reads_well(usd: float | None, said: str) -> None:
    assert money(usd) == said
