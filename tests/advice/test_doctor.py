"""Doctor: each row that is not well names its fix."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest
from made_up import Counting, Data, counted_lm, exact, program

from skillfleet_nb import Fleet


class Breaks(dspy.Module):
    """Fails on any row, after its model has answered."""

    def __init__(self) -> None:
        super().__init__()
        self.classify = dspy.Predict("text -> intent")

    def forward(self, **inputs: Any) -> Any:
        answer = self.classify(**inputs)
        raise LookupError(f"no such table\nas {answer.intent}")


class Silent(Breaks):
    """Returns nothing, after its model has answered."""

    def forward(self, **inputs: Any) -> Any:
        self.classify(**inputs)


class Waits(dspy.Module):
    """Can only be awaited."""

    def __init__(self) -> None:
        super().__init__()
        self.classify = dspy.Predict("text -> intent")

    async def aforward(self, **inputs: Any) -> Any:
        return await self.classify.acall(**inputs)


async def awaited(example: Any, prediction: Any, trace: object = None) -> float:
    del trace
    return float(example.intent == prediction.intent)


def rows_of(diagnosis: Any) -> dict[str, Any]:
    return {check.name: check for check in diagnosis.checks}


def test_ready(tmp_path: Path) -> None:
    lm, engine = counted_lm(Counting(usd_per_1k_tokens=1.0))
    found = Fleet(tmp_path).advice.doctor(program(), train=Data().all, metric=exact, lm=lm)
    assert found.ok, str(found)
    assert str(found).endswith("ready")
    assert engine.calls == 2, "one short question, and one row"
    whole = ("home", "settings", "LM", "price", "cache", "LM answers", "program", "metric")
    for name in (*whole, "program answers", "metric scores"):
        assert rows_of(found)[name].level == "ok", name
    assert "$1000 in" in rows_of(found)["price"].found
    assert "ready" in found._repr_html_()


def test_nothing_is_configured(tmp_path: Path) -> None:
    found = Fleet(tmp_path).advice.doctor()
    assert not found.ok
    assert "dspy.configure(lm=" in rows_of(found)["LM"].fix
    assert str(found).endswith("not ready: LM")


@pytest.mark.parametrize(
    ("changed", "row", "level", "said"),
    [
        ({"program": 3}, "program", "fail", "give a dspy.Module"),
        ({"train": []}, "data", "fail", "train is empty"),
        ({"train": [{"txt": "a", "intent": "b"}] * 20}, "data", "fail", "Rename the column"),
        ({"train": Data().all}, "data", "warning", "only large gains show"),
        ({"metric": lambda e, p: None}, "metric", "fail", "returned None"),
        ({"metric": lambda e, p: 1 / 0}, "metric", "fail", "raised ZeroDivisionError"),
        ({"metric": 3}, "metric", "fail", "cannot be called"),
        ({"metric": awaited}, "metric", "fail", "is async, and optimizers call metrics as functions: give a function"),
        ({"program": Waits()}, "program", "fail", "def forward(self, **inputs): return asyncio.run(self.aforward("),
        ({"program": Silent()}, "program answers", "fail", "with no prediction: let its forward return one"),
        ({"program": Breaks()}, "program answers", "fail", "no such table"),
        ({"metric": lambda e, p: p.missing == 1}, "metric scores", "fail", "raised AttributeError"),
    ],
)
def test_each_failing_row_says_what_to_do(
    tmp_path: Path, changed: dict[str, Any], row: str, level: str, said: str
) -> None:
    lm, _ = counted_lm()
    given = {"program": program(), "train": Data().all, "metric": exact, **changed}
    found = rows_of(Fleet(tmp_path).advice.doctor(given.pop("program"), lm=lm, **given))
    assert found[row].level == level
    assert said in f"{found[row].found}: {found[row].fix}"
    assert found[row].fix


def test_what_a_metric_raised_is_part_of_what_was_found(tmp_path: Path) -> None:
    def raises(example: Any, pred: Any) -> bool:
        raise ValueError("colour: blue")

    found = rows_of(Fleet(tmp_path).advice.doctor(program(), train=Data().all, metric=raises, lm=counted_lm()[0]))
    assert found["metric"].found == "metric 'raises' raised ValueError: colour: blue on the first example"
    assert found["metric"].fix == "correct it before anything is spent"


def test_rows_without_a_program_are_told_what_they_lack(tmp_path: Path) -> None:
    rows = [row.toDict() for row in Data().all]
    found = rows_of(Fleet(tmp_path).advice.doctor(train=rows, lm=counted_lm()[0]))["data"]
    assert found.found == "without the program nobody can tell which fields are inputs"
    assert found.fix == "give it too, skillfleet doctor PROGRAM --train DATA"
    assert rows_of(Fleet(tmp_path).advice.doctor(train=Data().all, lm=counted_lm()[0]))["data"].level == "warning"


def test_test_rows_that_repeat_do_not_pass_for_many(tmp_path: Path) -> None:
    data = Fleet(tmp_path).advice.doctor(program(), train=Data().all[:16] * 20, lm=counted_lm()[0]).checks
    sizes = next(check for check in data if check.name == "data" and check.found.startswith("160 train"))
    assert sizes.found.endswith(" test, of which 4 different")
    assert "only large gains show" in sizes.fix


def test_a_model_without_price_cache_or_answer(tmp_path: Path) -> None:
    class Unpriced(Counting):
        price_per_token = None  # type: ignore[assignment]

    def dies(n: int) -> None:
        raise ConnectionError("no route\nto the model")

    lm, _ = counted_lm(Unpriced(dies), cache=False)
    found = Fleet(tmp_path).advice.doctor(lm=lm)
    assert not found.ok
    by_name = rows_of(found)
    assert by_name["price"].level == by_name["cache"].level == "warning"
    assert "[prices]" in by_name["price"].fix
    assert "cache=True" in by_name["cache"].fix
    assert by_name["LM answers"].level == "fail"
    assert "no route" in by_name["LM answers"].found
    assert all("\n" not in check.found for check in found.checks)


def full(path: Path, data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_unusable_home_and_wrong_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(tmp_path / "home")
    fleet.home.ensure()
    fleet.home.config.write_text("num_threads = 'many'\n")
    lm, _ = counted_lm()
    found = rows_of(fleet.advice.doctor(lm=lm))
    assert found["settings"].level == "fail"
    assert "num_threads" in found["settings"].found
    fleet.home.config.unlink()
    monkeypatch.setattr(Path, "write_bytes", full)
    blocked = rows_of(fleet.advice.doctor(lm=lm))
    assert (blocked["home"].level, blocked["home"].fix) == ("fail", "free space or rights, or set SKILLFLEET_HOME")
    assert "No space left" in blocked["home"].found


def test_answer_that_cannot_be_read_leads_to_other_forms_of_asking(tmp_path: Path) -> None:
    class Chatty(Counting):
        def complete(self, request: Any) -> Any:
            part = dspy.lm15.TextPart("The second, I should think.")
            return replace(super().complete(request), message=dspy.lm15.Message.assistant([part]))

    lm, _ = counted_lm(Chatty())
    found = rows_of(Fleet(tmp_path).advice.doctor(program(), train=Data().all, metric=exact, lm=lm))
    assert found["program answers"].level == "fail"
    assert "headroom tries other forms of asking" in found["program answers"].fix
