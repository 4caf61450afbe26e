"""What a page shows while a job works, and without a server."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import nbformat
import pytest
from jupyterlab_page import ARTIFACTS
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from jupyterlab_page import Lab
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SET_UP = """\
%load_ext skillfleet_nb
import os, tempfile
os.environ["SKILLFLEET_HOME"] = tempfile.mkdtemp()
import dspy, skillfleet_nb as sf
from skillfleet_nb.data.bundled import bundled
dspy.configure(lm=sf.offline_lm())
slow = sf.offline_lm(latency_s=0.6)
train = bundled("intents")[:120]
program = dspy.Predict("text -> intent")
metric = lambda example, pred, trace=None: example.intent == pred.intent"""
OPTIMIZE = "%skillfleet optimize program --train train --metric metric"


def _notebook(*cells: str) -> nbformat.NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
    )


def test_the_bar_moves_while_a_job_works(lab: Lab) -> None:
    # It would take seven minutes: the page has all the time to show it at work.
    optimize = f"{OPTIMIZE} --optimizer bootstrap_random_search --lm slow --threads 1"
    page = lab.open(_notebook(SET_UP, optimize), "working.ipynb")
    page.start_all()
    bar = page.output(OPTIMIZE).get_by_role("progressbar", name="calls expected")
    expect(page.output(OPTIMIZE).get_by_text(re.compile(r"\d (s|min) left"))).to_be_visible()
    expect(bar).to_have_attribute("aria-valuenow", re.compile(r"^[1-9]\d?$"))
    page.screenshots("working")
    page.interrupt()
    page.await_idle()
    expect(page.output(OPTIMIZE).get_by_text(re.compile("^cancelled, best of")).filter(visible=True)).to_have_count(1)
    page.screenshots("cancelled")
    assert page.errors() == []


def test_the_exported_page_shows_the_same_without_a_server(browser: Browser, notebooks: Path, tmp_path: Path) -> None:
    """The committed quickstart, as ``nbconvert`` writes it, opened from disk."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "nbconvert",
            "--to",
            "html",
            "--output-dir",
            str(tmp_path),
            notebooks / "00_quickstart.ipynb",
        ],
        check=True,
        capture_output=True,
    )
    tab = browser.new_page(viewport={"width": 1280, "height": 1600})
    # nbconvert's template asks a CDN for MathJax; nothing of ours may need it.
    tab.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    tab.goto((tmp_path / "00_quickstart.html").as_uri())
    expect(tab.get_by_role("cell", name="improved").first).to_be_visible()
    expect(tab.locator("svg.marks").first).to_be_visible()
    tab.get_by_text("demos added").click()
    expect(tab.locator("ins").filter(has_text="intent:").first).to_be_visible()
    tab.screenshot(path=str(ARTIFACTS / "exported.png"), full_page=True)
    tab.close()
