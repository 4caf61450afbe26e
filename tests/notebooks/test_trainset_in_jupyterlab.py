"""The training-set widget in a real page: tabs, filter, ticks, brushing, the set as a variable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from jupyterlab_page import Lab, LabPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SET_UP = """\
%load_ext skillfleet_nb
from skillfleet_nb.data.bundled import bundled
train = bundled("intents")[:120]
train[3]["intent"], train[7]["intent"] = train[7]["intent"], train[3]["intent"]
train.append({"text": "<img src=x onerror=document.title=7> مرحبا 🎉", "intent": "bug_report"})"""
ANALYZE = "%skillfleet trainset analyze train --label intent -o report"


@pytest.fixture(scope="module")
def page(lab: Lab) -> LabPage:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(cell) for cell in (SET_UP, ANALYZE)]
    page = lab.open(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), "trainset.ipynb")
    page.run_all()
    return page


def _tab(page: LabPage, name: str) -> None:
    page.output(ANALYZE).get_by_role("tab", name=name).click()


def test_it_runs_offline_and_without_errors(page: LabPage) -> None:
    assert page.errors() == []
    expect(page.output(ANALYZE).get_by_role("tab", name="Overview")).to_be_visible()
    assert page.outside == []
    assert page.title() != "7"


def test_the_overview_shows_facts_and_charts(page: LabPage) -> None:
    output = page.output(ANALYZE)
    expect(output.get_by_text("Training set train").first).to_be_visible()  # then its kept HTML, hidden
    expect(output.locator("svg.marks").first).to_be_visible()


def test_the_table_filters_opens_and_ticks_out(page: LabPage) -> None:
    output = page.output(ANALYZE)
    _tab(page, "Quality")
    expect(output.get_by_text("121 examples")).to_be_visible()
    output.get_by_label("filter examples").fill("password")
    expect(output.get_by_text("121 examples")).not_to_be_visible()
    output.locator(".sf-open").first.click()
    expect(output.get_by_text("completeness")).to_be_visible()
    output.get_by_label("your rating, 0 to 1").or_(output.locator(".sf-details input")).first.fill("0.5")
    output.locator(".sf-details input").first.press("Tab")
    expect(output.get_by_text("rating kept")).to_be_visible()
    output.locator(".sf-examples tbody input[type=checkbox]").first.uncheck()
    expect(output.get_by_text("1 ticked out")).to_be_visible()
    output.get_by_role("button", name="Put the kept rows into it").click()
    expect(output.get_by_text("filtered: 120 examples")).to_be_visible()
    output.get_by_label("filter examples").fill("")
    expect(output.get_by_text("121 examples")).to_be_visible()


def test_brushing_the_map_selects_rows(page: LabPage) -> None:
    output = page.output(ANALYZE)
    _tab(page, "Coverage")
    canvas = output.locator(".vega-embed canvas, .vega-embed svg").first
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    mouse = page._page.mouse
    mouse.move(box["x"] + 60, box["y"] + 60)
    mouse.down()
    mouse.move(box["x"] + 240, box["y"] + 240, steps=8)
    mouse.up()
    _tab(page, "Quality")
    expect(output.get_by_label("which examples")).to_have_value("selected on the map")
    expect(output.get_by_text("121 examples")).not_to_be_visible()
    assert page.outside == []


def test_all_that_are_selected_are_ticked_out_at_once(page: LabPage) -> None:
    output = page.output(ANALYZE)
    _tab(page, "Quality")
    output.get_by_role("button", name="tick out all").click()
    expect(output.locator(".sf-told")).not_to_contain_text("· 1 ticked out")
    output.get_by_role("button", name="keep all").click()
    expect(output.locator(".sf-told")).to_contain_text("0 ticked out")


def test_what_is_drawn_here_has_no_serious_barrier(page: LabPage) -> None:
    _tab(page, "Quality")
    page.output(ANALYZE).locator(".sf-open").first.click()
    assert page.violations(".sf-examples") == []


def test_its_keys_are_its_own_and_who_goes_by_keys_stays_where_they_were(page: LabPage) -> None:
    output, cells = page.output(ANALYZE), page.part(".jp-Notebook .jp-Cell")
    _tab(page, "Quality")
    which = output.get_by_label("which examples")
    which.select_option("all")
    which.focus()
    page.press("ArrowDown")  # JupyterLab's, to go to the next cell
    expect(which).to_have_value("high")
    which.select_option("all")
    first = output.locator(".sf-open").first
    was_open = first.get_attribute("aria-expanded")
    first.focus()
    page.press("Enter")
    expect(first).not_to_have_attribute("aria-expanded", str(was_open))
    expect(first).to_be_focused()
    page.press("d", "d")  # JupyterLab's, to delete the cell
    expect(cells).to_have_count(2)
    output.get_by_role("button", name="Put the kept rows into it").focus()
    page.press("d", "d")
    expect(cells).to_have_count(2)


@pytest.mark.parametrize("tab", ["Quality", "Coverage", "Duplicates", "History"])
def test_it_is_kept_as_a_picture(page: LabPage, tab: str) -> None:
    _tab(page, tab)
    assert page.screenshots(f"trainset-{tab.lower()}")
