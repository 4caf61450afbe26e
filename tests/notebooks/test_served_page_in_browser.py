"""The page of ``skillfleet serve`` in a real browser: the dashboard and the monitor, light, dark and narrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from jupyterlab_page import violations
from playwright.sync_api import expect
from serving import TOKEN, serving

from skillfleet_nb.events import JobCreated, JobState, Result, StateChanged, Trial
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CREATED = JobCreated(name="intents", optimizer="gepa", program="p", metric="m", engine="thread", seed=0)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path) as server:
        yield f"{server}/skillfleet"


def test_jobs_are_followed_and_stopped_on_the_page(browser: Browser, address: str, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1100, "height": 700}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{address}?token={TOKEN}")
    expect(page.get_by_text("No jobs yet.")).to_be_visible()
    expect(page.get_by_text("no jobs yet", exact=True)).to_be_visible()
    assert "token" not in page.url
    home = Home.find(tmp_path / ".skillfleet")
    with Journal(home, "job-1") as journal:
        trial = Trial(trial=0, split="val", full_eval=True, n_examples=20, score=0.5, program_id="a")
        journal.append_many([CREATED, StateChanged(state=JobState.RUNNING), trial])
        expect(page.get_by_role("gridcell", name="running")).to_be_visible()  # the grid hears of it by itself
        page.get_by_title("Watch intents").click()
        expect(page.locator(".sf-score")).to_contain_text("best 50.0")
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            assert violations(page, "body") == []
        page.set_viewport_size({"width": 420, "height": 700})
        assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
        page.get_by_role("button", name="Stop and keep best").click()
        expect(page.get_by_role("button", name="Stop and keep best")).to_be_disabled()
        expect(page.locator(".sf-monitor .sf-told")).to_be_hidden()
        assert '"cancel"' in (home.journal_dir("job-1") / "control.jsonl").read_text("utf-8")
        journal.append_many([Result(best_score=0.5, summary="fine"), StateChanged(state=JobState.CANCELLED)])
    expect(page.get_by_label("Recent jobs").get_by_text("cancelled")).to_be_visible()
    context.close()


def test_the_page_has_the_dashboard_of_notebooks(browser: Browser, address: str, tmp_path: Path) -> None:
    home = Home.find(tmp_path / ".skillfleet")
    for number, score in enumerate((0.7, 0.9)):
        with Journal(home, f"job-{number}") as journal:
            created = CREATED.model_copy(update={"name": f"run {number}"})
            trial = Trial(trial=0, split="val", full_eval=True, n_examples=20, score=score, program_id="a")
            ended = [Result(best_score=score, summary="fine"), StateChanged(state=JobState.COMPLETED)]
            journal.append_many([created, StateChanged(state=JobState.RUNNING), trial, *ended])
    context = browser.new_context(viewport={"width": 1100, "height": 1400})
    page = context.new_page()
    page.goto(f"{address}?token={TOKEN}")
    names = page.locator(".tabulator-row .tabulator-cell[tabulator-field=name]")
    expect(names).to_have_text(["run 1", "run 0"])
    assert violations(page, "body") == []
    page.get_by_label("filter by validation").fill("> 80")
    expect(names).to_have_text(["run 1"])
    expect(page.get_by_text("Learning curves of the newest 1;")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    names.last.click()
    expect(page.get_by_role("heading", name="run 0")).to_be_visible()
    page.get_by_role("button", name="Watch", exact=True).click()
    expect(page.locator(".sf-monitor")).to_contain_text("run 0")
    page.get_by_role("button", name="Dashboard").click()
    page.locator(".tabulator-row input[type=checkbox]").first.check()
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("new name").fill("the one")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_text("run 1 is now the one")).to_be_visible()
    expect(names).to_have_text(["the one", "run 0"])
    page.get_by_role("button", name="Undo").click()
    expect(names).to_have_text(["run 1", "run 0"])
    for name in ("Trends", "Insights", "Money"):
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        expect(names.first).to_be_hidden()
    context.close()


def test_an_address_shows_the_job_of_its_name_and_one_of_none_says_so(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    name = "intents_of_the_help_desk_with_labelled_examples_only"
    with Journal(Home.find(tmp_path / ".skillfleet"), "job-1") as journal:
        created = CREATED.model_copy(update={"name": name})
        journal.append_many([created, StateChanged(state=JobState.COMPLETED)])
    context = browser.new_context(viewport={"width": 500, "height": 700})
    page = context.new_page()
    page.goto(f"{address}?token={TOKEN}#job-1")
    expect(page.locator(".sf-monitor")).to_contain_text(name)
    expect(page).to_have_title(f"{name} · Skillfleet")
    dot, line = page.locator(".sf-lab-dot").bounding_box(), page.locator(".sf-lab-name").bounding_box()
    assert dot is not None
    assert line is not None
    assert line["height"] < 3 * dot["height"], "the name begins beside its dot"
    page.goto(f"{address}#%")
    page.reload()
    expect(page.get_by_text("unknown job '%'")).to_be_visible()
    expect(page.get_by_label("Recent jobs").get_by_text(name)).to_be_visible()
    context.close()


def test_the_page_says_that_the_server_is_away_and_goes_on_when_it_is_back(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1100, "height": 700})
    page, beside = context.new_page(), context.new_page()
    with Journal(Home(tmp_path / ".skillfleet").ensure(), "job-1") as journal:
        with serving(tmp_path) as server:
            address = f"{server}/skillfleet"
            page.goto(f"{address}?token={TOKEN}")
            expect(page.get_by_text("No jobs yet. Start one in a shell:")).to_be_visible()
            expect(page.get_by_text("no jobs yet: skillfleet optimize starts one")).to_be_visible()
            journal.append_many([CREATED, StateChanged(state=JobState.RUNNING)])
            beside.goto(f"{address}#job-1")
            expect(beside.get_by_role("button", name="Stop and keep best")).to_be_visible()
        for one in (page, beside):
            expect(one.get_by_text("The server does not answer. Trying again")).to_be_visible()
        page.get_by_role("button", name="Trends", exact=True).click()
        expect(page.locator(".sf-notice")).to_have_text("The server does not answer")
        beside.get_by_role("button", name="Stop and keep best").click()
        told = beside.locator(".sf-monitor .sf-told")
        expect(told).to_contain_text("The server does not answer")
        assert told.bounding_box()["y"] < 100, "beside the button, not below all there is"  # type: ignore[index]
        with serving(tmp_path, "--port", server.rpartition(":")[2]):
            expect(page.get_by_role("heading", name="Trends")).to_be_visible()
            expect(page.locator(".sf-notice")).to_be_hidden()
            expect(told).to_contain_text("Not done: the server did not answer. Try again")
            beside.get_by_role("button", name="Stop and keep best").click()
            expect(beside.get_by_role("button", name="Stop and keep best")).to_be_disabled()
        journal.append(StateChanged(state=JobState.CANCELLED))
    context.close()
