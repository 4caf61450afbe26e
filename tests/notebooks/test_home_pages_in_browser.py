"""The dashboard's pages about all runs, in a page of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dashboard_page import DashboardPage
from jupyterlab_page import ARTIFACTS, violations
from made_up_runs import write_runs
from playwright.sync_api import expect

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

_CUT = """() => [...document.querySelectorAll('.sf-page :is(td, th)')].filter((cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return cell.innerText.trim() && !/\\s/.test(cell.innerText.trim()) && range.getClientRects().length > 1;
}).map((cell) => cell.innerText)"""

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_what_all_runs_say_is_read_judged_and_followed_to_a_job(browser: Browser, tmp_path: Path) -> None:
    write_runs(tmp_path / "h", 27)
    fleet = Fleet(tmp_path / "h")
    own = DashboardPage(browser, fleet, theme="dark", width=480)
    page = own.page

    def press(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).click()
        own.settle()

    for name in ("Trends", "Insights", "Money"):
        press(name)
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        expect(page.get_by_role("treegrid")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth") <= 480, "parts scroll, not the page"
        assert page.evaluate(_CUT) == [], "a word of a table stands on one line"
        assert violations(page, ".sf-dash") == []
        page.screenshot(path=str(ARTIFACTS / f"dashboard-{name.lower()}-dark-480.png"))
    page.get_by_role("textbox", name="a point is worth, over 1,000 answers").fill("40 USD")
    press("Reckon")
    expect(page.get_by_text("a point is worth 40 USD over")).to_be_visible()
    press("Insights")
    page.get_by_role("button", name="gepa gains").click()
    own.settle()
    press("Pin")
    assert fleet.insights().insights[0].decision == "pinned"
    press("run-9")
    expect(page.get_by_role("heading", name="run-9")).to_be_visible()
    expect(page.get_by_role("treegrid")).to_be_visible()
    assert own.troubles == []
    own.close()
