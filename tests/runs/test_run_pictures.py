"""What a live view is told of a run: the whole story, in bounded memory, once for all views."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from made_up import SMALL, Counting, Data, counted_lm, program, told

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError
from skillfleet_nb.events import JobCreated, JobState, LMCall, Phase, StateChanged, ToolCalled, Trial
from skillfleet_nb.runs.jobs.curve import Curve
from skillfleet_nb.runs.jobs.picture import Feed, changes, picture
from skillfleet_nb.runs.jobs.progress import Progress
from skillfleet_nb.store import Journal, follow

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Job


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "home")


def run(fleet: Fleet, optimizer: str, lm: Any, **changed: Any) -> Job:
    given = {"metric": told, "optimizer": optimizer, "lm": lm, "seed": 3, "num_threads": 2}
    return fleet.optimize(program(), **{**given, "params": SMALL[optimizer], **Data().splits(), **changed})


def test_phases_and_candidates_are_told_as_they_come(fleet: Fleet) -> None:
    lm, _ = counted_lm()
    job = run(fleet, "miprov2", lm)
    job.result(120)
    events = follow(fleet.home, job.id).poll()
    phases = [e.payload.text for e in events if e.kind == "phase"]
    assert [p for p in phases if p.startswith("proposing")] == [f"proposing instructions, {n} of 3" for n in (1, 2, 3)]
    assert phases.index("bootstrapping demos") < phases.index("trying combinations of instructions and demos")
    kinds = [(e.kind, e.payload.program_id) for e in events if e.kind in {"trying", "trial"}][1:-2]
    assert kinds[::2] == [("trying", program_id) for _, program_id in kinds[1::2]], "each trial was announced"
    kept = {e.payload.program_id: e.seq for e in events if e.kind == "program"}
    assert all(kept[e.payload.program_id] < e.seq for e in events if e.kind == "trying"), "and its program kept before"


def test_a_picture_of_a_finished_run_has_the_verdict_and_the_programs(fleet: Fleet) -> None:
    lm, _ = counted_lm()
    job = run(fleet, "bootstrap_random_search", lm, target=0.9, max_calls=1000, name="done")
    result = job.result(120)
    shown = job.picture()
    assert (shown["finished"], shown["state"], shown["target"]) == (True, "completed", 90.0)
    assert shown["best"] == pytest.approx(100 * (result.best_score or 0), abs=0.01)
    assert shown["curve"]["best"][-1][1] == shown["best"]
    assert shown["result"]["verdict"] == result.verdict
    assert shown["result"]["delta"][1] <= shown["result"]["delta"][0] <= shown["result"]["delta"][2]
    used = {u["what"]: u for u in shown["used"]}
    assert (used["calls"]["used"], used["calls"]["limit"]) == (result.lm_calls, 1000)
    assert "<ins" in changes(fleet.home, *shown["result"]["programs"])
    assert json.loads(orjson.dumps(shown)) == shown, "any page can draw it"
    assert fleet.resume("done", as_new=True).progress.spec["target"] == 0.9


@pytest.mark.parametrize("target", [-0.1, 90])
def test_a_target_is_a_score(fleet: Fleet, target: float) -> None:
    lm, engine = counted_lm()
    with pytest.raises(InputError, match=r"it must be a score in \[0, 1\]"):
        run(fleet, "labeled_fewshot", lm, target=target)
    assert engine.calls == 0


def test_failures_are_told_by_kind(fleet: Fleet) -> None:
    import dspy

    def fails(n: int) -> None:
        if n in {20, 30}:
            raise dspy.lm15.RateLimitError("slower")
        if n == 25:
            raise dspy.lm15.TransportError("cut off")

    lm, _ = counted_lm(Counting(fails), num_retries=0)
    job = run(fleet, "bootstrap_random_search", lm)
    job.result(120)
    assert dict(job.picture()["failures"]) == {"LMRateLimitError": 2, "LMTransportError": 1}


def test_a_curve_is_bounded_and_keeps_its_ends() -> None:
    curve = Curve()
    for n in range(50_000):
        curve.add(n, n / 50_000, full=n % 3 == 0)
    for points in (curve.full, curve.part, curve.best):
        assert len(points) <= 400
        assert points == sorted(points)
    assert (curve.full[0], curve.best[0], curve.best[-1]) == ((0, 0.0), (0, 0.0), (49_998, 49_998 / 50_000))


def test_a_picture_is_small_however_long_the_run(fleet: Fleet) -> None:
    with Journal(fleet.home, "long") as journal:
        journal.append(JobCreated(name="long", optimizer="gepa", program="", metric="", engine="process", seed=0))
        journal.append(StateChanged(state=JobState.RUNNING))
        for n in range(3_000):
            score = n / 3_000
            trial = Trial(trial=n, split="val", full_eval=n % 2 == 0, n_examples=9, score=score, best_so_far=score)
            call = LMCall(call_id=str(n), model="m", role="task", cached=False, error=f"Error{n % 3}: why")
            journal.append_many([trial, call, Phase(text=f"step {n}")])
        shown = picture(Progress(fleet.home, "long").update())
    assert shown["trials"] == 2_999
    assert len(orjson.dumps(shown)) < 30_000


def test_views_share_one_follower_and_a_broken_one_harms_no_other(fleet: Fleet) -> None:
    seen: list[dict[str, Any]] = []
    threads, over = set(), threading.Event()

    def view(shown: dict[str, Any]) -> None:
        threads.add(threading.get_ident())
        if not seen or shown is not seen[-1]:
            seen.append(shown)
        if shown["finished"]:
            over.set()

    def broken(shown: dict[str, Any]) -> None:
        raise RuntimeError("this page is gone")

    with Journal(fleet.home, "shared") as journal:
        journal.append(StateChanged(state=JobState.RUNNING))
        feed = Feed(fleet_picture(fleet, "shared"))
        for one in (broken, view, view):
            feed.subscribe(one)
        journal.append(StateChanged(state=JobState.COMPLETED))
        assert over.wait(300)
    assert len(threads) == 1
    assert [shown["finished"] for shown in seen][-1]


def fleet_picture(fleet: Fleet, job_id: str) -> Any:
    progress = Progress(fleet.home, job_id)
    return lambda last: picture(progress.update(), last)


def test_the_tools_called_most_are_named_with_what_failed(fleet: Fleet) -> None:
    calls = [("look", None), ("look", None), ("look", "TimeoutError"), *[(f"tool_{n}", None) for n in range(5)]]
    with Journal(fleet.home, "agent") as journal:
        journal.append_many([ToolCalled(tool=tool, latency_s=0.1, error=error) for tool, error in calls])
        shown = picture(Progress(fleet.home, "agent").update())
    (tools,) = [used["text"] for used in shown["used"] if used["what"] == "tools"]
    assert tools == "look 3 (1 failed), tool_0 1, tool_1 1, tool_2 1 and 2 more"
