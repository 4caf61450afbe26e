"""The job card in a real page: one for each way to a job, live, its buttons asking before they replace anything."""

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
from skillfleet_nb.data.bundled import bundled
lm, slow = sf.offline_lm(), sf.offline_lm(latency_s=0.1)
train = bundled("intents")[:120]
program = dspy.Predict("text -> intent")
metric = lambda example, pred, trace=None: example.intent == pred.intent"""
TASK = "optimize program --train train --metric metric"


DEMOS = f"%skillfleet {TASK} --optimizer labeled_fewshot --lm lm --name demos"
INTENTS = f"%skillfleet {TASK} --optimizer labeled_fewshot --set k=8 --seed 3 --lm lm --name intents"
BEHIND = (
    f"%skillfleet {TASK} --optimizer bootstrap_random_search --lm slow --threads 1 "
    "--set num_candidate_programs=400 --no-wait --name behind"
)
CELLS = (SET_UP, "intents_best = 42", DEMOS, INTENTS, "%skillfleet job intents", BEHIND)


def notebook(*cells: str) -> nbformat.NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
    )


@pytest.fixture(scope="module")
def page(lab: Lab) -> LabPage:
    """One notebook of which each test runs its own cells: a page and a kernel take most of the time."""
    page = lab.open(notebook(*CELLS), "card.ipynb")
    page.run_cell(0)
    return page


def test_one_card_tells_what_a_job_came_to_and_does_what_is_next(page: LabPage) -> None:
    for at in range(1, CELLS.index(BEHIND)):
        page.run_cell(at)
    card = page.output(INTENTS).get_by_role("region", name="monitor of job intents")
    expect(card).to_have_count(1)
    expect(card.get_by_role("img", name=re.compile("95% interval"))).to_be_visible()
    expect(card.get_by_role("region", name="what changed in the prompts")).to_be_visible()
    expect(card.get_by_text(re.compile(r"\d examples? it still fails on"))).to_be_visible()
    use = card.get_by_role("button", name="Use as intents_best")
    expect(use).to_have_attribute("title", "%skillfleet program show intents -o intents_best")
    use.focus()
    use.press("Enter")
    expect(card.get_by_text("intents_best has a value already: press the button again")).to_be_visible()
    card.get_by_role("button", name="Replace it").press("Enter")
    expect(card.get_by_text("intents_best is the best program of intents")).to_be_visible()
    card.get_by_role("button", name="Register as intents").click()
    expect(card.get_by_text("registered intents@1")).to_be_visible()
    assert page.violations(".sf-monitor") == []
    card.get_by_role("button", name="Compare with demos").click()
    expect(card.get_by_role("region", name="Scores and cost")).to_be_visible()
    page.resize(480)
    box = card.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 480, "with its answer"
    page.screenshots("card-480", 480)
    page.resize(page.width)
    assert page.errors() == []
    assert page.outside == []


def test_a_job_in_the_background_has_the_same_card_live_and_a_stopped_one_is_tested(page: LabPage) -> None:
    page.run_cell(CELLS.index(BEHIND))
    card = page.output(BEHIND).get_by_role("region", name="monitor of job behind")
    expect(card.get_by_role("group", name=re.compile("learning curve: [1-9]"))).to_be_visible()
    card.get_by_role("button", name="Stop and keep best").click()
    expect(card.get_by_text("cancelled, best of")).to_be_visible()
    card.get_by_role("button", name="Test now").click()
    expect(card.get_by_text("behind-test is done:")).to_be_visible()
    page.screenshots("card-tested")
    expect(card.get_by_role("button", name="Resume")).to_be_enabled()
    assert page.errors() == []
