"""Calls that a program or a metric makes of LiteLLM itself count, and are held to the run's limits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Data, counted_lm, exact, program

from skillfleet_nb import Fleet
from skillfleet_nb.config import Settings
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.session import Session

if TYPE_CHECKING:
    from pathlib import Path

MADE_UP = "openai/gpt-4o-mini"
ASKED: dict[str, Any] = {"model": MADE_UP, "messages": [{"role": "user", "content": "hi"}], "mock_response": "yes"}


@pytest.mark.parametrize(
    "ask",
    [
        lambda litellm, function: function(**ASKED),
        lambda litellm, function: litellm.completion(**ASKED),
        lambda litellm, function: asyncio.run(litellm.acompletion(**ASKED)),
        lambda litellm, function: list(function(**ASKED, stream=True)),
    ],
    ids=["function", "module", "async", "stream"],
)
def test_a_direct_call_is_counted_and_refused_beyond_the_limit(ask: Any) -> None:
    import litellm  # not as tests are collected, which every process does

    function = litellm.completion  # imported before the run
    lm, _ = counted_lm()
    before = list(litellm.input_callback)
    with Session(None, Settings(), [lm], limits=Limits(calls=2)) as session:
        with session.models(session.gate(), lm):
            for _ in range(2):
                ask(litellm, function)
            with pytest.raises(RunStopped, match="budget: 2 calls"):
                ask(litellm, function)
        ask(litellm, function)  # outside of the run it is nobody's
    assert (session.ledger.totals.calls, session.ledger.totals.cost_usd) == (2, None)
    assert litellm.input_callback == before


def test_a_run_attributes_them_and_says_before_what_is_not_known(tmp_path: Path) -> None:
    import litellm

    def metric(example: Any, pred: Any, trace: Any = None) -> bool:
        litellm.completion(**ASKED)
        sent.append(1)
        return exact(example, pred)

    sent: list[int] = []
    lm, engine = counted_lm()
    fleet = Fleet(tmp_path)
    job = fleet.optimize(
        program(), lm=lm, metric=metric, optimizer="bootstrap_random_search", max_calls=60, num_threads=2,
        **Data().splits(),
    )  # fmt: skip
    result = job.result()
    assert any("the metric uses litellm: calls made with it are counted" in w for w in job.progress.warnings)
    rows = fleet.sql("select model, role, count(*) as n from lm_calls where not cached group by all").to_records()
    told = {(row.model, row.role): int(row.n) for row in rows}
    assert told[MADE_UP, "judge"] == len(sent)
    assert sum(told.values()) == result.lm_calls == engine.calls + len(sent) <= 60
    assert result.cost_usd is None


def test_a_limit_in_usd_ends_the_run_where_a_cost_is_not_known() -> None:
    from litellm import completion

    lm, _ = counted_lm()
    with Session(None, Settings(), [lm], limits=Limits(usd=1.0)) as session, session.models(session.gate(), lm):
        completion(**ASKED)
        with pytest.raises(RunStopped, match="cannot be kept: what the first call took is not known"):
            completion(**ASKED)
        assert dspy.settings.lm is not None
