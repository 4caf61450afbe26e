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
from contextlib import suppress
from typing import TYPE_CHECKING

import nbformat
import psutil
import pytest
from dashboard_page import DashboardPage
from jupyterlab_page import ARTIFACTS, violations
from playwright.sync_api import expect

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.events import ExampleScore, JobCreated, JobState, Result, StateChanged, Trial
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jupyterlab_page import Lab
    from playwright.sync_api import Browser, Locator, Page

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
    found = re.search(r"http://127\.0\.0\.1:\d+/login\?token=\S+", told)
    if found is None:
        server.kill()
        pytest.fail(f"no address: {told}")
    yield found[0]
    below = psutil.Process(server.pid).children(recursive=True)
    server.send_signal(signal.SIGTERM)  # an interrupt, which a terminal sends to all of them, does no less
    assert server.wait(300) == 0
    assert psutil.wait_procs(below, 300)[1] == []
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(found[0], timeout=5)  # noqa: S310  a local server


@pytest.fixture(scope="module")
def page(address: str, browser: Browser) -> Iterator[Page]:
    page = browser.new_context(viewport={"width": 1280, "height": 1100}).new_page()  # with tabs beside it
    base, outside = address.partition("login")[0], []
    page.on(
        "request",
        lambda r: None if r.url.startswith((base, base.replace("http", "ws"), "data:", "blob:")) else outside.append(r),
    )
    page.goto(address)
    assert page.url == base, "what a browser keeps holds no token"
    expect(page.get_by_role("gridcell", name="second")).to_be_visible()
    yield page
    answered = [r.url for r in outside if r.response() is not None or r.failure != "csp"]
    page.context.close()
    assert answered == [], "the page is forbidden to ask elsewhere"


def kernels_of_dashboards() -> int:
    n = 0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # others of the tests end meanwhile
            above = process.parent()
            if above is not None and "ipykernel_launcher" in process.cmdline():
                n += any("dashboard_server" in part for part in above.cmdline())
    return n


def upgraded(base: str, kernel: str, **headers: str) -> int:
    """Ask for the socket of a kernel; return the status."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    asked = http.client.HTTPConnection(base.removeprefix("http://").strip("/"), timeout=60)
    key = {"Sec-WebSocket-Key": "c2tpbGxmbGVldC1uYg=="}
    asked.request("GET", f"/api/kernels/{kernel}/channels", headers=upgrade | key | headers)
    status = asked.getresponse().status
    asked.close()
    return status


def test_nobody_sees_it_without_the_token(address: str) -> None:
    base, _, token = address.partition("login?token=")
    for path in ("", "?token=wrong", f"?token={token}", "login", "login?token=wrong", "voila/render/dashboard.ipynb"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(base + path, timeout=60)  # noqa: S310  as above
    assert upgraded(base, str(uuid.uuid4())) == 403, "its kernels are behind the token as well"


def test_a_token_lets_in_once_and_every_opening_looks_at_one_kernel(address: str, page: Page) -> None:
    base, _, token = address.partition("login?token=")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address, timeout=60)  # noqa: S310  as above
    other = page.context.new_page()
    for _ in range(2):
        other.goto(address)  # in the browser that has the cookie it leads there still
        assert other.url == base
        expect(other.get_by_role("gridcell", name="second")).to_be_visible()
    assert kernels_of_dashboards() == 1
    other.close()
    page.reload()
    expect(page.get_by_role("gridcell", name="second")).to_be_visible()
    kernel = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    cookie = "; ".join(f"{c['name']}={c['value']}" for c in page.context.cookies())
    foreign = {"Origin": "http://elsewhere.example"}
    assert upgraded(base, kernel, Cookie=cookie, Origin=base.strip("/")) == 101
    assert upgraded(base, kernel, Cookie=cookie, **foreign) == 403
    assert upgraded(base, kernel, Authorization=f"token {token}", **foreign) == 403


def test_jobs_are_listed_and_charted(page: Page) -> None:
    expect(page.get_by_text("4 of 4 jobs")).to_be_visible()
    expect(page.get_by_role("gridcell", name=HOSTILE)).to_be_visible()
    assert page.title() != "7"
    expect(page.get_by_role("figure").get_by_text("Score against cost of 3 jobs")).to_be_visible()  # of 4, one untested
    expect(page.get_by_text("Learning curves of the newest 4")).to_be_visible()
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(ARTIFACTS / "dashboard-page.png"), full_page=True)


def test_it_follows_a_job_until_its_end(page: Page, running: Journal) -> None:
    row = page.get_by_role("row").filter(has_text="still at it")
    expect(row.get_by_text("running")).to_be_visible()
    end(running, 0.8)
    expect(row.get_by_text("completed")).to_be_visible()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Give a home of real jobs, whose programs and calls can be opened."""
    import dspy

    fleet = Fleet(tmp_path_factory.mktemp("real") / "home")
    given = {"train": bundled("intents")[:60], "metric": exact, "lm": offline_lm(), "optimizer": "labeled_fewshot"}
    for name in ("few", "a name that is longer than any column is wide, as people write them"):
        fleet.optimize(dspy.Predict("text -> intent"), name=name, seed=len(name), **given).result()
    return fleet


