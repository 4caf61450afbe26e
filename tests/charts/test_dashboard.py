"""The dashboard without a page: whatever can be clicked is a method."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from chart_jobs import LONG

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.commands import dashboard as command
from skillfleet_nb.commands.job_views import RunHistory
from skillfleet_nb.commands.server_process import door
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.widgets import Dashboard
from skillfleet_nb.widgets.job_rows import changed, fits, packed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Page:
    """Stands where a page does: keeps what it is told."""

    def __init__(self, view: Dashboard) -> None:
        self.told: list[tuple[dict[str, Any], Any]] = []
        view.box.send = lambda content, buffers=None: self.told.append((content, buffers))
        self._view = view

    def says(self, **message: object) -> dict[str, Any]:
        """Say something; return the last answer."""
        self._view._heard(None, message, [])
        return self.told[-1][0]


@pytest.fixture
def view(fleet: Fleet) -> Iterator[Dashboard]:
    view = Dashboard(fleet)
    yield view
    view.close()


def test_a_notebook_keeps_the_newest_jobs_and_charts(view: Dashboard, fleet: Fleet) -> None:
    bundle, _ = view._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"} <= set(bundle)
    assert bundle["text/html"].count("data:image/svg+xml") == 2
    assert "mipro" in bundle["text/plain"]
    assert "mipro" in str(RunHistory(fleet))
    assert len(json.dumps({k: v for k, v in view.box.get_state().items() if not k.startswith("_")})) < 2_000, (
        "neither jobs nor the grid are a state, which notebooks would keep"
    )


def test_jobs_are_found_by_what_their_columns_say(view: Dashboard) -> None:
    assert set(view.shown) == {"mipro", LONG, "nothing yet"}
    view.filter(optimizer="miprov2")
    assert view.shown == ["mipro"]
    view.filter(optimizer=None, name="NOTHING")
    assert view.shown == ["nothing yet"]
    view.filter(name=None, best="> 0", started="ago")
    assert "nothing yet" not in view.shown
    view.filter(best="< 0")
    assert view.shown == []
    view.filter(best=None, started=None)
    assert len(view.shown) == 3
    with pytest.raises(NotFoundError, match="did you mean 'state'"):
        view.filter(stat="completed")


def test_a_page_gets_every_job_once_and_then_what_changed(view: Dashboard) -> None:
    page = Page(view)
    assert page.says(ask="rows") == {"kind": "rows"}
    sent = json.loads(page.told[-1][1][0])
    assert (sent["total"], sent["whole"], len(sent["columns"]["id"])) == (3, True, 3)
    before = len(page.told)
    view.refresh()
    assert len(page.told) == before, "nothing has changed"
    old = {"id": ["a", "b", "c"], "cost": [1.0, 2.0, None]}
    rows, gone = changed(old, {"id": ["b", "c", "d"], "cost": [2.0, 3.0, None]})
    assert (rows, gone) == ({"id": ["c", "d"], "cost": [3.0, None]}, ["a"])
    assert json.loads(packed(rows, gone=gone)) == {"columns": rows, "n": 2, "gone": ["a"]}


def test_curves_are_of_what_is_chosen_and_lead_to_programs(view: Dashboard, fleet: Fleet) -> None:
    page = Page(view)
    view.choose("mipro", LONG)
    drawn = page.told[-1][0]
    assert [curve["name"] for curve in drawn["curves"]] == ["mipro", LONG] or len(drawn["curves"]) == 2
    [trials] = [curve["trials"] for curve in drawn["curves"] if curve["name"] == "mipro"]
    trial, score, program, part = trials[0]
    first = fleet.trials(fleet.job("mipro").id).program_id.iloc[0]
    assert (trial, 0 <= score <= 100, program, part) == (0, True, first, "")
    assert {part for *_, part in trials} == {"", "part or train"}


def test_what_is_opened_leads_down_and_up_again(view: Dashboard, fleet: Fleet) -> None:
    page = Page(view)
    view.open("mipro")
    told = page.told[-1][0]
    traces = ("Traces", [fleet.job("mipro").id, "@traces"])
    assert (told["title"], told["crumbs"]) == ("mipro", [("All jobs", []), traces])
    assert f"<b>{fleet.job('mipro').progress.result.verdict}</b>: +" in told["html"]
    with pytest.raises(NotFoundError):
        view.open("no such job")
    assert "unknown job" in page.says(do="rename", jobs=["gone"], text="x")["text"], "a page that lags behind"
    with pytest.raises(InputError, match="no program is opened"):
        view.use("best")
    view.open()
    assert page.told[-1][0]["path"] == []
    assert fleet.job("mipro").name == "mipro"


def test_jobs_are_put_in_order_and_everything_is_taken_back(tmp_path: Path, fleet: Fleet) -> None:
    import shutil

    shutil.copytree(fleet.home.root, tmp_path / "home")
    own = Fleet(tmp_path / "home")
    view = Dashboard(own)
    page, job = Page(view), own.job("mipro").id

    def told() -> str:
        return next(str(m["text"]) for m, _ in reversed(page.told) if m["kind"] == "told")

    for what, text, says in (
        ("rename", "the one", "mipro is now the one"), ("note", "of March", "noted of mipro"),
        ("tag", "v9, -v1", "tags of 1 job changed"), ("archive", "", "archived 1 job"),
        ("delete", "", "moved 1 job to the trash"),
    ):  # fmt: skip
        before = own.jobs()
        page.says(do=what, jobs=[job], text=text)
        assert told() == says
        assert not own.jobs().equals(before)
        assert ("mipro" in view.shown) == (what in {"note", "tag"})
        page.says(do="undo")
        pd.testing.assert_frame_equal(own.jobs(), before)
    view.close()


def test_columns_and_groups_are_remembered_in_the_home(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    view = Dashboard(fleet)
    assert view._follower is None, "nothing runs, so nothing is looked for"
    view.box.columns, view.box.grouped = ["name", "note", "cost"], False
    again = Dashboard(fleet)
    assert (again.box.columns, again.box.grouped) == (["name", "note", "cost"], False)
    (fleet.home.root / "dashboard.json").write_text("[]")
    assert "name" in Dashboard(fleet).box.columns


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
    opened = door(tmp_path, "http://127.0.0.1:1/?token=abc")
    assert "abc" not in opened
    assert "url=http://127.0.0.1:1/?token=abc" in (tmp_path / "open.html").read_text()


def test_what_was_kept_is_filtered_as_it_is_shown() -> None:
    assert fits("delta", "kept", 0.0, kept=True)
    assert not fits("delta", "+0.0", 0.0, kept=True)
    assert fits("delta", "> -1", 0.0, kept=True)
    assert not fits("delta", "kept", 0.0)
