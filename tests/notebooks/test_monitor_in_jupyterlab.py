"""The run monitor in a real page: it grows live, hears clicks while its cell runs, and leaves a still."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from jupyterlab_page import Lab, LabPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SET_UP = """\
%load_ext skillfleet_nb
import dspy, skillfleet_nb as sf
from skillfleet_nb.trainset.bundled import bundled
slow = sf.offline_lm(latency_s=0.1)
train = bundled("intents")[:120]
program = dspy.Predict("text -> intent")
metric = lambda example, pred, trace=None: example.intent == pred.intent"""
# It would take a minute: the page has all the time to show it at work.
OPTIMIZE = (
    "%skillfleet optimize program --train train --metric metric --optimizer bootstrap_random_search "
    "--lm slow --threads 1"
)


def notebook(*cells: str) -> nbformat.NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
    )


def points(page: LabPage) -> int:
    """Count the circles and diamonds of the curve."""
    drawn = page.output(OPTIMIZE).locator(".sf-monitor figure > svg")
    return sum((drawn.locator(f"path.sf-{kind}").get_attribute("d") or "").count("z") for kind in ("full", "part"))


def test_the_curve_grows_and_stop_keeps_the_best_while_the_cell_runs(lab: Lab) -> None:
    page = lab.open(notebook(SET_UP, f"{OPTIMIZE} --name grows"), "monitor.ipynb")
    page.start_all()
    monitor = page.output(OPTIMIZE).get_by_role("region", name="monitor of job grows")
    curve = monitor.get_by_role("group", name=re.compile(r"learning curve: ([2-9]|\d\d) trials"))
    expect(curve).to_be_visible()
    assert points(page) >= 3
    page.screenshots("monitor-running")
    monitor.get_by_role("button", name="Stop and keep best").click()
    page.await_idle()
    output = page.output(OPTIMIZE).first
    expect(output.get_by_text("cancelled, best of")).to_be_visible()
    expect(monitor).to_have_count(0)
    expect(output.get_by_role("img", name=re.compile("learning curve"))).to_be_visible()
    expect(output.get_by_role("cell", name="cancelled", exact=True)).to_be_visible()
    page.screenshots("monitor-stopped")
    assert page.errors() == []
    assert page.outside == []
