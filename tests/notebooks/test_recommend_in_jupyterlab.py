"""The recommendation's card in a real page: sliders, table, chart, running what is recommended."""

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
import dspy
import skillfleet_nb as sf
from typing import Literal
from skillfleet_nb.data.bundled import bundled
lm = sf.offline_lm(usd_per_1k_tokens=0.01)
dspy.configure(lm=lm)
rows = bundled("intents")[:120]
train = [dspy.Example(**r).with_inputs("text") for r in rows]
labels = tuple(sorted({r["intent"] for r in rows}))
program = dspy.Predict(dspy.Signature(
    {"text": (str, dspy.InputField()), "intent": (Literal[labels], dspy.OutputField())}, "Classify the message."))
def metric(example, pred, trace=None):
    return example.intent == pred.intent"""
RECOMMEND = "%skillfleet recommend program --train train --metric metric --budget 2 -o advice"
HEADROOM = "%skillfleet headroom program --train train --metric metric -n 12"
REFUSED = "%skillfleet recommend program --train train --metric metric --budget 0.01"
REPORT = "%skillfleet selector report"


@pytest.fixture(scope="module")
def page(lab: Lab) -> LabPage:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(cell) for cell in (SET_UP, RECOMMEND, HEADROOM, REPORT)]
    cells.append(nbformat.v4.new_code_cell(REFUSED, metadata={"tags": ["raises-exception"]}))
    page = lab.open(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), "recommend.ipynb")
    page.run_all()
    return page


def test_the_card_shows_what_is_recommended_and_why(page: LabPage) -> None:
    output = page.output(RECOMMEND)
    expect(output.get_by_text("expected score").first).to_be_visible()
    expect(output.get_by_role("button", name="Run this")).to_be_enabled()
    expect(output.locator("svg[aria-label^='cost against']")).to_be_visible()
    expect(output.get_by_text("Everything compared")).to_be_visible()
    for name in ("budget", "time", "quality target"):
        expect(output.get_by_role("slider", name=name)).to_be_visible()
    assert page.violations(".sf-recommend") == []
    assert page.outside == []


def test_headroom_and_report_are_tables(page: LabPage) -> None:
    expect(page.output(HEADROOM).get_by_text("worth trying").first).to_be_visible()
    expect(page.output(REPORT).get_by_text("Advice so far")).to_be_visible()


def test_a_budget_that_is_too_small_is_one_line(page: LabPage) -> None:
    output = page.output(REFUSED)
    expect(output.get_by_text("the smallest budget that will do is $")).to_be_visible()
    expect(output.get_by_text("Traceback")).not_to_be_visible()


def test_a_slider_changes_everything_and_running_is_recorded(page: LabPage) -> None:
    page.theme("light")
    output = page.output(RECOMMEND)
    before = output.get_by_role("combobox").filter(has_text="(recommended)").input_value()
    handle = output.locator(".noUi-handle, .jupyter-widgets [role=slider]").first
    handle.focus()
    handle.press("End")
    expect(output.get_by_text("no limit").first).to_be_visible()
    shown = output.get_by_role("combobox").filter(has_text="(recommended)")
    expect(shown).not_to_have_value(before)
    shown.select_option(label="labeled_fewshot")
    output.get_by_role("button", name="Run instead").click()
    expect(output.get_by_text("runs: %skillfleet watch")).to_be_visible()
    assert page.screenshots("recommend-started")
