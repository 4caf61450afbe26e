"""The run monitor in a real page: it grows live, hears clicks while its cell runs, and leaves a still."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyterlab_page import Lab, LabPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SET_UP = """\
%load_ext skillfleet_nb
import dspy, skillfleet_nb as sf
from skillfleet_nb.data.bundled import bundled
slow = sf.offline_lm(latency_s=0.1)
train = bundled("intents")[:120]
program = dspy.Predict("text -> intent")
metric = lambda example, pred, trace=None: example.intent == pred.intent"""
# It would take a minute: the page has all the time to show it at work.
OPTIMIZE = (
    "%skillfleet optimize program --train train --metric metric --optimizer bootstrap_random_search "
    "--lm slow --threads 1 --set num_candidate_programs=400 --max-minutes 15"
)
"""Longer than any test takes: each stops it by a click or an interrupt."""
GROWS = f"{OPTIMIZE} --name grows --target 0.9 --max-calls 5000"
HELD = f"{OPTIMIZE} --name held"
AGAIN = f"{OPTIMIZE} --name again --no-wait -o job"
# What a busy machine does to a page: no frame comes, and whoever waits for a time at most has waited too long at once.
BUSY = """() => {
    window.requestAnimationFrame = () => 0;
    AbortSignal.timeout = () => {
        const controller = new AbortController();
        queueMicrotask(() => controller.abort());
        return controller.signal;
    };
}"""
CELLS = (SET_UP, GROWS, HELD, AGAIN, "job.monitor()")


def notebook(*cells: str) -> nbformat.NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
    )


@pytest.fixture(scope="module")
def opened(lab: Lab) -> LabPage:
    """One notebook of which each test runs its own cells: a page and a kernel take most of the time."""
    page = lab.open(notebook(*CELLS), "monitor.ipynb")
    page.run_cell(0)
    return page


@pytest.fixture
def page(opened: LabPage) -> Iterator[LabPage]:
    """The notebook, with a kernel that is free: a test that failed leaves a cell that would run on."""
    yield opened
    opened.interrupt()
    opened.await_kernel()


def points(page: LabPage) -> int:
    """Count the circles and diamonds of the curve."""
    drawn = page.output(GROWS).locator(".sf-monitor figure > svg")
    return sum((drawn.locator(f"path.sf-{kind}").get_attribute("d") or "").count("z") for kind in ("full", "part"))


def test_the_curve_grows_and_stop_keeps_the_best_while_the_cell_runs(page: LabPage) -> None:
    page.run_cell(CELLS.index(GROWS))
    monitor = page.output(GROWS).get_by_role("region", name="monitor of job grows")
    curve = monitor.get_by_role("group", name=re.compile(r"learning curve: ([2-9]|\d\d+) trials"))
    expect(curve).to_be_visible()
    assert points(page) >= 3
    expect(monitor.get_by_role("progressbar", name="calls", exact=True)).to_be_visible()
    curve.focus()
    curve.press("End")
    expect(monitor.get_by_text(re.compile(r"trial \d+: \d+\.\d on (all of|a part)"))).to_be_visible()
    for theme in ("dark", "light"):
        page.theme(theme)
        assert page.violations(".sf-monitor") == []
        page.screenshots(f"monitor-{theme}")
    page.resize(420)
    expect(monitor.get_by_role("button", name="Stop and keep best")).to_be_visible()
    box = monitor.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 420
    monitor.get_by_role("button", name="Stop and keep best").click()
    expect(monitor.get_by_text("cancelled, best of")).to_be_visible()
    page.await_kernel()
    page.resize(page.width)
    expect(monitor).to_have_count(1)
    expect(monitor.get_by_text("cancelled, best of")).to_be_visible()
    expect(monitor.get_by_role("img", name=re.compile("learning curve"))).to_be_visible()
    expect(monitor.get_by_role("button", name="Test now")).to_be_visible()
    page.screenshots("monitor-stopped")
    assert page.errors() == []
    assert page.outside == []


def test_a_waiting_cell_pauses_goes_on_and_is_interrupted(page: LabPage) -> None:
    page.run_cell(CELLS.index(HELD))
    monitor = page.output(HELD).get_by_role("region", name="monitor of job held")
    expect(monitor.get_by_text("searching with")).to_be_visible()
    monitor.get_by_role("button", name="Pause").press("Enter")
    expect(monitor.get_by_text(re.compile(r"\d s, paused"))).to_be_visible()
    page.screenshots("monitor-paused")
    monitor.get_by_role("button", name="Resume").click()
    expect(monitor.get_by_role("button", name="Pause")).to_be_enabled()
    expect(monitor.get_by_text(re.compile(r"\d s, paused"))).to_have_count(0)
    page.interrupt()
    expect(monitor.get_by_text("cancelled, best of")).to_be_visible()
    page.await_kernel()
    assert page.errors() == []


def test_a_view_comes_back_with_its_page_and_its_clicks_are_heard(page: LabPage) -> None:
    page.evaluate(BUSY)
    for cell in (AGAIN, "job.monitor()"):
        page.run_cell(CELLS.index(cell))
    monitor = page.output("job.monitor()").get_by_role("region", name="monitor of job again")
    expect(monitor.get_by_text("searching with")).to_be_visible()
    page.save()
    page.reload()
    expect(monitor.get_by_text("searching with")).to_be_visible()
    monitor.get_by_role("button", name="Stop and keep best").click()
    expect(monitor.get_by_text("cancelled, best of")).to_be_visible()
    assert page.errors() == []


def test_a_job_is_watched_again_after_a_restart_and_from_a_second_notebook(lab: Lab) -> None:
    watch = "%skillfleet watch far"
    first = lab.open(notebook(SET_UP, f"{OPTIMIZE} --name far --detach", watch), "first.ipynb")
    first.start_all()
    monitor = first.output(watch).get_by_role("region", name="monitor of job far")
    expect(monitor.get_by_text("searching with")).to_be_visible()
    first.save()
    first.restart()
    expect(monitor.get_by_text("searching with")).to_be_visible()  # as it was last
    first.reload()
    expect(first.output(watch).get_by_text("the state when this was kept")).to_be_visible()
    first.run_cell(0)
    first.run_cell(2)
    expect(monitor.get_by_text("searching with")).to_be_visible()
    second = lab.open(notebook(SET_UP, watch), "second.ipynb")
    second.start_all()
    other = second.output(watch).get_by_role("region", name="monitor of job far")
    other.get_by_role("button", name="Stop and keep best").click()
    for card in (monitor, other):
        expect(card.get_by_text("cancelled, best of")).to_be_visible()
