"""The conformance suite of metrics: a good one passes it, and each check tells one that breaks its rule."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import exact, rows, told

from skillfleet_nb.cli import main
from skillfleet_nb.errors import InputError
from skillfleet_nb.testing import check_metric

if TYPE_CHECKING:
    from pathlib import Path

_turns = itertools.count()
_here = threading.local()


def drawing(example: Any, pred: Any, trace: Any = None) -> float:
    return (next(_turns) % 7) / 7


def percentage(example: Any, pred: Any, trace: Any = None) -> float:
    return 100.0 * (example.intent == pred.intent)


def upside_down(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.intent != pred.intent)


def of_a_thread(example: Any, pred: Any, trace: Any = None) -> float:
    _here.main = threading.current_thread() is threading.main_thread()
    return float(example.intent == pred.intent) * (1.0 if _here.main else 0.5)


def silent(example: Any, pred: Any, trace: Any = None) -> dict[str, Any]:
    return {"score": float(example.intent == pred.intent), "feedback": " "}


def untraced(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.intent == pred.intent) if trace is None else trace[0] is None


def changing(example: Any, pred: Any, trace: Any = None) -> bool:
    right = bool(example.intent == pred.intent)
    example["seen"] = True
    return right


@pytest.mark.parametrize("metric", [exact, told])
def test_a_good_metric_passes(metric: Any) -> None:
    found = check_metric(metric, rows())
    assert found.ok, found.text()


@pytest.mark.parametrize(
    ("broken", "check", "reason"),
    [
        (percentage, "scores in range", "returned 100: a metric returns"),
        (upside_down, "right above wrong", "right answers score 0.00 on average, wrong ones 1.00"),
        (drawing, "determinism", "got another score"),
        (of_a_thread, "threads", "other scores"),
        (silent, "feedback", "its feedback on"),
        (untraced, "bootstrapping", "IndexError"),
        (changing, "nothing changed", "it changed an example"),
    ],
)
def test_what_breaks_a_rule_is_told_with_what_to_do(broken: Any, check: str, reason: str) -> None:
    found = {one.name: one for one in check_metric(broken, rows()).checks}[check]
    assert found.passed is False, found
    assert reason in found.reason
    assert found.next_step


def test_a_metric_that_asks_a_model_is_not_said_to_have_failed() -> None:
    def judge(example: Any, pred: Any, trace: Any = None) -> bool:
        return bool(dspy.Predict("text, intent -> right: bool")(text=example.text, intent=pred.intent).right)

    found = check_metric(judge, rows())
    assert not found.failed
    assert {one.passed for one in found.checks} == {None}
    assert "it asks a model or a person" in found.text()


def test_rows_that_do_not_say_what_their_inputs_are_need_them_named(tmp_path: Path, capsys: Any) -> None:
    plain = [dict(row) for row in rows()]
    with pytest.raises(InputError, match="48 examples with the inputs none hold no value to answer with: name the"):
        check_metric(exact, plain)
    assert check_metric(exact, plain, inputs=["text"]).ok
    file = tmp_path / "rows.csv"
    file.write_text("text,intent\nhelp,a\nbill,b\n", encoding="utf-8")
    assert main(["metrics", "check", "made_up:exact", "--data", str(file), "--inputs", "text"]) == 0
    assert "7 of 7 checks passed" in capsys.readouterr().out
    assert main(["metrics", "check", "test_check_metric:upside_down", "--data", str(file), "--inputs", "text"]) == 1
    assert "→ compare what the program answers" in capsys.readouterr().out
