"""A worker killed at random points: resumed, it buys again at most what was in flight, and ends alike."""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING, Any

import pytest
from job_kit import SMALL, THREADS, bought, ends, events, kill, setup, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_kit import LoggedLM

    from skillfleet_nb import Fleet

KILLS, MANY = 2, 8


def _reached(model: LoggedLM, calls: int) -> bool:
    return model.calls >= calls


@pytest.mark.usefixtures("preloaded")
@pytest.mark.parametrize("optimizer", sorted(SMALL))
def test_killed_jobs_resume_to_the_same_end(optimizer: str, fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    many = {"num_threads": MANY} if optimizer == "bootstrap_random_search" else {}
    model = logged()
    whole = fleet.optimize(**setup(model.lm, optimizer, engine="thread", **many))
    expected, whole_calls = whole.result(), model.calls

    rng = random.Random(optimizer)
    kills = sorted(rng.sample(range(1, whole_calls - 1), KILLS))
    model = logged(latency_s=0.01)
    model.hold(first=kills[0] + MANY)  # it does not get far from there, however late the kill comes
    job = fleet.optimize(**setup(model.lm, optimizer, **many))
    for number, (after, then) in enumerate(zip(kills, [*kills[1:], None], strict=True), 1):
        until(functools.partial(_reached, model, after))
        kill(job)
        assert job.state == "interrupted"
        in_flight = model.calls - bought(fleet, job.id)  # of all kills so far
        assert in_flight <= number * (MANY if many else THREADS), "one a thread: its last was recorded before it asked"
        if then is None:
            model.release()
        else:
            model.hold(first=then + MANY)
        job = fleet.resume(job.id)
    result = job.result()

    assert result.stop_reason == expected.stop_reason
    assert model.calls - whole_calls <= in_flight
    assert bought(fleet, job.id) <= model.calls
    best = [events(fleet, j.id, "result")[-1] for j in (job, whole)]
    assert best[0] == best[1]
    trials = [
        [(t["trial"], t["program_id"], t["split"], t["score"], t["n_examples"]) for t in events(fleet, j.id, "trial")]
        for j in (job, whole)
    ]
    assert trials[0] == trials[1]
    assert ends(fleet, job.id) == ["completed"]
    assert job.progress.attempts == KILLS + 1


@pytest.mark.usefixtures("preloaded")
def test_a_killed_portfolio_decides_as_it_did(fleet: Fleet, logged: Callable[..., LoggedLM]) -> None:
    members = ("bootstrap_random_search", "gepa")
    params: dict[str, Any] = {"members": members, "settings": {m: SMALL[m] for m in members}, "requests": 100}
    params["expected"] = dict.fromkeys(members, 0.2)  # else the second starts with what the first one's run tells
    model = logged()
    whole = fleet.optimize(**setup(model.lm, "portfolio", engine="thread", params=params))
    expected, whole_calls = whole.result(), model.calls
    model = logged(latency_s=0.01)
    model.hold(first=whole_calls // 2 + 4)
    job = fleet.optimize(**setup(model.lm, "portfolio", params=params))
    until(functools.partial(_reached, model, whole_calls // 2))
    kill(job)
    in_flight = model.calls - bought(fleet, job.id)
    model.release()
    job = fleet.resume(job.id)
    assert job.result().stop_reason == expected.stop_reason
    # Of an evaluation that a share ended, another example than before may be the last one that was asked.
    assert model.calls - whole_calls <= in_flight + len(members)
    told = [{(s["round"], s["member"]): s for s in events(fleet, j.id, "share")} for j in (job, whole)]
    assert told[0] == told[1]
    assert job.progress.best_program == whole.progress.best_program
