"""A request's fields are the options of the facade, and what contradicts itself is refused before anything runs."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import counted_lm, exact, program, rows

from skillfleet_nb import Fleet
from skillfleet_nb.advice.advisor import Advisor
from skillfleet_nb.advice.requests import EstimateRequest, HeadroomRequest, RecommendRequest
from skillfleet_nb.errors import InputError, NotFoundError, SkillfleetError
from skillfleet_nb.runs.request import ResumeRequest, RunRequest, TaskRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TASK: dict[str, Any] = {"train": [], "metric": len, "optimizer": "copro"}


@pytest.mark.parametrize(
    ("method", "request_class"),
    [
        (Fleet.optimize, RunRequest),
        (Fleet.resume, ResumeRequest),
        (Advisor.headroom, HeadroomRequest),
        (Advisor.estimate, EstimateRequest),
        (Advisor.recommend, RecommendRequest),
    ],
    ids=["optimize", "resume", "headroom", "estimate", "recommend"],
)
def test_a_person_reads_every_option_of_a_method(method: Any, request_class: type) -> None:
    shown = inspect.signature(method).parameters
    names = [f.name for f in fields(request_class)]
    assert list(shown) == ["self", *names]
    assert [p.kind for p in shown.values()][2:] == [inspect.Parameter.KEYWORD_ONLY] * (len(names) - 1)
    text = inspect.getdoc(method) or ""
    told = text[text.index("Parameters\n") : text.index("Raises\n")]
    headings = [name.strip() for line in told.splitlines() if not line.startswith(" ") for name in line.split(",")]
    assert set(names) <= set(headings)


def test_an_option_that_is_none_is_refused_as_python_does(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'trian'"):
        Fleet(tmp_path).optimize(None, trian=[], metric=len, optimizer="copro")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"engine": "cloud"}, "unknown engine 'cloud'"),
        ({"max_parallel": 2}, "give engine='process'"),
        ({"max_parallel": 0, "engine": "process"}, "max_parallel = 0"),
        ({"name": " "}, "a letter in it"),
        ({"optimizer": "auto", "params": {"k": 1}}, "chooses its parameters itself"),
        ({"target": 1.5}, "a score in"),
        ({"strategy": "top"}, "without select"),
        ({"seed": -1}, "seed = -1"),
        ({"num_threads": True}, "num_threads = True"),
        ({"tags": [" "]}, "give words"),
        ({"tags": 5}, "tag 5: give words"),
        ({"max_calls": float("nan")}, "max_calls = nan: it must be a whole number above 0"),
        ({"max_calls": float("inf")}, "max_calls = inf: it must be a whole number above 0"),
        ({"max_calls": "abc"}, "max_calls = 'abc': it must be a whole number above 0"),
        ({"max_calls": 0.5}, "max_calls = 0.5: it must be a whole number above 0"),
        ({"budget_usd": "abc"}, "budget_usd = 'abc': it must be a number above 0"),
        ({"max_minutes": float("inf")}, "max_minutes = inf: it must be a number above 0"),
        ({"optimizer": None}, "optimizer is None: give its name, such as 'gepa', and its parameters as params="),
        ({"optimizer": dspy.BootstrapFewShot()}, "optimizer is a BootstrapFewShot: give its name"),
        ({"optimizer": dspy.BootstrapFewShot}, "optimizer is a BootstrapFewShot: give its name"),
        ({"race": True}, "unknown race True"),
        ({"name": 5}, "name = 5: give the job a name in words"),
        ({"params": 5}, "params = 5: give the optimizer's parameters by name"),
        ({"review": 5}, "review 5: write accept"),
        ({"target": "high"}, "target = 'high': it must be a score"),
    ],
)
def test_what_contradicts_itself_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises((InputError, NotFoundError), match=told):
        RunRequest(None, **{**TASK, **wrong})


def test_a_limit_in_a_text_is_the_number_that_it_says() -> None:
    run = RunRequest(None, **TASK, max_minutes="12", max_calls="50", budget_usd="0.5")  # type: ignore[arg-type]
    assert (run.max_minutes, run.max_calls, run.budget_usd) == (12.0, 50, 0.5)
    assert ResumeRequest("job", max_calls="50").limits == {"calls": 50}  # type: ignore[arg-type]


def test_what_is_no_argument_is_refused_in_one_line_and_makes_no_job(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    given: dict[str, Any] = {"train": rows(), "optimizer": "labeled_fewshot", "lm": counted_lm()[0]}
    tried: list[Callable[[], object]] = [
        lambda: fleet.optimize(program(), metric=None, **given),
        lambda: fleet.optimize(program(), metric=exact, **given, max_minutes="soon"),
        lambda: fleet.resume(None),  # type: ignore[arg-type]
        lambda: fleet.resume("nothing", max_calls="many"),  # type: ignore[arg-type]
        lambda: fleet.evaluate(program(), rows(), exact, budget_usd="much"),  # type: ignore[arg-type]
    ]
    for ask in tried:
        with pytest.raises(SkillfleetError) as told:
            ask()
        assert "\n" not in str(told.value)
    assert fleet.jobs().empty
    assert fleet.optimize(program(), metric=exact, **given, max_minutes="12").result().verdict


def test_a_task_becomes_a_run_with_all_it_holds() -> None:
    task = TaskRequest(None, train=[{"n": 1}], val=[], metric=len, seed=3, num_threads=2)  # type: ignore[arg-type]
    run = task.run(optimizer="copro", max_calls=9)
    assert all(getattr(run, f.name) is getattr(task, f.name) for f in fields(TaskRequest))
    assert run.budget.calls == 9


def test_new_training_data_leave_no_old_splits_behind() -> None:
    changes = ResumeRequest("job", train=[{"n": 1}], max_calls=5).changes()
    assert changes["val"] is None
    assert changes["test"] is None
    assert changes["max_calls"] == 5
    assert "metric" not in changes
    with pytest.raises(InputError, match="without train"):
        ResumeRequest("job", val=[])
