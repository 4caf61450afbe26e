"""The card of a skill that is created, in a page: what is known of it, the draft beside its score, the question."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from dashboard_page import THEMES, WIDGET_MODEL
from jupyterlab_page import violations
from playwright.sync_api import expect

from skillfleet_nb import Fleet, Monitor, offline_lm
from skillfleet_nb.events import JobState

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG = "rotate_the_api_keys_of_every_service_of_the_company_without_downtime_and_with_a_record_of_it_2026_11"


def test_the_draft_stands_beside_its_score_and_the_question_repeats_nothing(browser: Browser, tmp_path: Path) -> None:
    task = "Rotate <b>API keys</b> without downtime. Use when a key may have leaked."
    job = Fleet(tmp_path / "home").create_skill(task, root=tmp_path, lm=offline_lm(), review="draft", name=LONG)
    while job.question is None and not job.state.is_finished():
        job.wait(0.1)
    assert job.state is JobState.PENDING_HITL
    monitor = Monitor(job)
    live = monitor._live()
    monitor._send(job.picture())
    page = browser.new_page(viewport={"width": 480, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    style = f"background:#111;{THEMES['dark']}"
    page.set_content(f"<!doctype html><html lang=en><title>x</title><body style='{style}'><main></main></body></html>")
    page.evaluate(WIDGET_MODEL, [{"state": live.state}, str(live._esm), str(live._css)])
    draft, intent = page.locator(".sf-card-draft"), page.locator(".sf-card-intent")
    expect(draft.locator("pre")).to_contain_text("name: ")
    expect(draft.get_by_role("progressbar", name="quality")).to_be_visible()
    expect(draft.locator("li").first).to_be_visible()
    expect(intent.locator("dd").first).to_be_hidden()
    intent.locator("summary").click()
    expect(intent.locator("dd").first).to_contain_text("<b>API keys</b>")
    asked = page.get_by_role("group", name="the job asks")
    expect(asked.get_by_role("button", name="Proceed")).to_be_visible()
    expect(asked.locator("dd")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert violations(page, "main") == []

    later = json.loads(live.state)
    later["n"] += 1
    later["cards"][-1]["findings"] = ["It never says who."]
    page.evaluate("state => kernel.take('state', state)", json.dumps(later))
    expect(draft.get_by_text("It never says who.")).to_be_visible()
    expect(intent.locator("dd").first).to_be_visible()  # what a person opened stays open
    later["n"] += 1
    later["cards"][-1] |= {"text": "", "findings": ["No prompt is recorded."]}
    page.evaluate("state => kernel.take('state', state)", json.dumps(later))
    expect(draft.get_by_text("No prompt is recorded.")).to_be_visible()
    assert errors == []
    page.close()
    job.cancel()
    job.wait()
