"""The dashboard without a page: whatever can be clicked is a method."""

from __future__ import annotations

import socket
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from chart_jobs import LONG

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.commands import dashboard as command
from skillfleet_nb.commands.views import RunHistory
from skillfleet_nb.errors import NotFoundError
from skillfleet_nb.widgets import Dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def view(fleet: Fleet) -> Iterator[Dashboard]:
    view = Dashboard(fleet)
    yield view
    view.close()


def shown(view: Dashboard) -> list[str]:
    return [row["name"] for row in view.table.rows]


def test_it_lists_every_run_with_charts(view: Dashboard, fleet: Fleet) -> None:
    assert view.table.told == "3 of 3 jobs"
    assert set(shown(view)) >= {"mipro", "nothing yet"}
    assert all(isinstance(value, str) for row in view.table.rows for value in row.values())
    assert "Score against cost of 2 jobs" in view._pareto.value
    assert "Learning curves of 3 jobs" in view._curves.value
    bundle, _ = view._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"} <= set(bundle)
    assert bundle["text/html"].count("<svg") == 2
    assert "mipro" in bundle["text/plain"]
    assert "mipro" in str(RunHistory(fleet))


def test_filters_choices_and_the_charts_go_together(view: Dashboard) -> None:
    view.filter(optimizer="miprov2")
    assert shown(view) == ["mipro"]
    assert view.table.told == "1 of 3 jobs"
    assert "Learning curve of mipro" in view._curves.value
    view.filter(optimizer=None, text="NOTHING")
    assert shown(view) == ["nothing yet"]
    view.filter(text=None, since=date(2020, 1, 1), until=date(2020, 1, 2))
    assert shown(view) == []
    assert view._curves.value == view._pareto.value == ""
    view.filter(since=None, until=None)
    assert len(shown(view)) == 3
    with pytest.raises(NotFoundError, match="Allowed: "):
        view.filter(optimizer="gap")
    with pytest.raises(NotFoundError, match="did you mean 'state'"):
        view.filter(stat="completed")
    assert len(shown(view)) == 3


def test_ticked_runs_are_compared_and_an_opened_one_has_a_page(view: Dashboard, fleet: Fleet) -> None:
    view.compare(["mipro", LONG])
    assert "Learning curves of 2 jobs" in view._curves.value
    view.open("mipro")
    assert "verdict" in view._detail.value
    assert view._listing.layout.display == "none"
    view.open(None)
    assert view._listing.layout.display is None
    view._clicked(None, {"open": fleet.job("mipro").id}, [])
    assert view._page_of_one.layout.display is None
    view._clicked(None, {"open": "no-such-job"}, [])
    assert "unknown job" in view._problem.value, "a page that lags behind is told in words"


def test_of_an_empty_home_it_says_what_to_do(tmp_path: Path) -> None:
    view = Dashboard(Fleet(tmp_path / "home"))
    assert view.table.told.startswith("no jobs yet")
    assert view._follower is None, "nothing runs, so nothing is looked for"


def test_from_a_shell_what_cannot_be_served_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["dashboard", "--port", port, "--no-browser", "--home", str(tmp_path)]) == 2
        assert "give another" in capsys.readouterr().err

    def absent(name: str) -> Any:
        return None

    monkeypatch.setattr(command, "find_spec", absent)
    assert main(["dashboard", "--home", str(tmp_path)]) == 2
    assert "skillfleet-nb[dashboard]" in capsys.readouterr().err


def test_what_a_browser_is_started_with_does_not_hold_the_token(tmp_path: Path) -> None:
    door = command._door(tmp_path, "http://127.0.0.1:1/?token=abc")
    assert "abc" not in door
    assert "url=http://127.0.0.1:1/?token=abc" in (tmp_path / "open.html").read_text()
