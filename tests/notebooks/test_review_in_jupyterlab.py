"""A run that asks, in a real page: the cell ends, the question is read and answered by button and by keyboard."""

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
from typing import Literal
import dspy, skillfleet_nb as sf
from skillfleet_nb.data.bundled import bundled
dspy.configure(lm=sf.offline_lm(usd_per_1k_tokens=1.0, name="paid-for"))
rows = bundled("intents")[:120]
labels = tuple(sorted({r["intent"] for r in rows}))
fields = {"text": (str, dspy.InputField()), "intent": (Literal[labels], dspy.OutputField())}
program = dspy.Predict(dspy.Signature(fields, "Classify the message by intent."))
metric = lambda example, pred, trace=None: example.intent == pred.intent"""
OPTIMIZE = (
    "%skillfleet optimize program --train rows --metric metric --optimizer infer_rules --set num_candidates=2 "
    "--seed 3 --review cost=3 --review accept --name asks"
)
PANEL = "%skillfleet answer asks"


@pytest.fixture(scope="module")
def page(lab: Lab) -> LabPage:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(cell) for cell in (SET_UP, OPTIMIZE, PANEL)]
    page = lab.open(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), "asks.ipynb")
    page.run_all()  # which ends, though the job has not
    return page


def test_a_question_is_answered_by_button_and_by_keyboard(page: LabPage) -> None:
    monitor, panel = page.output(OPTIMIZE[:40]), page.output(PANEL)
    asked = monitor.get_by_role("group", name="the job asks")
    expect(asked.get_by_text("The next call may take the cost beyond $3.00. Go on?")).to_be_visible()
    for theme in ("light", "dark"):
        page.theme(theme)
        assert page.screenshots(f"review-cost-{theme}")
    panel.get_by_role("button", name="Revise").click()
    expect(panel.get_by_role("status")).to_contain_text("name the new limit in USD")
    panel.get_by_role("button", name="Proceed").click()
    expect(panel.get_by_role("status")).to_contain_text("proceed: %skillfleet watch asks")

    expect(asked.get_by_text("Accept this program?", exact=True)).to_be_visible()
    box = asked.get_by_role("textbox")
    page.screenshots("review-accept")
    box.fill("Name what the sender wants done.")
    asked.get_by_role("button", name="Proceed").click()
    expect(monitor.get_by_text("You changed the text")).to_be_visible()
    revise = asked.get_by_role("button", name="Revise")
    revise.focus()
    revise.press("Enter")
    expect(asked.get_by_text("Accept this version of the program?")).to_be_visible()
    expect(asked.get_by_role("textbox")).to_have_value("Name what the sender wants done.")
    expect(asked.locator("ins").filter(has_text="sender").first).to_be_visible()
    asked.get_by_role("button", name="Proceed").press("Enter")
    expect(monitor.get_by_text("completed", exact=False).first).to_be_visible()
    expect(asked).to_be_hidden()
    assert page.errors() == []
    assert page.outside == []
