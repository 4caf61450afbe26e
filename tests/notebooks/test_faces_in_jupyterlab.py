"""Every face in a real page: nothing cut, no word broken within, no serious barrier; read again on the next day."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from every_face import FACES, HOSTILE_NAME, LONG_NAME, WIDTHS, look, notebook
from playwright.sync_api import expect

from skillfleet_nb.charts import kinds

if TYPE_CHECKING:
    from jupyterlab_page import Lab, LabPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

READ_AGAIN = {
    "compare": "Scores and cost",
    "program": "instructions",
    "programs-of-a-job": "programs of intents",
    "dashboard": "few-12",
    "trainset": "Training set",
    "recommend": "confidence",
    "card": "sealed test",
    "card-running": "the state when this was kept",
    "registry": "support-intents",
}
LAYOUT = ("scrollable-region-focusable",)
"""The rule of axe-core whose answer depends on how wide the page is, whatever its colours."""
_MOST = 300_000  # bytes of a cell's outputs


@pytest.fixture(scope="module")
def page(lab: Lab) -> LabPage:
    page = lab.open(notebook(), "faces.ipynb")
    page.run_all()
    return page


def test_every_face_is_there_and_nothing_comes_from_outside(page: LabPage) -> None:
    assert page.errors() == []
    for kind in kinds():
        chart = page.output(FACES[f"plot-{kind}"]).locator(".jp-RenderedVegaCommon5 svg.marks")
        expect(chart, kind).to_be_visible()
        expect(chart.locator("path, text").first, kind).to_be_attached()
    paused = page.output(FACES["card-paused"]).get_by_role("region", name="monitor of job paused")
    expect(paused.get_by_text("paused", exact=True)).to_be_visible()
    expect(page.output(FACES["card-running"].splitlines()[0]).get_by_text(" left")).to_be_visible()
    expect(page.output(FACES["card-kept-yours"]).get_by_text("kept yours").first).to_be_visible()
    expect(page.output(FACES["ab"].splitlines()[0]).locator("img").first).to_be_visible()
    expect(page.output(FACES["export"]).get_by_role("link", name="report.html")).to_be_visible()
    lines = page.output(FACES["mistake"]).inner_text().strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("UsageError: unknown optimizer 'gepaa': did you mean 'gepa'?")
    expect(page.output(FACES["card-long-name"]).get_by_role("button", name=f"Use as {LONG_NAME}_best")).to_be_visible()
    expect(page.output(FACES["nothing-yet"]).first).to_contain_text("no jobs yet: %skillfleet optimize starts one")
    amounts = page.output(FACES["doctor"]).get_by_text("$10 in, $10 out per million tokens")
    expect(amounts).to_be_visible()  # and is no formula
    expect(page.output(FACES["jobs"]).get_by_role("cell", name=HOSTILE_NAME)).to_be_visible()
    assert page.title() != "7", "names are text"
    assert page.outside == []


# Layout depends on the width alone, colours on the theme alone: all rules in each theme, at either end.
@pytest.mark.parametrize(
    ("theme", "width", "rules"), [("light", WIDTHS[0], ()), ("light", WIDTHS[1], LAYOUT), ("dark", WIDTHS[2], ())]
)
def test_it_can_be_read_by_everyone_on_pages_of_any_width(
    page: LabPage, theme: str, width: int, rules: tuple[str, ...]
) -> None:
    assert look(page, theme, width, rules=rules) == []


def test_each_is_read_without_its_kernel(lab: Lab, page: LabPage) -> None:
    page.resize(page.width)
    for name in list(READ_AGAIN)[:6]:
        expect(page.output(FACES[name]).locator(".sf-kept")).to_be_hidden()
        expect(page.output(FACES[name]).locator(".jupyter-widgets").first).to_be_visible()
    page = lab.reopen(page, "faces.ipynb")
    for name, told in READ_AGAIN.items():
        output = page.output(FACES[name].splitlines()[0])
        expect(output.get_by_text(told).filter(visible=True).first, name).to_be_visible()
    for trouble in ("Error displaying widget", "Loading widget"):
        expect(page.output("").get_by_text(trouble).filter(visible=True)).to_have_count(0)
    from nbconvert import HTMLExporter

    saved = lab.saved("faces.ipynb")
    for cell in saved.cells:
        assert len(json.dumps(cell.outputs)) < _MOST, f"the notebook grows by {cell.source}"
    exported, _ = HTMLExporter().from_notebook_node(saved)
    assert all(told in exported for told in READ_AGAIN.values())