def exact(example: object, prediction: object, trace: object = None) -> bool:
    del trace
    return bool(example.intent == prediction.intent)  # type: ignore[attr-defined]


@pytest.fixture
def own(browser: Browser, real: Fleet) -> Iterator[DashboardPage]:
    own = DashboardPage(browser, real)
    yield own
    own.close()
    assert own.troubles == []


def tab_to(own: DashboardPage, target: Locator, key: str = "Tab") -> None:
    """Press the key until the focus is there, as a person without a mouse does, who sees where it is."""
    for _ in range(80):
        if target.evaluate("e => e === document.activeElement"):
            assert target.evaluate("e => getComputedStyle(e).outlineStyle") != "none", "the focus can be seen"
            return
        own.page.keyboard.press(key)
    pytest.fail(f"{key} does not lead to {target}")


def test_by_the_keyboard_alone_from_the_list_to_a_program_in_use(own: DashboardPage) -> None:
    page, press = own.page, own.page.keyboard.press
    tab_to(own, page.get_by_label("filter by job"))
    page.keyboard.type("FEW")
    own.settle()
    assert own.view.shown == ["few"]
    expect(page.get_by_text("1 of 2 jobs")).to_be_visible()
    tab_to(own, page.get_by_role("button", name="Clear filters"), "Shift+Tab")
    press("Enter")
    own.settle()
    tab_to(own, page.get_by_role("button", name="job", exact=True))
    press("Enter")
    expect(page.get_by_role("columnheader", name="job", exact=True)).to_have_attribute("aria-sort", "ascending")
    tab_to(own, page.locator(".tabulator-tableholder"))
    for key in ("End", " ", "Enter"):
        press(key)
        page.wait_for_function("() => document.querySelector('.sf-active')")
    own.settle()
    few = own.view._fleet.job("few").id
    assert (own.view.box.chosen, own.view.box.path) == ([few], [few])
    expect(page.get_by_role("heading", name="few")).to_be_focused()
    tab_to(own, page.locator(".sf-list .sf-link").last)
    press("Enter")
    own.settle()
    tab_to(own, page.get_by_role("button", name="Use this program"))
    press("Enter")
    own.settle()
    expect(page.locator(".sf-notice")).to_contain_text("few_best is program")
    tab_to(own, page.locator(".sf-list .sf-link").first)
    press("Enter")
    own.settle()
    expect(page.get_by_role("heading", name="an example of few")).to_be_focused()
    expect(page.get_by_text("skillfleet/offline-1 ·").first).to_be_visible()
    tab_to(own, page.get_by_role("button", name="All jobs"), "Shift+Tab")
    press("Enter")
    own.settle()
    assert own.view.box.path == []


