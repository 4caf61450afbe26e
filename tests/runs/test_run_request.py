"""A request's fields are the options of the facade, and what contradicts itself is refused before anything runs."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from skillfleet_nb import Fleet
from skillfleet_nb.advice.advisor import Advisor
from skillfleet_nb.advice.requests import EstimateRequest, HeadroomRequest, RecommendRequest
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.runs.request import ResumeRequest, RunRequest, TaskRequest

if TYPE_CHECKING:
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
    ],
)
def test_what_contradicts_itself_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises((InputError, NotFoundError), match=told):
        RunRequest(None, **{**TASK, **wrong})


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
