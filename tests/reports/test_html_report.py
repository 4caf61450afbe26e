"""The report of a job: one file with everything in it, and nothing that is nobody's business."""

from __future__ import annotations

import json
import platform
import re
from typing import TYPE_CHECKING

import pytest
from chart_jobs import LONG, outside

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.events import JobCreated, JobState, LMCall, StateChanged, Trial, Warned
from skillfleet_nb.security import Redactor
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "<script>document.title = 'taken'</script>"
SHAPED = "sk-proj-Abcdef0123456789Abcdef"


def body(page: Path) -> str:
    """The page without its script."""
    return page.read_text("utf-8").rpartition("\n<script>")[0]


@pytest.fixture(scope="module")
def report(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> str:
    page = tmp_path_factory.mktemp("report") / "report.html"
    assert fleet.reports.export(["mipro", fleet.job(LONG), "nothing yet"], page) == page
    assert outside(page.read_text("utf-8")) == []
    return body(page)


def test_a_report_tells_everything_of_each_job(fleet: Fleet, report: str) -> None:
    assert "<h1>Report of 3 jobs</h1>" in report
    for job in (fleet.job("mipro"), fleet.job(LONG)):
        assert job.result().summary.split("(")[0] in report, "the verdict"
        assert f"id='{job.id}'" in report
        for kind in ("convergence", "outcomes", "scores", "lineage", "difficulty", "costs", "latency"):
            assert f"data-chart='{job.id}-{kind}'" in report
    for heading in ("Side by side", "What changed in the prompts", "Trials", "Failures", "Set-up", "Environment"):
        assert f">{heading}</h" in report
    trials = fleet.trials(fleet.job("mipro").id)
    assert f"{len(trials)} trials" in report
    assert platform.python_version() in report
    assert ">skillfleet-nb<" in report
    assert re.search(r">seed</th><td[^>]*>3<", report)
    assert "num_candidates" in report, "parameters of the optimizer"


def test_its_charts_are_pictures_first_and_their_data_is_sound(report: str) -> None:
    figures = re.findall(r"<figure .*?</figure>", report, flags=re.DOTALL)
    assert len(figures) == 3 + 2 * 7
    for figure in figures:
        assert "<svg" in figure
        (spec,) = re.findall(r"<script type='application/json'>(.*?)</script>", figure, flags=re.DOTALL)
        assert json.loads(spec)["$schema"].endswith("v5.json")


def test_of_a_job_without_anything_it_says_so(report: str) -> None:
    section = report.partition("id='nothing-yet'")[2]
    for said in ("No learning curve yet", "No candidate has been scored yet", "has no scored program yet", "None."):
        assert said in section
    assert "<figure" not in section


@pytest.fixture
def troubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A job whose model failed, and repeated two keys as it did."""
    monkeypatch.setenv("MY_API_KEY", 'hush"&hush-123')
    home = Home.find(tmp_path / "home")
    with Journal(home, "troubled") as journal:
        created = {"optimizer": "gepa", "program": HOSTILE, "metric": "m", "engine": "thread", "seed": 0}
        journal.append(JobCreated(name=HOSTILE, spec={"program": HOSTILE, "seed": 1, "cached": True}, **created))
        journal.append(StateChanged(state=JobState.RUNNING))
        call = {"model": "openai/gpt", "role": "task", "cached": False}
        for number in range(3):
            error = f'AuthError: refused hush"&hush-123 and {SHAPED}'
            journal.append(LMCall(call_id=f"c{number}", error=error, **call))
        scores = (("a", None, None), ("b", 1.0, None))
        journal.append(Trial(trial=0, split="val", full_eval=True, n_examples=2, score=0.5, scores=scores))
        journal.append(Warned(text=f"a note {HOSTILE}"))
        journal.append(StateChanged(state=JobState.FAILED, error=f"broken by {SHAPED}"))
    return Fleet(tmp_path / "home")


def test_failures_are_told_and_keys_are_not(troubled: Fleet, tmp_path: Path) -> None:
    told = body(troubled.reports.export(HOSTILE, tmp_path / "r.html"))
    assert "AuthError: refused [key] and [key]" in told
    assert "broken by [key]" in told
    assert re.search(r"Examples on which a candidate failed.*?>val<.*?>1<", told, flags=re.DOTALL)
    assert "hush" not in told
    assert SHAPED not in told
    assert HOSTILE not in told, "what a person or a model wrote is text"
    assert "&lt;script&gt;" in told
    assert re.search(r">seed</th><td[^>]*>1<", told)


def test_a_key_is_hidden_and_what_only_looks_alike_is_not() -> None:
    redactor = Redactor()
    assert redactor.text(f"{SHAPED} ghp_{'a1' * 20} Bearer {'x' * 20}") == "[key] [key] Bearer [key]"
    for harmless in ("task-sk", "a risk-based approach-to-prompting-models", "https://host/path@v1", "bearer of news"):
        assert redactor.text(harmless) == harmless


def test_what_cannot_be_written_is_one_line(fleet: Fleet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"name it report\.html"):
        fleet.reports.export("mipro", tmp_path / "report.pdf")
    with pytest.raises(InputError, match="no such folder"):
        fleet.reports.export("mipro", tmp_path / "none" / "report.html")
    with pytest.raises(InputError, match="name one or more"):
        fleet.reports.export([], tmp_path / "report.html")
    with pytest.raises(NotFoundError, match="did you mean 'mipro'"):
        fleet.reports.export("mipr", tmp_path / "report.html")
