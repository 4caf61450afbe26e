"""Registered programs in a real page: the list, the timeline, evidence, promotion, refusal and rollback."""

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
import dspy
import skillfleet_nb as sf
from typing import Literal
from skillfleet_nb.data.bundled import bundled
dspy.configure(lm=sf.offline_lm())
rows = bundled("intents")
names = tuple(sorted({r["intent"] for r in rows}))[:4]
examples = [dspy.Example(**r).with_inputs("text") for r in rows if r["intent"] in names][:60]
program = dspy.Predict(dspy.Signature(
    {"text": (str, dspy.InputField()), "intent": (Literal[names], dspy.OutputField())}, "Classify the message."))
def metric(example, pred, trace=None):
    return example.intent == pred.intent
fleet = sf.Fleet()
for k in (1, 4, 12):
    fleet.optimize(program, train=examples[:24], val=examples[24:36], test=examples[36:], metric=metric,
                   optimizer="labeled_fewshot", params={"k": k}, name=f"few-{k}", seed=k).result()
guess = program.deepcopy()
guess.signature = guess.signature.with_instructions("Guess.")
fleet.register("few-12", "support-intents")
fleet.register("few-4", "support-intents", note="after the March data")
fleet.register(guess, "support-intents", note="a guess, <b>to see</b> how low it gets")
fleet.register("few-1", "a-rather-long-name-for-a-program-that-classifies-help-desk-messages-by-intent")
fleet.alias("support-intents", "production", 1)
fleet.alias("support-intents", "an-alias-with-a-rather-long-name", 2)
live = fleet.live("support-intents@production", record=1.0)
answer = live(text=examples[0].text)
live.close()"""
LIST = "%skillfleet programs"
SHOW = "%skillfleet program show support-intents@2"
MODULES = "%skillfleet modules list"
MODULE = "%skillfleet modules info resilient --with-versions"
DIFF = "%skillfleet program diff support-intents@1 support-intents@2"
EMPTY = "# nothing yet\n%skillfleet programs --home nothing-yet"
UNKNOWN = "%skillfleet program show suport-intents"


@pytest.fixture(scope="module")
def page(lab: Lab) -> LabPage:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(cell) for cell in (SET_UP, LIST, SHOW, MODULES, MODULE, DIFF, EMPTY)]
    cells.append(nbformat.v4.new_code_cell(UNKNOWN, metadata={"tags": ["raises-exception"]}))
    page = lab.open(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), "registry.ipynb")
    page.run_all()
    return page


def test_names_are_listed_with_where_they_are_used(page: LabPage) -> None:
    output = page.output(LIST)
    expect(output.get_by_role("button", name="support-intents", exact=True)).to_be_visible()
    expect(output.get_by_text("about 1 live answer").first).to_be_visible()
    expect(page.output("# nothing yet").get_by_text("no program is registered yet").first).to_be_visible()
    expect(page.output(UNKNOWN).get_by_text("did you mean 'support-intents'?")).to_be_visible()
    expect(page.output(MODULES).get_by_text("resilient").first).to_be_visible()
    assert page.outside == []


def test_versions_are_found_in_the_timeline_with_their_evidence(page: LabPage) -> None:
    output = page.output(LIST)
    output.get_by_label("find registered programs by name").fill("support")
    expect(output.get_by_text("1 name", exact=True)).to_be_visible()
    output.get_by_role("button", name="support-intents", exact=True).click()
    expect(output.get_by_text("version 3", exact=True)).to_be_visible()
    expect(output.get_by_text("version 3 was not scored on a test split").first).to_be_visible()
    output.locator("g[data-version='3']").focus()
    output.locator("g[data-version='3']").press("ArrowLeft")
    output.locator("g[data-version='2']").press("Enter")
    expect(output.get_by_text("version 2", exact=True)).to_be_visible()
    expect(output.locator("g[data-version='2']")).to_be_focused()
    expect(output.get_by_text("version 1 to 2:").first).to_be_visible()


def test_a_version_is_promoted_refused_forced_and_rolled_back(page: LabPage) -> None:
    output = page.output(LIST)
    output.get_by_role("button", name="Promote…").click()
    output.get_by_label("alias", exact=True).select_option("production")
    output.get_by_role("button", name="Promote to production").click()
    expect(output.get_by_text("support-intents@production is version 2: version 1 to 2")).to_be_visible()
    expect(output.get_by_role("button", name="production → 2")).to_be_visible()

    output.locator("g[data-version='3']").click()
    output.get_by_role("button", name="Promote…").click()
    output.get_by_label("alias", exact=True).select_option("production")
    forced = output.get_by_role("button", name="Promote to production against the evidence")
    expect(forced).to_be_disabled()
    output.get_by_label("It is refused, unless you say why").fill("a drill")
    forced.click()
    expect(output.get_by_role("button", name="production → 3")).to_be_visible()

    output.get_by_role("button", name="Roll back production…").click()
    expect(output.get_by_label("version", exact=True)).to_have_value("2")
    output.get_by_role("button", name="Roll back to 2").click()
    expect(output.get_by_text("support-intents@production is version 2 again, after 3")).to_be_visible()

    other = page.output(SHOW)  # drawn before
    other.get_by_role("button", name="Refresh").click()
    expect(other.get_by_role("button", name="production → 2")).to_be_visible()
    assert page.violations(".sf-registry") == []
