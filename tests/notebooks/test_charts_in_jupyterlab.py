"""Every chart in a real page: drawn by JupyterLab itself, offline, light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import expect

from skillfleet_nb.charts import kinds

if TYPE_CHECKING:
    from jupyterlab_page import Lab, LabPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SET_UP = """\
%load_ext skillfleet_nb
%skillfleet demo --optimizer bootstrap_random_search --home charts"""
PLOTS = {kind: f"%skillfleet plot {kind} demo --home charts" for kind in kinds()}


@pytest.fixture(scope="module")
def page(lab: Lab) -> LabPage:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(cell) for cell in (SET_UP, *PLOTS.values())]
    page = lab.open(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), "charts.ipynb")
    page.run_all()
    return page


def test_every_chart_is_drawn_by_jupyterlab_offline(page: LabPage) -> None:
    assert page.errors() == []
    for kind, cell in PLOTS.items():
        chart = page.output(cell).locator(".jp-RenderedVegaCommon5 svg.marks")
        expect(chart, kind).to_be_visible()
        expect(chart.locator("path, text").first, kind).to_be_attached()
    assert page.outside == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_charts_are_kept_as_pictures(page: LabPage, theme: str) -> None:
    page.theme(theme)
    assert page.screenshots(f"charts-{theme}")
