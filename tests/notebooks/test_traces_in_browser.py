"""Calls as trees: on a job's page of the dashboard, and in the live monitor of a program in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dspy
import pytest
from dashboard_page import DashboardPage, WidgetPage
from jupyterlab_page import ARTIFACTS, violations
from playwright.sync_api import expect

import skillfleet_nb as sf
from skillfleet_nb.widgets.usage import UsageMonitor

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from skillfleet_nb import Fleet

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TRAITS = ("program", "figures", "calls", "told", "windows", "window", "paused", "n")
LONG = "intents_of_the_help_desk_with_labelled_examples_only_and_no_instructions_at_all_2026_11"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return sf.Fleet(tmp_path / "home")


def test_a_jobs_calls_are_opened_with_the_keyboard(browser: Browser, fleet: Fleet) -> None:
    rows = [dspy.Example(n=f"number {n}", odd=bool(n % 2)).with_inputs("n") for n in range(12)]
    fleet.evaluate(dspy.Predict("n -> odd: bool"), rows, lambda e, p, trace=None: e.odd == p.odd, name="scored",
                   lm=sf.offline_lm()).result()  # fmt: skip
    own = DashboardPage(browser, fleet, theme="dark", width=480)
    page = own.page
    own.view.open("scored")
    own.settle()
    page.get_by_role("button", name="Traces").press("Enter")
    own.settle()
    expect(page.get_by_role("heading", name="traces of scored")).to_be_focused()
    trial, call = page.locator(".sf-html summary").first, page.get_by_text("task: skillfleet/offline-1").first
    expect(call).to_be_visible()  # a trace alone is open
    for is_open in (False, True):
        trial.press("Enter")
        own.view._draw_page(focus=False)
        own.settle()
        expect(call).to_be_visible(visible=is_open)  # it stays as it was left while the job goes on
    assert page.locator(".sf-html details").count() == 1, "a call without its texts has nothing to open"
    assert page.evaluate("document.documentElement.scrollWidth") <= 480, "parts scroll, not the page"
    assert violations(page, ".sf-dash") == []
    page.screenshot(path=str(ARTIFACTS / "dashboard-traces-dark-480.png"), full_page=True)
    page.get_by_role("button", name="scored", exact=True).last.click()
    own.settle()
    expect(page.get_by_role("heading", name="scored")).to_be_visible()
    assert own.troubles == []
    own.close()


def test_a_program_in_use_is_followed_and_what_is_read_stays(browser: Browser, fleet: Fleet) -> None:
    m = sf.monitored(dspy.Predict("n -> odd: bool"), home=fleet.home.root, name=LONG)
    own = WidgetPage(browser, UsageMonitor(fleet.usage(m)), TRAITS, width=480)
    page = own.page
    expect(page.get_by_text("nothing is recorded yet")).to_be_visible()

    def call(n: str) -> None:
        with dspy.context(lm=sf.offline_lm()):
            m(n=n)
        m.close()
        own.view.refresh()
        own.settle()

    call("number 1")
    expect(page.get_by_text("a minute, 1")).to_be_visible()
    page.locator("summary").first.press("Enter")
    expect(page.get_by_text("number 1").first).to_be_visible()
    call("number 2")
    expect(page.get_by_text("a minute, 2")).to_be_visible()
    expect(page.get_by_text("number 1").first).to_be_visible()
    expect(page.get_by_text("Newer calls are shown once these are closed.")).to_be_visible()
    assert page.locator("summary").count() == 1 + 1  # the prediction, and its model's call
    assert page.evaluate("document.documentElement.scrollWidth") <= 480
    assert violations(page, ".sf-usage") == []
    page.screenshot(path=str(ARTIFACTS / "monitor-of-a-program-480.png"), full_page=True)
    page.locator("summary").first.press("Enter")
    expect(page.get_by_text("Newer calls are shown once these are closed.")).to_be_hidden()
    page.get_by_label("how far to look back").select_option("1d")
    own.settle()
    expect(page.get_by_text("the last 1 d")).to_be_visible()
    page.get_by_role("button", name="Pause").press("Enter")
    own.settle()
    assert own.view.box.paused
    expect(page.get_by_role("button", name="Go on")).to_be_focused()
    assert own.troubles == []
    own.close()
