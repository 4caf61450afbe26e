"""What costs money is asked for first: ``--ensemble`` shows its forecast and asks whether to start."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from skillfleet_nb.commands import Context, run
from skillfleet_nb.errors import InputError
from skillfleet_nb.fleet import Fleet
from skillfleet_nb.offline import offline_lm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ASKED = "optimize program --train train --metric metric --ensemble labeled_fewshot,bootstrap_fewshot --lm lm"


def metric(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.odd == pred.odd)


@pytest.fixture
def said() -> list[Any]:
    """What was shown."""
    return []


@pytest.fixture
def told(tmp_path: Path, said: list[Any]) -> Callable[[str], tuple[Fleet, list[Any]]]:
    rows = [dspy.Example(n=str(n), odd=bool(n % 2)).with_inputs("n") for n in range(24)]
    names = {"program": dspy.Predict("n -> odd: bool"), "train": rows, "metric": metric, "lm": offline_lm()}

    def tell(more: str) -> tuple[Fleet, list[Any]]:
        fleet = Fleet(tmp_path / "home")
        context = Context(
            lambda _: fleet, names, lambda job, *, watch=False: job.result(), said.append, lambda _: lambda *_: None
        )
        run([*ASKED.split(), *more.split()], context)
        return fleet, said

    return tell


def test_where_nobody_can_be_asked_a_limit_speaks_for_it(told: Callable[[str], tuple[Fleet, list[Any]]]) -> None:
    with pytest.raises(InputError, match="give a limit, or --yes"):
        told("")
    fleet, said = told("--max-calls 400")
    assert "Forecast: ensemble" in str(said[0])
    assert len(fleet.jobs()) == 1


@pytest.mark.parametrize(("answer", "jobs"), [("y", 1), ("", 0)])
def test_a_person_is_asked_after_the_forecast(
    told: Callable[[str], tuple[Fleet, list[Any]]], monkeypatch: pytest.MonkeyPatch, answer: str, jobs: int
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    fleet, _ = told("")
    assert (asked, len(fleet.jobs())) == (["Start? [y/N] "], jobs)


def test_what_would_be_refused_is_not_forecast(told: Callable[[str], tuple[Fleet, list[Any]]], said: list[Any]) -> None:
    for members, why in (("labeled_fewshot", "name two or more"), ("copro,knn_fewshot", "cannot be a member")):
        with pytest.raises(InputError, match=why):
            told(f"--yes --ensemble {members}")
    with pytest.raises(InputError, match="are JSON, in quotes where they are typed"):
        told("--yes --set settings={gepa:{auto:light}}")
    assert not said
