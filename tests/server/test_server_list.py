"""What JupyterLab's sidebar is told: the list of jobs as it changes, and pictures of them for its monitor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from skillfleet_nb.events import JobCreated, JobState, LMCall, Result, StateChanged, Trial
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx
    from conftest import Server  # type: ignore[attr-defined]

CALL = LMCall(
    model="m", cached=False, input_tokens=9, output_tokens=1, cost_usd=0.25, latency_s=0.1, call_id="c", role="task",
    prompt="p", response="r",
)  # fmt: skip


def lists(told: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in told.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def until(told: Iterator[dict[str, Any]], holds: Callable[[dict[str, Any]], bool]) -> tuple[float, dict[str, Any]]:
    """Read until a list holds the job as it is waited for; return the cost, and the job."""
    for one in told:
        for job in one["jobs"]:
            if job["job_id"] == "listed-1" and holds(job):
                return one["cost_usd"], job
    raise AssertionError


def test_the_list_of_jobs_is_followed(server: Server) -> None:
    with server.viewer.stream("GET", "/stream") as answer, Journal(Home.find(server.home), "listed-1") as journal:
        assert answer.headers["content-type"] == "text/event-stream"
        told = lists(answer)
        before = next(told)["cost_usd"]
        created = JobCreated(name="listed", optimizer="gepa", program="p", metric="m", engine="thread", seed=0)
        journal.append_many([created, StateChanged(state=JobState.RUNNING)])
        _, job = until(told, lambda job: job["state"] == "running")
        assert (job["name"], job["optimizer"], job["best"]) == ("listed", "gepa", None)
        trial = Trial(trial=0, split="val", full_eval=True, n_examples=2, score=0.5, program_id="a")
        journal.append_many([CALL, trial])
        cost, job = until(told, lambda job: job["best"] == 0.5)
        assert (round(cost - before, 6), job["baseline"], job["calls"]) == (0.25, 0.5, 1)
        journal.append_many([Result(best_score=0.5, summary="fine"), StateChanged(state=JobState.COMPLETED)])
        cost, job = until(told, lambda job: job["state"] == "completed")
        assert (round(cost - before, 6), job["cost_usd"]) == (0.25, 0.25)
        assert job["finished_at"] is not None
    assert server.stranger.get("/stream").status_code == 401


def test_a_picture_is_what_the_monitor_of_a_notebook_draws(server: Server, finished: dict[str, Any]) -> None:
    picture = server.owner.get(f"/jobs/{finished['id']}/picture").json()
    assert (picture["name"], picture["finished"], picture["state"]) == (finished["name"], True, "completed")
    assert finished["name"] in picture["still"]
    page = server.viewer.get("/monitor").json()
    assert "export default { initialize, render }" in page["esm"]
    assert "--sf-blue" in page["css"]


def test_the_page_is_for_who_may_read(server: Server) -> None:
    page = f"{server.address}/skillfleet"
    assert "page.js" in server.viewer.get(page).text
    assert server.viewer.get(f"{page}/static/views.js").headers["content-type"] == "text/javascript"
    assert server.viewer.get(f"{page}/static/package.json").status_code == 404
    for path in ("", "/static/views.js", "/static/package.json"):
        answer = server.stranger.get(page + path)
        assert (answer.status_code, "/login" in answer.headers["location"]) == (302, True)
