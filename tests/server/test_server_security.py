"""Who may what: roles, imports, limits of users, cookies; and that all of it is written down."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.events import AUDIT, JobCreated, JobState, LMCall, Phase, StateChanged, Trial, Warned
from skillfleet_nb.events.audit import Audited
from skillfleet_nb.server.materials import Materials
from skillfleet_nb.server.problems import RefusedError
from skillfleet_nb.server.routes import routes
from skillfleet_nb.server.service import Service
from skillfleet_nb.server.wire import Described
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from conftest import Server  # type: ignore[attr-defined]

START = next(one for one in routes() if one.name == "post_jobs")
CANCEL = next(one for one in routes() if one.name == "post_jobs_job_cancel")


def test_a_viewer_looks_and_spends_nothing(server: Server, task: dict[str, Any]) -> None:
    assert server.viewer.get("/jobs").status_code == 200
    assert server.viewer.post("/sql", json={"query": "from jobs"}).status_code == 200
    for one in routes():
        if one.permission != "read":
            path = one.path.replace("{job}", "x").replace("{test}", "x")
            told = server.viewer.request(one.method, f"/{path}", json=task)
            assert told.status_code == 403, path
            assert f"viewer may not {one.permission}" in told.json()["detail"]
    assert server.viewer.post(f"{server.address}/api/kernels", json={}).status_code == 403
    refused = Fleet(server.home).sql("from events where kind = 'audited' and payload->>'user' = 'viewer'")
    assert len(refused) == sum(one.permission != "read" for one in routes())


def test_changes_are_written_down_with_who_asked(server: Server, finished: dict[str, Any]) -> None:
    server.owner.post("/jobs/nowhere/cancel")
    server.owner.post("/jobs/parity/cancel")
    rows = Fleet(server.home).sql(
        "select payload->>'user' as \"user\", payload->>'action' as route, payload->>'target' as target, "
        "(payload->>'status')::int as status, payload->>'job' as job from events where kind = 'audited'"
    )
    told = {tuple(row) for row in rows.astype(object).where(rows.notna(), None).itertuples(index=False)}
    assert ("token", "POST jobs", "", 201, finished["id"]) in told
    assert ("token", "POST jobs/{job}/cancel", "nowhere", 404, None) in told
    assert ("token", "POST jobs/{job}/cancel", "parity", 200, None) in told


def test_a_browser_needs_the_xsrf_cookie_and_its_own_origin(server: Server) -> None:
    with httpx.Client(base_url=server.api, timeout=60) as browser:
        browser.get("/jobs", params={"token": server.owner.headers["Authorization"].partition(" ")[2]})
        assert browser.get("/jobs").status_code == 200, "the cookie lets in"
        assert browser.post("/jobs/parity/cancel").status_code == 403, "and changes nothing without the XSRF header"
        elsewhere = browser.get("/jobs", headers={"Origin": "https://elsewhere.example"})
        assert elsewhere.status_code in {403, 404}
        assert elsewhere.headers.get("Access-Control-Allow-Origin", "") == ""


@pytest.fixture
def materials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Materials:
    fleet = Fleet(tmp_path / "home")
    fleet.home.ensure().config.write_text('[serving]\nimports = ["colours"]\n')
    (tmp_path / "colours.py").write_text(
        "import os\nfrom os import getcwd\nimport dspy\nprogram = dspy.Predict('a -> b')\n_hidden = 1\n"
        "def metric(example, prediction, trace=None): return True\nclass Deep:\n    metric = metric\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return Materials(fleet, tmp_path)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("math:sqrt", "this server imports colours"),
        ("colours2:metric", "this server imports colours"),
        ("colours:os", "not colours's own"),
        ("colours:os.getcwd", "not colours's own"),
        ("colours:getcwd", "not colours's own"),
        ("colours:_hidden", "underscore"),
        ("colours:metric.__globals__", "underscore"),
        ("colours:", "underscore"),
    ],
)
def test_only_what_is_an_allowed_packages_own_is_imported(materials: Materials, name: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        materials.metric(name)


def test_what_is_allowed_is_found(materials: Materials) -> None:
    assert materials.metric("colours:Deep.metric").__name__ == "metric"
    assert list(materials.program("colours:program").signature.fields) == ["a", "b"]
    with pytest.raises(InputError, match=r"name an instance of dspy\.Module"):
        materials.program("colours:metric")
    described = Described(signature="text -> label: Literal['a', 'b'], sure: float", module="ChainOfThought")
    assert list(materials.program(described).predict.signature.output_fields) == ["reasoning", "label", "sure"]


@pytest.mark.parametrize(
    "signature", ["a -> b: os.PathLike", "a: colours.Deep -> b", "a -> ", "a: list[list[int]] -> b"]
)
def test_a_described_signature_has_plain_types(signature: str) -> None:
    with pytest.raises(ValueError, match="signature"):
        Described(signature=signature)


def test_a_user_has_a_limit_in_usd(tmp_path: Path) -> None:
    service = Service(tmp_path, datetime.now(UTC))
    home = service.fleet.home.ensure()
    home.config.write_text("[serving]\nuser_budget_usd = 1.0\n")
    created = JobCreated(name="a", optimizer="gepa", program="p", metric="m", engine="process", seed=0, budget_usd=0.7)
    with Journal(home, AUDIT) as audit:
        audit.append(Audited(user="ann", action="POST jobs", status=201, job="a-1", budget_usd=0.7))

    def ask(user: str, **options: Any) -> None:
        body = {"program": {"signature": "a -> b"}, "train": "t", "metric": "m", "optimizer": "gepa", **options}
        service.answer(START, {}, START.takes.model_validate(body), user)

    with Journal(home, "a-1") as running:
        running.append(created)
        with pytest.raises(InputError, match="give a budget_usd"):
            ask("ann")
        with pytest.raises(JobError, match=r"ann may spend 1 USD .* reserved 0\.7: give a budget_usd of 0\.3 at most"):
            ask("ann", budget_usd=0.4)
        with pytest.raises(InputError, match="is no file of examples"):  # it has got past the limit
            ask("ann", budget_usd=0.3)
        with pytest.raises(InputError, match="is no file of examples"):
            ask("ben", budget_usd=1.0)
    with pytest.raises(InputError, match="is no file of examples"):  # the job is gone, and has cost nothing
        ask("ann", budget_usd=1.0)


def test_a_user_has_a_limit_of_changes_a_minute(tmp_path: Path) -> None:
    service = Service(tmp_path, datetime.now(UTC))
    service.fleet.home.ensure().config.write_text("[serving]\nrequests_per_minute = 2\n")
    nothing = SimpleNamespace()
    for _ in range(2):
        with pytest.raises(LookupError):
            service.answer(CANCEL, {"job": "x"}, nothing, "ann")
    with pytest.raises(RefusedError, match="raise requests_per_minute") as refused:
        service.answer(CANCEL, {"job": "x"}, nothing, "ann")
    wait = refused.value.headers["Retry-After"]
    assert 0 < int(wait) <= 60
    assert f"wait {wait} s" in str(refused.value)
    with pytest.raises(LookupError):
        service.answer(CANCEL, {"job": "x"}, nothing, "ben")


def test_errors_do_not_tell_where_things_lie_on_the_server(server: Server, task: dict[str, Any]) -> None:
    (server.root / "broken.csv").write_bytes(b"\xff\xfe,\x00")
    asked = [
        ("/jobs", {**task, "train": "nothing.csv"}),
        ("/jobs", {**task, "train": "broken.csv"}),
        ("/jobs", {**task, "program": "house:nothing"}),
        ("/skills/validate", {"path": "nothing"}),
        ("/sql", {"query": f"from '{server.root}/data.csv'"}),
        ("/sql", {"query": f"from '{server.home}/config.toml'"}),
        ("/sql", {"query": "from '/etc/hostname'"}),
    ]
    for path, body in asked:
        answer = server.owner.post(path, json=body)
        assert answer.status_code == 422, (path, body, answer.text)
        detail = answer.json()["detail"]
        assert [p for p in (str(server.root), str(server.home), "/etc/", "site-packages") if p in detail] == [], detail
    missing = server.owner.post("/jobs", json={**task, "train": "nothing.csv"}).json()["detail"]
    assert "nothing.csv" in missing
    assert "/skillfleet/api/v1/openapi.json" in server.owner.get("/nowhere").json()["detail"]


def test_a_job_does_not_tell_where_things_lie_on_the_server(server: Server) -> None:
    home = Home.find(server.home)
    why = f"cannot read '{server.root}/secret/rows.csv': {os.__file__} and {sys.executable} know nothing of it"
    with Journal(home, "placed-1") as journal:
        journal.append_many([
            JobCreated(name="placed", optimizer="gepa", program="p", metric="m", engine="thread", seed=0),
            StateChanged(state=JobState.RUNNING), Warned(text=why),
            StateChanged(state=JobState.FAILED, stop_reason=why, error=why),
        ])  # fmt: skip
    (home.journal_dir("placed-1") / "output.log").write_text(f'Traceback:\n  File "{os.__file__}"\n{server.home}/x')
    told = {
        path: server.viewer.get(path).text
        for path in (
            "/jobs/placed", "/jobs/placed/log", "/jobs/placed/picture", "/jobs/placed/stream", "/jobs?text=placed",
            "/dashboard/page?path=placed-1",
        )
    }  # fmt: skip
    told["sql"] = server.viewer.post("/sql", json={"query": "from events where job_id = 'placed-1'"}).text
    assert all(
        "rows.csv" in told[path] for path in ("/jobs/placed", "/jobs/placed/picture", "/jobs/placed/stream", "sql")
    )
    places = (str(server.root), str(server.home), str(Path(os.__file__).parent))
    assert [(path, place) for path, text in told.items() for place in places if place in text] == []
    assert "./secret/rows.csv" in server.viewer.get("/jobs/placed").json()["error"]
    assert server.viewer.get("/jobs/placed/log").json()["log"] == 'Traceback:\n  File "…/os.py"\n.skillfleet/x'
    assert Fleet(server.home).job("placed").progress.error == why


def test_what_happened_names_no_other_place_of_the_server(server: Server) -> None:
    why = "cannot read '/usr/local/elsewhere/deep/rows.csv': it is not there"
    scores = [("e1", 0.0, why, None), ("e2", 1.0, None, "cat /usr/local/elsewhere/mine.csv")]
    call = LMCall(
        model="m", cached=False, input_tokens=9, output_tokens=1, cost_usd=0, latency_s=0.4, call_id="c1", role="task",
        prompt="cat /usr/local/elsewhere/mine.csv", response="no", error=why,
    )  # fmt: skip
    with Journal(Home.find(server.home), "told-1") as journal:
        journal.append_many([
            JobCreated(name="told", optimizer="gepa", program="p", metric="m", engine="thread", seed=0),
            StateChanged(state=JobState.RUNNING), Phase(text=f"reading: {why}"), Warned(text=why),
            Trial(trial=0, split="val", full_eval=True, n_examples=2, score=0.5, program_id="a", scores=scores), call,
            StateChanged(state=JobState.FAILED, stop_reason=why, error=why),
        ])  # fmt: skip
    of_job = ("", "/log", "/picture", "/stream", "/trials", "/calls")
    told = {path: server.viewer.get(f"/jobs/told{path}").text for path in of_job}
    told["page"] = server.viewer.get("/dashboard/page?path=told-1").text
    for query in ("from events where job_id = 'told-1'", "from scores where job_id = 'told-1'"):
        told[query] = server.viewer.post("/sql", json={"query": query}).text
    assert [path for path, text in told.items() if "elsewhere/deep" in text] == []
    named = {path for path, text in told.items() if "\N{HORIZONTAL ELLIPSIS}/rows.csv" in text}
    assert named >= {"", "/picture", "/stream", "page"}
    assert "/usr/local/elsewhere/mine.csv" in told["/calls"], "somebody's data"
