"""The dashboard as a page of its own, as ``skillfleet dashboard`` serves it, and in a notebook."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from typing import TYPE_CHECKING

import nbformat
import psutil
import pytest
from jupyterlab_page import ARTIFACTS, violations
from playwright.sync_api import expect

from skillfleet_nb.events import ExampleScore, JobCreated, JobState, Result, StateChanged, Trial
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyterlab_page import Lab
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = "<img src=x onerror=document.title=7>"


def journal(home: Home, job_id: str, name: str, optimizer: str, best: float, **more: object) -> Journal:
    """Begin a job, scored twice on validation; it runs until its journal is closed."""
    made = Journal(home, job_id)
    given = {"program": "triage", "metric": "exact", "engine": "thread", "seed": 0}
    made.append(JobCreated(name=name, optimizer=optimizer, **given, **more))
    made.append(StateChanged(state=JobState.RUNNING))
    for at, score in enumerate((0.4, best)):
        made.append(
            Trial(trial=at, split="val", full_eval=True, n_examples=1, score=score, best_so_far=max(0.4, score),
                  program_id=f"p{at}", scores=(ExampleScore("a", score),))
        )  # fmt: skip
    return made


def end(made: Journal, best: float) -> None:
    made.append(
        Result(
            baseline_score=0.4, best_score=best, test_baseline=0.4, test_score=best, test_delta=best - 0.4,
            test_delta_low=best - 0.5, test_delta_high=best - 0.3, p_value=0.01, verdict="improved", summary="improved",
        )
    )  # fmt: skip
    made.append(StateChanged(state=JobState.COMPLETED, stop_reason="the optimizer finished"))
    made.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home.find(tmp_path_factory.mktemp("dashboard") / "home")
    end(journal(home, "run-1", "first", "gepa", 0.7, tags=("support", "v2"), domain="help desk"), 0.7)
    end(journal(home, "run-2", "second", "miprov2", 0.9, domain="skills"), 0.9)
    end(journal(home, "run-3", HOSTILE, "gepa", 0.5), 0.5)
    return home


@pytest.fixture(scope="module")
def running(home: Home) -> Iterator[Journal]:
    made = journal(home, "run-4", "still at it", "copro", 0.6)
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(home: Home, running: Journal) -> Iterator[str]:
    """Where the command serves the page; it takes its server and its kernels along, whatever ends it."""
    command = [sys.executable, "-m", "skillfleet_nb.cli", "dashboard", "--no-browser", "--home", str(home.root)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert server.stdout is not None
    told = server.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", told)
    if found is None:
        server.kill()
        pytest.fail(f"no address: {told}")
    yield found[0]
    below = psutil.Process(server.pid).children(recursive=True)
    server.send_signal(signal.SIGTERM)  # an interrupt, which a terminal sends to all of them, does no less
    assert server.wait(60) == 0
    assert psutil.wait_procs(below, 30)[1] == []
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(found[0], timeout=5)  # noqa: S310  a local server


@pytest.fixture(scope="module")
def page(address: str, browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    page.set_default_timeout(120_000)
    base, outside = address.partition("?")[0], []
    page.on(
        "request",
        lambda r: None if r.url.startswith((base, base.replace("http", "ws"), "data:", "blob:")) else outside.append(r),
    )
    page.goto(address)
    expect(page.get_by_role("button", name="second")).to_be_visible(timeout=120_000)
    yield page
    answered = [r.url for r in outside if r.response() is not None or r.failure != "csp"]
    page.close()
    assert answered == [], "the page is forbidden to ask elsewhere"


def test_nobody_sees_it_without_the_token(address: str) -> None:
    base = address.partition("?")[0]
    for path in ("", "?token=wrong", "voila/render/dashboard.ipynb"):
        with urllib.request.urlopen(base + path, timeout=60) as answer:  # noqa: S310  as above
            assert "login" in answer.url
            assert b"Dashboard" not in answer.read()
    host, upgrade = base.removeprefix("http://").strip("/"), {"Connection": "Upgrade", "Upgrade": "websocket"}
    upgrade |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "c2tpbGxmbGVldC1uYg=="}
    for headers in ({}, upgrade):
        asked = http.client.HTTPConnection(host, timeout=60)
        asked.request("GET", f"/api/kernels/{uuid.uuid4()}/channels", headers=headers)
        assert asked.getresponse().status in {302, 401, 403}, "its kernels are behind the token as well"
        asked.close()


def test_runs_are_listed_and_charted(page: Page) -> None:
    expect(page.get_by_text("4 of 4 jobs")).to_be_visible()
    expect(page.get_by_role("button", name=HOSTILE)).to_be_visible()
    assert page.title() != "7"
    expect(page.locator("svg.marks")).to_have_count(2)
    expect(page.get_by_text("Score against cost of 3 jobs").first).to_be_visible()
    expect(page.get_by_text("Learning curves of 4 jobs").first).to_be_visible()


def test_runs_are_filtered_and_ticked(page: Page) -> None:
    page.get_by_label("optimizer").select_option("gepa")
    expect(page.get_by_text("2 of 4 jobs")).to_be_visible()
    page.get_by_label("tag").select_option("v2")
    expect(page.get_by_text("1 of 4 jobs")).to_be_visible()
    page.get_by_label("tag").select_option("all")
    page.get_by_label("optimizer").select_option("all")
    expect(page.get_by_text("4 of 4 jobs")).to_be_visible()
    page.get_by_role("textbox", name="name").fill("SEC")
    page.get_by_role("textbox", name="name").press("Enter")
    expect(page.get_by_text("1 of 4 jobs")).to_be_visible()
    page.get_by_role("textbox", name="name").fill("")
    page.get_by_role("textbox", name="name").press("Enter")
    page.get_by_label("compare first").check()
    expect(page.get_by_text("Learning curve of first").first).to_be_visible()
    page.get_by_label("compare second").check()
    expect(page.get_by_text("Learning curves of 2 jobs").first).to_be_visible()
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(ARTIFACTS / "dashboard-page.png"), full_page=True)


def test_a_run_opens_and_the_list_comes_back(page: Page) -> None:
    page.get_by_role("button", name="second").click()
    expect(page.get_by_role("cell", name="second (run-2)")).to_be_visible()
    expect(page.get_by_label("compare first")).not_to_be_visible()
    page.screenshot(path=str(ARTIFACTS / "dashboard-run.png"), full_page=True)
    page.get_by_role("button", name="All jobs").click()
    expect(page.get_by_label("compare first")).to_be_visible()


def test_it_follows_a_run_until_its_end(page: Page, running: Journal) -> None:
    row = page.get_by_role("row", name="still at it")
    expect(row.get_by_text("running")).to_be_visible()
    end(running, 0.8)
    expect(row.get_by_text("completed")).to_be_visible()
    expect(page.get_by_text("Score against cost of 4 jobs").first).to_be_visible()


def test_it_is_for_narrow_windows_and_for_everyone(page: Page) -> None:
    wide = page.viewport_size
    page.set_viewport_size({"width": 480, "height": 900})
    expect(page.get_by_role("region", name="jobs", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 480, "parts scroll, not the page"
    assert violations(page, "body") == []
    page.screenshot(path=str(ARTIFACTS / "dashboard-narrow.png"), full_page=True)
    assert wide is not None
    page.set_viewport_size(wide)
    assert violations(page, "body") == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_a_notebook_it_is_a_widget(lab: Lab, home: Home, theme: str) -> None:
    cell = "%skillfleet dashboard"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(c) for c in ("%load_ext skillfleet_nb", f"{cell} --home '{home.root}'")]
    page = lab.open(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), f"dashboard-{theme}.ipynb")
    page.theme(theme)
    page.run_all()
    assert page.errors() == []
    output = page.output(cell)
    expect(output.get_by_text("4 of 4 jobs")).to_be_visible()
    output.get_by_label("domain").select_option("skills")
    expect(output.get_by_text("1 of 4 jobs")).to_be_visible()
    output.get_by_label("domain").select_option("all")
    expect(output.get_by_text("4 of 4 jobs")).to_be_visible()
    assert page.outside == []
    expect(output.get_by_text("Score against cost of 4 jobs").first).to_be_visible()
    expect(output.get_by_text("Learning curves of 4 jobs").first).to_be_visible()
    assert page.screenshots(f"dashboard-{theme}")
