"""What shows itself on a page: plain HTML for front ends that know neither widgets nor IPython's displays."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

import pytest
from made_up import Data, counted_lm, program, told

import skillfleet_nb
from skillfleet_nb import Fleet
from skillfleet_nb.commands.job_views import JobReport
from skillfleet_nb.commands.views import Note, Parts, Table
from skillfleet_nb.html import Readable
from skillfleet_nb.widgets import Dashboard, Monitor, ProgramBrowser, ReviewPanel
from skillfleet_nb.widgets.monitor import MonitorPage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skillfleet_nb import Job


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    fleet = Fleet(tmp_path_factory.mktemp("faces") / "home")
    lm, _ = counted_lm()
    options: dict[str, Any] = {"metric": told, "lm": lm, "seed": 3, "num_threads": 2, **Data().splits()}
    fleet.optimize(program(), optimizer="labeled_fewshot", name="a <i>", **options).result()
    return fleet


@pytest.fixture(scope="module")
def job(fleet: Fleet) -> Job:
    return fleet.job("a <i>")


def faces(fleet: Fleet, job: Job) -> Iterator[object]:
    yield from (job, JobReport(job, fleet.trials(job.id)), job.diff(), fleet.advice.doctor(), Note("a <i>"))
    yield from (Parts([Note("x"), job]), fleet.programs.of(job.id), fleet.programs.find(job.id))
    yield from (fleet.monitor(job), Dashboard(fleet), ProgramBrowser(fleet.programs.of(job.id)), ReviewPanel(job))


def test_every_face_has_html_that_is_plain_text_and_a_line_for_terminals(fleet: Fleet, job: Job) -> None:
    """marimo takes no subclass of ``str`` for HTML, and shows the ``repr`` of whatever has none."""
    for face in faces(fleet, job):
        page = face._repr_html_()  # type: ignore[attr-defined]
        assert type(page) is str, type(face)
        assert "<i>" not in page, type(face)
        assert "object at 0x" not in repr(face)


def test_days_and_durations_of_sql_are_shown_as_such(fleet: Fleet) -> None:
    query = "select date '2026-03-01' as d, timestamp_ms '2026-03-01 00:00:01' as t, interval 90 seconds as i"
    shown = Table(fleet.sql(f"{query} union all select null, null, null"))
    assert "2026-03-01  2026-03-01 00:00:01  00:01:30" in shown.text()
    assert "<td" in str(shown.html())


def test_what_is_shown_goes_one_way_to_the_page() -> None:
    for module in pkgutil.walk_packages(skillfleet_nb.__path__, "skillfleet_nb."):
        importlib.import_module(module.name)
    waiting, seen = [Readable], set()
    while waiting:
        kind = waiting.pop()
        seen.add(kind)
        waiting += kind.__subclasses__()
        assert kind is Readable or "_repr_html_" not in vars(kind), f"{kind} goes round Readable: define html()"
    assert len(seen) > 25


def test_where_anywidgets_are_known_alone_the_monitor_is_live_until_the_job_is_done(fleet: Fleet) -> None:
    lm, engine = counted_lm()
    options: dict[str, Any] = {"metric": told, "lm": lm, "seed": 3, "num_threads": 2, **Data().splits()}
    running = fleet.optimize(program(), optimizer="labeled_fewshot", name="now", **options)
    monitor = Monitor(running)
    assert isinstance(monitor._display_(), MonitorPage) or running.state.is_finished()
    running.result()
    assert "now" in monitor._display_().data
    assert "labeled_fewshot" in monitor._display_()._repr_html_()
    assert engine.calls
