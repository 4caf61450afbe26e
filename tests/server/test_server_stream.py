"""Streams and caching: nothing of importance is lost, an answer that is still right is not made again."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from skillfleet_nb import Fleet
from skillfleet_nb.events import JobCreated, JobState, LMCall, Phase, Result, StateChanged, Trial
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from conftest import Server  # type: ignore[attr-defined]

CREATED = JobCreated(name="slow", optimizer="gepa", program="p", metric="m", engine="thread", seed=0)


def messages(told: httpx.Response) -> Iterator[tuple[str, int | None, Any]]:
    """Yield each message: what kind it is, its number, its data."""
    kind, number = "", None
    for line in told.iter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "event":
            kind = value
        elif name == "data":
            yield kind, number, json.loads(value)
        elif not line:
            kind, number = "", None


def scored(number: int) -> Trial:
    return Trial(trial=number, split="val", full_eval=True, n_examples=2, score=number / 100, program_id="a")


def test_a_finished_job_is_told_whole_and_then_it_is_enough(server: Server, finished: dict[str, Any]) -> None:
    with server.owner.stream("GET", f"/jobs/{finished['id']}/stream") as told:
        assert told.headers["content-type"] == "text/event-stream"
        all_of_it = list(messages(told))
    kinds = [data["kind"] for kind, _, data in all_of_it if kind == "milestone"]
    assert (kinds[0], kinds[-1]) == ("job_created", "state")
    assert {"trial", "result"} <= set(kinds)
    assert "lm_call" not in kinds
    (state,) = [data for kind, _, data in all_of_it if kind == "state"]
    assert (state["state"], state["line"]) == ("completed", finished["line"])
    assert all_of_it[-1][0] == "end"
    numbers = [number for _, number, _ in all_of_it if number is not None]
    later = {"Last-Event-ID": str(numbers[-3])}
    with server.owner.stream("GET", f"/jobs/{finished['id']}/stream", headers=later) as told:
        assert [number for _, number, _ in messages(told) if number is not None] == numbers[-2:]
    done = server.owner.get(f"/jobs/{finished['id']}/stream", headers={"Last-Event-ID": str(numbers[-1])})
    assert done.status_code == 204
    assert server.owner.get("/jobs/nowhere/stream").status_code == 404
    assert server.owner.get(f"/jobs/{finished['id']}/stream", headers={"Last-Event-ID": "x"}).status_code == 422
    both = {"params": {"after": "x"}, "headers": {"Last-Event-ID": "1"}}
    assert server.owner.get(f"/jobs/{finished['id']}/stream", **both).status_code == 422
    assert server.stranger.get(f"/jobs/{finished['id']}/stream").status_code == 401


def test_a_running_job_is_followed_to_its_end_by_everybody(server: Server) -> None:
    with Journal(Home.find(server.home), "slow-1") as journal:
        journal.append_many([CREATED, StateChanged(state=JobState.RUNNING)])
        with (
            server.owner.stream("GET", "/jobs/slow-1/stream") as one,
            server.viewer.stream("GET", "/jobs/slow-1/stream") as two,
        ):
            first, second = messages(one), messages(two)
            heard = [next(first)[2]["kind"] for _ in range(2)]
            assert heard == ["job_created", "state"]
            assert next(first)[2]["trials"] == 0
            for number in range(30):
                journal.append(scored(number))
                call = LMCall(model="m", cached=False, cost_usd=0.5, call_id=f"c{number}", role="task")
                journal.append(call)
            trials = [next(d for k, _, d in first if k == "milestone") for _ in range(30)]
            assert [one["payload"]["trial"] for one in trials] == list(range(30))
            journal.append_many([Result(best_score=0.29, summary="fine"), StateChanged(state=JobState.COMPLETED)])
            rest = list(first)
            assert rest[-1] == ("end", None, {"state": "completed"})
            last = [data for kind, _, data in rest if kind == "state"][-1]
            assert (last["calls"], last["cost_usd"], last["best"], last["finished"]) == (30, 15.0, 0.29, True)
            same = [data for kind, _, data in second if kind == "milestone"]
            assert [one["seq"] for one in same] == [1, 2, *range(3, 63, 2), 63, 64]


def test_a_client_that_reads_late_gets_the_newest_state_and_every_milestone(server: Server) -> None:
    host, _, port = server.address.removeprefix("http://").partition(":")
    with Journal(Home.find(server.home), "late-1") as journal, socket.create_connection((host, int(port))) as late:
        journal.append_many([CREATED.model_copy(update={"name": "late"}), StateChanged(state=JobState.RUNNING)])
        token = server.owner.headers["Authorization"]
        late.sendall(f"GET /skillfleet/api/v1/jobs/late-1/stream HTTP/1.0\r\nAuthorization: {token}\r\n\r\n".encode())
        with server.owner.stream("GET", "/jobs/late-1/stream") as ready:
            heard = messages(ready)
            for number in range(30):  # each is taken by the one that is ready before the next is written
                journal.append(Phase(text=f"{number} " + "x" * 200_000))
                assert next(d for k, _, d in heard if k == "milestone" and d["kind"] == "phase")
            journal.append(StateChanged(state=JobState.CANCELLED))
            assert list(heard)[-1][0] == "end"
        told = b"".join(iter(lambda: late.recv(1 << 20), b""))
    parts = told.split(b"\r\n\r\n", 1)[1].decode().split("\n\n")
    phases = [part for part in parts if '"kind":"phase"' in part]
    assert len(phases) == 30
    dropped = [json.loads(part.partition("data: ")[2])["states"] for part in parts if part.startswith("event: dropped")]
    states = [part for part in parts if part.startswith("event: state")]
    assert sum(dropped) >= 1
    assert len(states) + sum(dropped) >= 30
    assert '"state":"cancelled"' in states[-1]


def test_an_answer_that_is_still_right_is_not_made_again(server: Server, finished: dict[str, Any]) -> None:
    own, result = f"/jobs/{finished['id']}", f"/jobs/{finished['id']}/result"
    ages = {own: "max-age=300", "/jobs": "no-cache"}
    for path in (own, result, "/jobs/parity/trials", "/jobs"):
        first = server.owner.get(path)
        age = ages.get(path, "max-age=300, immutable")
        assert first.headers["cache-control"] == f"private, {age}"
        again = server.owner.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), path
        assert again.headers["etag"] == first.headers["etag"]
        assert server.owner.get(path).content == first.content
    before, of_job = server.owner.get("/jobs"), server.owner.get(own)
    with Journal(Home.find(server.home), "other-1") as journal:
        journal.append(CREATED.model_copy(update={"name": "other"}))
        changed = server.owner.get("/jobs", headers={"If-None-Match": before.headers["etag"]})
        assert changed.status_code == 200
        assert "other" in {row["name"] for row in changed.json()["rows"]}
        assert "etag" not in server.owner.get("/jobs/other-1").headers, "its seconds go on"
        etag = {"If-None-Match": of_job.headers["etag"]}
        assert server.owner.get(own, headers=etag).status_code == 304, "is another job's"
    gone = server.owner.get("/jobs", headers={"If-None-Match": changed.headers["etag"]})
    assert gone.status_code == 200, "its process has gone, which no line says"
    Fleet(server.home).curation.note("parity", "for the paper")
    noted = server.owner.get(own, headers={"If-None-Match": of_job.headers["etag"]})
    assert noted.json()["note"] == "for the paper"
