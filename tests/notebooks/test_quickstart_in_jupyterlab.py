"""The quickstart as a person meets it: in a real JupyterLab, with a real kernel, in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from jupyterlab_page import Lab, LabPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

QUICKSTART = "00_quickstart.ipynb"
LONG_NAME = "the-intents-of-the-help-desk-with-labelled-examples-only-" * 3


@pytest.fixture(scope="module")
def quickstart(lab: Lab, notebooks: Path) -> LabPage:
    page = lab.open(nbformat.read(notebooks / QUICKSTART, as_version=4), QUICKSTART)
    page.run_all()
    return page


def test_every_cell_runs_and_nothing_is_fetched_from_outside(quickstart: LabPage) -> None:
    assert quickstart.errors() == []
    assert quickstart.outside == []


def test_waiting_shows_the_splits_the_progress_and_the_job(quickstart: LabPage) -> None:
    output = quickstart.output("%skillfleet optimize program")
    expect(output.first.get_by_text("8 classes, 28 each")).to_be_visible()
    card = output.first.get_by_role("region", name=re.compile("^monitor of job"))
    expect(card.get_by_text(re.compile(r"validation: best \d+\.\d, baseline"))).to_be_visible()
    expect(card.get_by_text("points on the sealed test")).to_be_visible()


def test_the_report_shows_scores_curve_and_diff(quickstart: LabPage) -> None:
    output = quickstart.output("%skillfleet job intents")
    card = output.get_by_role("region", name="monitor of job intents")
    expect(card.get_by_text("points on the sealed test")).to_be_visible()
    curve = card.get_by_role("img", name=re.compile("learning curve"))
    expect(curve).to_be_visible()
    assert curve.bounding_box()["width"] > 300
    expect(card.get_by_text("demos added")).to_be_visible()
    expect(card.locator("ins").first).to_be_attached()


def test_jobs_and_query_are_tables(quickstart: LabPage) -> None:
    jobs = quickstart.output("%skillfleet jobs")
    expect(jobs.get_by_role("cell", name="improved")).to_be_visible()
    expect(quickstart.output("%%skillfleet sql").get_by_role("columnheader", name="cost_usd")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_kept_as_a_picture(quickstart: LabPage, theme: str) -> None:
    quickstart.theme(theme)
    assert quickstart.screenshots(f"quickstart-{theme}")
