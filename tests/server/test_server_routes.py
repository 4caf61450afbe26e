"""Routes over real HTTP: what they answer is what the facade says, errors are problems of one line."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import dspy
import httpx
import pytest

from skillfleet_nb import Fleet
from skillfleet_nb.server.openapi import document
from skillfleet_nb.server.routes import routes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Server  # type: ignore[attr-defined]


def test_health_is_told_to_anybody_and_nothing_else_is(server: Server) -> None:
    assert server.stranger.get("/health").json()["status"] == "ok"
    for one in routes():
        told = server.stranger.request(one.method, one.path.replace("{job}", "x").replace("{test}", "x"))
        assert told.status_code in {401, 403}, one.path  # 403 where a request without a token lacks the XSRF cookie too
        assert told.headers["content-type"] == "application/problem+json"
    with server.client("wrong") as client:
        wrong = client.get("/jobs")
    assert wrong.status_code == 401
    assert "Authorization: token TOKEN" in wrong.json()["detail"]


def test_a_run_that_is_started_over_http_is_a_job_as_any_other(server: Server, finished: dict[str, Any]) -> None:
    fleet = Fleet(server.home)
    job = fleet.job("parity")
    assert (finished["id"], finished["state"], finished["engine"]) == (job.id, "completed", "process")
    assert finished["line"] == job.progress.line()
    result = server.owner.get("/jobs/parity/result").json()
    assert result["verdict"] == job.result().verdict
    assert result["test_score"] == job.result().test_score
    assert result["program"] == job._best_state()
    trials = server.owner.get("/jobs/parity/trials").json()
    assert [row["score"] for row in trials["rows"]] == fleet.trials(job.id).score.tolist()
    calls = server.owner.get("/jobs/parity/calls", params={"limit": 3, "offset": 1}).json()
    assert (len(calls["rows"]), calls["total"], calls["offset"]) == (3, job.progress.calls + job.progress.cached, 1)
    programs = server.owner.get("/jobs/parity/programs").json()["rows"]
    assert [row["program_id"] for row in programs if row["best"]] == [result["program_id"]]
    assert server.owner.get("/jobs/parity/log").json()["log"] == job.log()


@pytest.mark.usefixtures("finished")
def test_lists_are_filtered_and_come_in_pages(server: Server) -> None:
    completed = server.owner.get("/jobs", params={"state": "completed", "text": "par"}).json()
    assert [row["name"] for row in completed["rows"]] == ["parity"]
    assert server.owner.get("/jobs", params={"tag": "none"}).json()["rows"] == []
    beyond = server.owner.get("/jobs", params={"text": "parity", "offset": 5}).json()
    assert (beyond["rows"], beyond["total"], beyond["offset"]) == ([], 1, 5)
    old = server.owner.get(f"{server.address}/api/v2/jobs").json()
    assert old == server.owner.get("/jobs").json()


def test_what_is_wrong_is_told_in_one_line(server: Server, task: dict[str, Any]) -> None:
    post, get = server.owner.post, server.owner.get
    cases = [
        (get("/jobs/nowhere"), 404, "unknown job 'nowhere'"),
        (get("/jobs", params={"state": "done"}), 422, "unknown state 'done'"),
        (get("/jobs", params={"limit": 0}), 422, "limit: Input should be greater than or equal to 1; given '0'"),
        (get("/jobs/parity/forecast", params={"calls": 10**36}), 422, "calls holds a whole number beyond 9,007,199"),
        (get("/trends", params={"relative": "inf"}), 422, "relative: Input should be a finite number; given 'inf'"),
        (post("/jobs", json={**task, "params": {"deep": [{"n": -(10**30)}]}}), 422, "params holds a whole number"),
        (get("/jobs", params={"colour": "red"}), 422, "colour: Extra inputs are not permitted"),
        (get("/nothing"), 404, "openapi.json lists what there is"),
        (server.owner.delete("/jobs"), 405, "use GET, POST"),
        (post("/jobs", content=b"{", headers={"Content-Type": "application/json"}), 422, "Invalid JSON"),
        (post("/jobs", content=b"a=1", headers={"Content-Type": "text/plain"}), 415, "send it as application/json"),
        (post("/jobs", json={**task, "optimizer": "gepaa"}), 422, "did you mean 'gepa'?"),
        (post("/jobs", json={**task, "lm": "openai/"}), 422, "write PROVIDER/MODEL, such as openai/gpt-4o-mini"),
        (post("/jobs", json={**task, "seed": "1"}), 422, "seed: Input should be a valid integer; given '1'"),
        (post("/jobs", json={**task, "engine": "thread"}), 422, "engine: Extra inputs are not permitted"),
        (post("/sql", json={"query": "delete from jobs"}), 422, "refused"),
        (post("/jobs", json={**task, "program": {"signature": "_x -> y"}}), 422, "signature '_x -> y': "),
        (
            post("/jobs", json={**task, "program": {"signature": "text"}}),
            422,
            "program.Described.signature: write fields before and after ->, each with no type or a plain one (str, ",
        ),
        (
            post("/jobs", json={**task, "program": {"signature": "text -> label: Colour"}}),
            422,
            "such as \"text -> intent: Literal['buy', 'ask']\"; given 'text -> label: Colour'",
        ),
        (get("/jobs/parity/pause"), 405, "use POST"),
        (server.owner.request("TRACE", "/jobs"), 405, "invalid"),
    ]
    for told, status, part in cases:
        assert (told.status_code, told.headers["content-type"]) == (status, "application/problem+json"), told.text
        problem = told.json()
        assert problem["status"] == status
        assert part in problem["detail"], problem
        assert "\n" not in problem["detail"]
        assert status != 405 or told.headers["allow"]
    closing = [told.headers.get("connection") for told, _, _ in cases]
    assert closing == [*[None] * (len(cases) - 1), "close"], "a client must not go on with what Tornado closes"


def test_a_body_that_is_too_large_is_refused(server: Server, task: dict[str, Any]) -> None:
    rows = [{"text": "x" * 1000, "label": "even"}] * 300
    told = server.owner.post("/jobs", json={**task, "train": rows})
    assert told.status_code == 413
    assert "200,000 bytes that are allowed" in told.json()["detail"]
    body = json.dumps({**task, "train": rows}).encode()
    pieces = server.owner.post("/jobs", content=iter([body]), headers={"Content-Type": "application/json"})
    assert pieces.status_code == 413


def test_a_body_of_100_mb_is_refused_without_being_read_whole(server: Server) -> None:
    for token, status in ((server.owner.headers["Authorization"], 413), ("token wrong", 401)):
        sent = 0

        def pieces() -> Iterator[bytes]:
            nonlocal sent
            for _ in range(100):
                sent += 1
                yield b" " * 1_000_000

        headers = {"Authorization": token, "Content-Type": "application/json"}
        told = httpx.post(f"{server.api}/jobs", content=pieces(), headers=headers, timeout=60)
        assert (told.status_code, sent < 100) == (status, True), (sent, told.text)
        host, _, port = server.address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=60) as asking:  # and sends nothing of it
            head = {"Host": host, **headers, "Content-Length": "100000000", "Expect": "100-continue"}
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            asking.sendall(f"POST /skillfleet/api/v1/jobs HTTP/1.1\r\n{lines}\r\n".encode())
            assert asking.recv(4096).startswith(f"HTTP/1.1 {status}".encode())
    assert server.owner.get("/jobs", params={"text": "x"}).status_code == 200


@pytest.mark.usefixtures("finished")
def test_sql_reads_a_limited_number_of_rows(server: Server) -> None:
    told = server.owner.post(
        "/sql", json={"query": "select name from jobs where name = :n", "parameters": {"n": "parity"}}
    )
    assert told.json() == {"columns": ["name"], "rows": [{"name": "parity"}], "truncated": False}
    many = server.owner.post("/sql", json={"query": "select * from range(1000)"}).json()
    assert (len(many["rows"]), many["truncated"]) == (50, True)
    few = server.owner.post("/sql", json={"query": "from range(9)", "rows": 2}).json()
    assert (few["rows"], few["truncated"]) == ([{"range": 0}, {"range": 1}], True)
    large = (
        "select 2::hugeint * 9223372036854775808 as s, 18446744073709551615::hugeint as t, sum(hash(name)) from jobs"
    )
    told = server.owner.post("/sql", json={"query": large})
    assert told.status_code == 200, told.text
    row = told.json()["rows"][0]
    assert (row["s"], row["t"]) == (str(2**64), 2**64 - 1)


def test_advice_is_what_the_facade_says(server: Server, task: dict[str, Any]) -> None:
    asked = {key: value for key, value in task.items() if key != "name"} | {"probe": 0}
    told = server.owner.post("/estimate", json=asked).json()
    assert told["optimizer"] == "labeled_fewshot"
    assert 0 < told["calls"]["low"] <= told["calls"]["expected"] <= told["calls"]["high"]
    names = {row["name"] for row in server.owner.get("/optimizers").json()["rows"]}
    assert names == set(Fleet(server.home).optimizers().name)
    modules = {(one["name"], one["version"]) for one in server.owner.get("/modules/available").json()["modules"]}
    assert ("best_of_n", "1") in modules
    assert server.owner.post("/signatures/check").json()["ok"] is True


def test_drift_of_every_kind_is_looked_for_and_told_without_vectors(server: Server) -> None:
    ref = Fleet(server.home).register(dspy.Predict("text -> label"), "watched").ref
    before, now = ([{"text": f"message {n}", "label": label} for n in range(40)] for label in ("odd", "even"))
    asked = {"name": ref, "inputs": now, "reference": before, "kinds": ["output"]}
    report = server.owner.post("/drift", json=asked).json()
    assert (report["alarm"], report["look"], report["findings"][0]["kind"]) == (True, 1, "output"), report
    assert report["sentence"].startswith("the outputs have drifted, first shares of label")
    assert {tuple(share.values()) for share in report["shares"]} >= {("label", "odd", 1.0, 0.0)}
    assert "vectors" not in report
    refused = server.owner.post("/drift", json={"name": ref, "kinds": ["quality"]})
    assert (refused.status_code, "watched" in refused.json()["detail"]) == (422, True), refused.text
    assert server.owner.post("/drift", json=asked | {"kinds": ["weather"]}).status_code == 422
    assert server.owner.get("/drift", params={"name": ref}).json()["rows"][0]["kind"] == "output"


def test_skills_are_read_below_the_servers_folder_alone(server: Server) -> None:
    skill = server.root / "skills" / "pdf-tools"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text(
        "---\nname: pdf-tools\ndescription: Merges PDF files. Use when many are one.\n---\n# A\n"
    )
    assert server.owner.post("/skills/validate", json={"path": "skills/pdf-tools"}).json()["findings"] is not None
    assert 0 < server.owner.post("/skills/score", json={"path": "skills/pdf-tools"}).json()["score"] < 1
    (server.root / "skills" / "away").symlink_to(server.home.parent.parent)
    for path in ("..", "/etc", "skills/away", ".skillfleet", "a\0b", "a" * 300):
        told = server.owner.post("/skills/validate", json={"path": path})
        assert told.status_code == 422, told.text


def test_the_document_describes_every_route() -> None:
    told = document()
    described = {(method.upper(), path) for path, one in told["paths"].items() for method in one}
    assert described == {(one.method, f"/{one.path}") for one in routes()} | {
        ("GET", "/health"),
        ("GET", "/jobs/{job}/stream"),
        ("GET", "/stream"),
    }
    (calls,) = told["paths"]["/jobs/{job}/forecast"]["get"]["parameters"][1:]
    assert (calls["schema"]["minimum"], calls["schema"]["maximum"]) == (1, 2**53 - 1)
    names = [one["operationId"] for path in told["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
    assert told["components"]["schemas"]["RunRequest"]["required"] == ["program", "train", "metric", "optimizer"]
