"""What programs answered is recorded for full evaluations, short, and only where texts may be."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import SMALL, Data, counted_lm, program, told
from pydantic import BaseModel

from skillfleet_nb import Fleet
from skillfleet_nb.data.identity import example_id, parts
from skillfleet_nb.runs.outputs import LONGEST, output_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from conftest import Finished

SCORES = """select trial, split, full_eval, program_id, example_id, scores.score, output
    from scores join trials using (job_id, trial) order by all"""


def outputs(fleet: Fleet) -> pd.DataFrame:
    return fleet.sql(SCORES)


@pytest.mark.parametrize("optimizer", sorted(SMALL))
def test_full_evaluations_keep_what_was_answered(finished: Callable[[str], Finished], optimizer: str) -> None:
    run = finished(optimizer)
    frame = outputs(run.fleet)
    kept = (frame.split == "test") | ((frame.split == "val") & frame.full_eval)
    assert frame[kept & frame.score.notna()].output.notna().all()
    assert frame[~kept].output.isna().all()
    assert (frame[kept].split == "test").any()
    right = {example_id(*parts(e)): e.intent for e in (*run.data.val, *run.data.test)}
    for row in frame[kept].itertuples():
        assert (json.loads(row.output)["intent"] == right[row.example_id]) == bool(row.score)


def test_without_prompts_the_answers_are_hashes(tmp_path: Path) -> None:
    fleet, (lm, _) = Fleet(tmp_path / "home"), counted_lm()
    job = fleet.optimize(
        program(), metric=told, optimizer="labeled_fewshot", lm=lm, record_prompts=False, **Data().splits()
    )
    job.result()
    kept = outputs(fleet).output.dropna()
    assert len(kept)
    assert kept.str.fullmatch("sha256:[0-9a-f]{64}").all()
    assert 1 < len(set(kept)) < len(kept), "equal answers have equal hashes"


def test_a_failed_prediction_answers_nothing() -> None:
    assert output_json(None) is None
    assert output_json(dspy.Prediction()) is None


def test_any_value_becomes_json() -> None:
    class Team(BaseModel):
        name: str

    prediction = dspy.Prediction(
        team=Team(name="billing"), since=dt.date(2026, 1, 2), tags={"b", "a"}, odd="\ud800", n=2**70, f=print
    )
    answer = json.loads(output_json(prediction) or "")
    assert answer["team"] in ({"name": "billing"}, str(Team(name="billing")))
    assert answer["odd"] == "\ud800"
    plain = dspy.Prediction(team=Team(name="billing"), since=dt.date(2026, 1, 2), tags={"b", "a"})
    assert output_json(plain) == '{"team":{"name":"billing"},"since":"2026-01-02","tags":["a","b"]}'
    assert output_json("a plain string") == '{"output":"a plain string"}'


texts = st.builds(lambda word, times: word * times, st.text(max_size=9), st.integers(0, 500))


@given(st.dictionaries(st.text(max_size=9), texts | st.lists(st.integers()), min_size=1, max_size=9))
def test_long_answers_are_cut_and_stay_json(fields: dict[str, Any]) -> None:
    answer = json.loads(output_json(fields) or "")
    assert list(answer) == list(fields)
    assert sum(len(v) for v in answer.values() if isinstance(v, str)) <= LONGEST
    for name, value in fields.items():
        if isinstance(value, str) and answer[name] != value:
            assert value.startswith(answer[name].removesuffix("…"))
