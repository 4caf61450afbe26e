"""The noise floor: two runs of the same program, and which gains can be seen through what differs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Counting, counted_lm, exact, program, rows

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, SkillfleetError
from skillfleet_nb.power import rows_needed, smallest_difference

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.advice.noise import NoiseFloor

MANY = rows(24)


def _listen(home: Path, **changed: Any) -> tuple[NoiseFloor, Counting]:
    lm, engine = counted_lm()
    given = {"train": MANY, "metric": exact, "lm": lm, "n": 12, **changed}
    return Fleet(home).advice.noise(program(), **given), engine


def test_a_model_that_repeats_itself_has_no_noise_and_is_asked_anew(tmp_path: Path) -> None:
    found, engine = _listen(tmp_path)
    assert (found.n, found.differing, found.variance) == (12, 0, 0.0)
    assert found.first == found.second
    assert found.variance_high == 3 / 12
    assert engine.calls == found.calls == 24  # the cache answers nothing of the second run
    assert found.judge_variance is None
    assert found.rows == rows_needed(0.05)
    assert found.smallest == smallest_difference(found.test_rows)
    for said in (found.text(), found._repr_html_()):
        assert "nothing differed" in said
        assert f"give {found.rows}" in said
    recorded = Fleet(tmp_path).sql("select payload->>'variance' as v from events where kind = 'noise'")
    assert recorded.v.tolist() == ["0.0"]


def test_what_differs_raises_the_rows_that_a_gain_needs(tmp_path: Path) -> None:
    rng = random.Random(3)

    def unsure(example: Any, pred: Any, trace: Any = None) -> bool:
        return rng.random() < 0.5

    found, _ = _listen(tmp_path, metric=unsure, effect=0.2)
    assert 0 < found.differing < found.n
    assert found.variance == found.variance_high == found.differing / found.n
    assert found.rows == rows_needed(0.2, found.variance) > rows_needed(0.2)
    assert "moves" in found.text()


def test_a_judge_is_asked_again_about_the_same_answers(tmp_path: Path) -> None:
    judge = dspy.Predict("text, intent -> right: bool")

    def judged(example: Any, pred: Any, trace: Any = None) -> bool:
        return bool(judge(text=example.text, intent=pred.intent).right)

    found, engine = _listen(tmp_path, metric=judged, n=6)
    assert found.judge_variance == 0.0
    assert engine.calls >= 6 * 2 * 2 + 6
    assert "the metric asks a model" in found.text()


def test_a_budget_that_ends_it_is_told(tmp_path: Path) -> None:
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=1.0))
    with pytest.raises(SkillfleetError, match=r"were not ended: budget"):
        _listen(tmp_path, lm=lm, budget_usd=0.01)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"n": 3}, "n = 3: give a whole number from 5"),
        ({"effect": 5}, "effect = 5: give a gain of scores above 0, up to 1; divide by 100"),
        ({"metric": None}, "noise needs a metric"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        _listen(tmp_path, **changed)
