"""A notebook that is opened again on the next day: each view is read, though no kernel knows its widgets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

if TYPE_CHECKING:
    from jupyterlab_page import Lab

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
given = dict(train=rows, metric=metric, seed=7, optimizer="labeled_fewshot")
fleet.optimize(program, name="few", **given).result()
fleet.optimize(program, name="two", **given).result();"""
VIEWS = {
    "%skillfleet compare few two": "Scores and cost",
    "%skillfleet program show few": "instructions",
    "%skillfleet programs few": "2 programs of few",
    "%skillfleet dashboard": "2 jobs",
    "%skillfleet trainset analyze rows": "Training set",
    "%skillfleet recommend program --train rows --metric metric --budget 1": "confidence",
    "fleet.job('few').monitor()": "sealed test",
}
_MOST = 300_000  # bytes


def test_each_view_is_read_without_its_kernel(lab: Lab) -> None:
    cells = [nbformat.v4.new_code_cell(cell) for cell in (SET_UP, *VIEWS)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    page = lab.open(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), "next-day.ipynb")
    page.run_all()
    assert page.errors() == []
    for cell in list(VIEWS)[:-1]:
        expect(page.output(cell).locator(".sf-kept")).to_be_hidden()
        expect(page.output(cell).locator(".jupyter-widgets").first).to_be_visible()
    page = lab.reopen(page, "next-day.ipynb")
    for cell, told in VIEWS.items():
        expect(page.output(cell).get_by_text(told).first).to_be_visible()
        for trouble in ("Error displaying widget", "Loading widget"):
            expect(page.output(cell).get_by_text(trouble).filter(visible=True)).to_have_count(0)
    page.screenshots("next-day")
    saved = lab.saved("next-day.ipynb")
    for cell in saved.cells:
        assert len(json.dumps(cell.outputs)) < _MOST, f"the notebook grows by {cell.source}"
    exported, _ = HTMLExporter().from_notebook_node(saved)
    assert all(told in exported for told in VIEWS.values())