def test_points_open_what_they_stand_for_and_a_deletion_is_asked_and_undone(own: DashboardPage) -> None:
    page = own.page
    curves = page.get_by_role("group", name="Learning curves")
    curves.focus()
    curves.press("End")
    curves.press("Enter")
    own.settle()
    assert len(own.view.box.path) == 2, "a trial leads to its program"
    own.view.choose("few")
    own.settle()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Move to the trash").click()
    own.settle()
    expect(page.get_by_text("1 of 1 job")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    own.settle()
    expect(page.get_by_text("2 of 2 jobs")).to_be_visible()


def test_a_job_that_begins_stands_first_and_leaves_the_rest_as_it_was(browser: Browser, tmp_path: Path) -> None:
    home = Home.find(tmp_path / "home")
    for at, name in enumerate(("first", "second", "third")):
        end(journal(home, f"run-{at}", name, "gepa", 0.7), 0.7)
    own = DashboardPage(browser, Fleet(home.root))
    names = own.page.locator(".tabulator-row .tabulator-cell[tabulator-field=name]")
    expect(names).to_have_text(["third", "second", "first"])
    own.view.choose("first")
    own.page.locator(".tabulator-tableholder").focus()
    own.page.keyboard.press("End")
    expect(own.page.locator(".sf-active")).to_contain_text("first")
    begun = journal(home, "run-4", "fourth", "gepa", 0.5)
    other = Journal(home, "run-5")
    other.append(JobCreated(name="of another task", optimizer="gepa", program="q", metric="m", engine="thread", seed=0))
    for made in (begun, other):
        made.append(StateChanged(state=JobState.COMPLETED))
        made.close()
    own.page.get_by_role("button", name="Refresh").click()
    own.settle()
    expect(names).to_have_text(["of another task", "fourth", "third", "second", "first"])
    expect(own.page.locator(".sf-active")).to_contain_text("first")
    assert own.view.box.chosen == ["run-0"]
    expect(own.page.locator(".tabulator-selected")).to_contain_text("first")
    own.close()
    assert own.troubles == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_for_everyone_on_pages_of_any_width(browser: Browser, real: Fleet, theme: str) -> None:
    own = DashboardPage(browser, real, theme=theme)
    own.view.choose("few")
    own.view.open("few")
    for width in (1280, 700, 480):
        own.page.set_viewport_size({"width": width, "height": 900})
        own.settle()
        assert own.page.evaluate("document.documentElement.scrollWidth") <= width, "parts scroll, not the page"
        grid = own.page.locator(".tabulator-tableholder")
        assert grid.evaluate("e => e.scrollWidth - e.clientWidth") <= 0, "columns give way, none is cut"
        task = own.page.locator(".tabulator-group").last.get_by_text("· 2 jobs · best ").bounding_box()
        assert task is not None
        assert task["x"] + task["width"] < width - 8, "a long task gives way to what is told of it"
        assert violations(own.page, ".sf-dash") == []
        own.page.screenshot(path=str(ARTIFACTS / f"dashboard-{theme}-{width}.png"), full_page=True)
    own.close()


@pytest.mark.usefixtures("running")  # the fourth job
def test_in_a_notebook_it_is_a_widget(lab: Lab, home: Home) -> None:
    cell = "%skillfleet dashboard"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(c) for c in ("%load_ext skillfleet_nb", f"{cell} --home '{home.root}'")]
    page = lab.open(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), "dashboard.ipynb")
    page.run_all()
    assert page.errors() == []
    output = page.output(cell)
    expect(output.get_by_text("4 of 4 jobs")).to_be_visible()
    output.get_by_label("filter by optimizer").fill("miprov2")
    expect(output.get_by_text("1 of 4 jobs")).to_be_visible()
    output.get_by_role("button", name="Clear filters").click()
    expect(output.get_by_text("4 of 4 jobs")).to_be_visible()
    expect(output.get_by_text("Learning curves of the newest 4")).to_be_visible()
    assert page.outside == []
    assert page.screenshots("dashboard")
