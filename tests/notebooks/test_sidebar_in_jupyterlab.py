"""Jobs beside the notebooks of a real JupyterLab: the list, the monitor in a tab, the cost in the status bar."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import nbformat
import pytest
from jupyterlab_page import LABEXTENSIONS
from playwright.sync_api import expect

from skillfleet_nb.events import JobCreated, JobState, LMCall, Result, StateChanged, Trial
from skillfleet_nb.store import Home, Journal

pytestmark = [pytest.mark.browser, pytest.mark.slow]

if TYPE_CHECKING:
    from jupyterlab_page import Lab, LabPage

NAME = "a-rather-long-name-for-a-program-that-classifies-help-desk-messages-by-intent"
CREATED = JobCreated(name=NAME, optimizer="gepa", program="p", metric="m", engine="thread", seed=0)


@pytest.fixture(scope="module")
def page(lab: Lab) -> LabPage:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return lab.open(nbformat.v4.new_notebook(metadata={"kernelspec": kernel}), "sidebar.ipynb")


def scored(trial: int, score: float) -> Trial:
    return Trial(trial=trial, split="val", full_eval=True, n_examples=20, score=score, program_id="a")


def call(usd: float) -> LMCall:
    return LMCall(
        model="m", cached=False, input_tokens=900, output_tokens=100, cost_usd=usd, latency_s=0.4, call_id=f"c{usd}",
        role="task", prompt="p", response="r",
    )  # fmt: skip


def test_a_job_is_listed_watched_and_stopped_without_a_kernel(lab: Lab, page: LabPage) -> None:
    home = Home.find(lab.home)
    page.evaluate("() => window.jupyterapp.commands.execute('skillfleet:jobs')")
    job, status = page.part("[data-job='listed-in-lab']"), page.part(".sf-lab-status")
    expect(status).to_contain_text("$")
    spent = float(status.inner_text().partition("$")[2].split()[0])  # by others since the server started
    with Journal(home, "listed-in-lab") as journal:
        journal.append_many([CREATED, StateChanged(state=JobState.RUNNING), call(3.0), scored(0, 0.5), scored(1, 0.6)])
        expect(job).to_contain_text("50.0 → 60.0")
        expect(job).to_contain_text(NAME)
        expect(status).to_contain_text(f"${spent + 3:.2f}")
        expect(status).to_contain_text("1 running")
        job.click()
        monitor = page.part(".sf-lab-monitor")
        expect(monitor.locator(".sf-score")).to_contain_text("best 60.0")
        journal.append_many([scored(2, 0.8), call(0.5)])
        expect(monitor.locator(".sf-score")).to_contain_text("best 80.0")
        expect(status).to_contain_text(f"${spent + 3.5:.2f}")
        monitor.get_by_role("button", name="Stop and keep best").click()
        expect(monitor.get_by_role("button", name="Stop and keep best")).to_be_disabled()
        expect(monitor.locator(".sf-told")).to_be_hidden()  # "Stopping …", until the server has heard it
        assert '"cancel"' in (home.journal_dir("listed-in-lab") / "control.jsonl").read_text("utf-8")
        assert page.violations(".sf-lab-jobs") == page.violations(".sf-lab-monitor") == []
        page.theme("dark")
        assert page.violations(".sf-lab-jobs") == page.violations(".sf-lab-monitor") == []
        journal.append_many([Result(best_score=0.8, summary="fine"), StateChanged(state=JobState.CANCELLED)])
    expect(job).to_contain_text("cancelled")
    expect(monitor).to_contain_text("fine")
    expect(monitor.get_by_role("button", name="Stop and keep best")).to_be_hidden()
    page.theme("light")
    assert page.outside == []


def test_a_server_without_the_routes_is_told_of(page: LabPage) -> None:
    page.evaluate("() => window.jupyterapp.shell.currentWidget.close()")  # the monitor's tab: the notebook is left
    page.answer("**/skillfleet/api/v1/stream", 404)
    page.reload()
    page.evaluate("() => window.jupyterapp.commands.execute('skillfleet:jobs')")
    expect(page.part(".sf-lab-notice").first).to_contain_text("runs without Skillfleet's extension")
    expect(page.part(".sf-lab-status")).to_have_text("Skillfleet –")  # noqa: RUF001  as it is shown


def test_the_extension_is_of_this_version() -> None:
    from importlib.metadata import version

    package = json.loads((LABEXTENSIONS / "skillfleet-nb" / "package.json").read_text("utf-8"))
    assert package["version"] == version("skillfleet-nb")
    assert package["jupyterlab"]["_build"]["load"] == f"static/remoteEntry.js?v={package['version']}"
