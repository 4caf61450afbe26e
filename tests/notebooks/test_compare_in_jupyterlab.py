"""The comparison and the program browser in a real page: read, choose, try, use."""

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
import os, tempfile
os.environ["SKILLFLEET_HOME"] = tempfile.mkdtemp()
import dspy, skillfleet_nb as sf
from skillfleet_nb.data.bundled import bundled
dspy.configure(lm=sf.offline_lm())
fleet = sf.Fleet()
rows = bundled("intents")[:120]
program = dspy.Predict("text -> intent")
metric = lambda example, pred, trace=None: example.intent == pred.intent
given = dict(train=rows, metric=metric, seed=7)
fleet.optimize(program, optimizer="labeled_fewshot", name="few", **given).result()
fleet.optimize(program, optimizer="infer_rules", params={"num_candidates": 2},
               name="<img src=x onerror=document.title=7>", **given).result();"""
COMPARE = '%skillfleet compare few "<img src=x onerror=document.title=7>"'
PROGRAM = "%skillfleet program show few"


@pytest.fixture(scope="module")
def page(lab: Lab) -> LabPage:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(cell) for cell in (SET_UP, COMPARE, PROGRAM, "%skillfleet program show fwe")]
    page = lab.open(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), "compare.ipynb")
    page.run_all()
    return page


def test_it_shows_scores_prompts_and_disagreements_offline(page: LabPage) -> None:
    output = page.output(COMPARE)
    for heading in ("Scores and cost", "Set up differently", "Prompts", "They disagree on"):
        expect(output.get_by_text(heading).first).to_be_visible()
    assert page.outside == []
    assert page.title() != "7", "names are text"


def test_what_is_too_wide_scrolls_within_the_page(page: LabPage) -> None:
    for cell in (COMPARE, PROGRAM):
        for box in page.output(cell).locator("table").all():
            if box.is_visible():
                around = box.locator("xpath=..").bounding_box()
                assert around["x"] + around["width"] <= page.width


def test_the_button_puts_the_program_into_a_variable(page: LabPage) -> None:
    output = page.output(COMPARE)
    output.get_by_label("variable").fill("best")
    output.get_by_label("variable").press("Tab")
    output.get_by_role("button", name="Use this program").click()
    expect(output.get_by_text("best is the best program of few")).to_be_visible()


def test_a_program_is_tried_on_one_of_its_examples(page: LabPage) -> None:
    output = page.output(PROGRAM)
    output.get_by_label("example", exact=True).select_option(index=1)
    expect(output.get_by_label("text", exact=True)).not_to_have_value("")
    output.get_by_role("button", name="Try it").click()
    expect(output.get_by_text("skillfleet/offline-1 ·")).to_be_visible()
    output.get_by_label("program", exact=True).select_option(index=0)
    expect(output.get_by_text("few as it was given")).to_be_visible()
    expect(output.get_by_text("skillfleet/offline-1 ·")).not_to_be_visible()


def test_an_unknown_program_is_one_line_with_the_nearest(page: LabPage) -> None:
    told = page.output("%skillfleet program show fwe").inner_text()
    assert told.startswith("UsageError: unknown program 'fwe': did you mean 'few'?")
    assert page.errors() == []
