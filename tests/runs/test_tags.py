"""Tags and domain: given with a job, kept with it, and found by them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from made_up import Data, counted_lm, exact, program

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    fleet, (lm, _) = Fleet(tmp_path_factory.mktemp("tags") / "home"), counted_lm()
    given = {"metric": exact, "optimizer": "labeled_fewshot", "lm": lm, **Data().splits()}
    fleet.optimize(program(), name="Tagged", tags=["support, v2", "v2"], domain="help desk", **given).result(120)
    fleet.optimize(program(), name="plain", **given).result(120)
    return fleet


def names(fleet: Fleet, **wishes: object) -> list[str]:
    return fleet.jobs(**wishes).name.tolist()


def test_a_job_keeps_its_tags_and_domain(fleet: Fleet) -> None:
    job = fleet.job("Tagged")
    assert ("tags", "support, v2") in job.summary()
    assert ("domain", "help desk") in job.summary()
    row = fleet.jobs(text="tagged").iloc[0]
    assert (list(row.tags), row.domain) == (["support", "v2"], "help desk")
    assert list(fleet.jobs(text="plain").tags.iloc[0]) == []
    assert not {"tags", "domain"} & {word for word, _ in fleet.job("plain").summary()}


def test_a_job_started_over_keeps_them_too(fleet: Fleet) -> None:
    again = fleet.resume("Tagged", as_new=True)
    again.result(120)
    assert (again.progress.tags, again.progress.domain) == (("support", "v2"), "help desk")
    assert len(names(fleet, tag="v2")) == 2


def test_jobs_are_found_by_what_a_person_remembers(fleet: Fleet) -> None:
    today = datetime.now(UTC).date()
    assert {name.removesuffix("-2") for name in names(fleet, tag="support")} == {"Tagged"}  # started over, or not
    assert {name.removesuffix("-2") for name in names(fleet, domain="help desk")} == {"Tagged"}
    assert names(fleet, tag="sup") == []
    assert names(fleet, text="PLAI") == ["plain"]
    assert names(fleet, optimizer="labeled_fewshot", text="plain", state="completed") == ["plain"]
    assert names(fleet, optimizer="gepa") == []
    around = {"since": today - timedelta(days=2), "until": today + timedelta(days=2)}
    assert "plain" in names(fleet, **around)
    assert names(fleet, until="2020-01-01") == []
    assert names(fleet, since=(today + timedelta(days=3)).isoformat()) == []


def test_wishes_that_cannot_be_are_one_line(fleet: Fleet) -> None:
    with pytest.raises(NotFoundError, match="unknown state"):
        fleet.jobs("done")
    with pytest.raises(InputError, match="give a day such as"):
        fleet.jobs(since="yesterday")
    with pytest.raises(InputError, match="tag ' '"):
        fleet.optimize(program(), metric=exact, optimizer="labeled_fewshot", lm=counted_lm()[0], tags=[" "],
                       **Data().splits())  # fmt: skip


def test_commands_take_them(fleet: Fleet, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    home = ["--home", str(fleet.home.root)]
    assert main(["jobs", "--tag", "v2", "--domain", "help desk", *home]) == 0
    printed = capsys.readouterr().out
    assert "Tagged" in printed
    assert "plain" not in printed
