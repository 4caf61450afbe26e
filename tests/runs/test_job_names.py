"""A name finds one job: a second one of that name gets a number, which is said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from made_up import Data, counted_lm, exact, program

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Job


def _given() -> dict[str, Any]:
    lm, _ = counted_lm()
    return {**Data().splits(), "metric": exact, "lm": lm, "optimizer": "labeled_fewshot", "params": {"k": 2}}


def test_a_second_job_of_a_name_gets_a_number_and_says_so(tmp_path: Path) -> None:
    fleet, given = Fleet(tmp_path / "home"), _given()
    first = fleet.optimize(program(), **given, name="intents")
    first.result(timeout=120)
    second = fleet.optimize(program(), **given, name="intents")
    second.result(timeout=120)
    assert (first.name, second.name) == ("intents", "intents-2")
    assert fleet.job("intents").id == first.id
    assert fleet.job("intents-2").id == second.id
    assert "the name 'intents' is another job's: this one is 'intents-2'" in second.text()
    again = fleet.resume("intents", as_new=True)
    again.result(timeout=120)
    assert again.name == "intents-3"


def test_jobs_that_start_together_do_not_share_a_name(tmp_path: Path) -> None:
    def start(_: int) -> str:
        job = Fleet(tmp_path / "home").optimize(program(), **_given(), name="race")
        job.result(timeout=120)
        return job.name

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(start, range(3))) == ["race", "race-2", "race-3"]


def test_whoever_starts_a_job_waits_for_no_fold_and_the_name_is_free_all_the_same(tmp_path: Path) -> None:
    fleet, given = Fleet(tmp_path / "home"), _given()

    def named(name: str) -> Job:
        job = fleet.optimize(program(), **given, name=name)
        job.result(timeout=120)
        return job

    jobs = [named("intents"), named("intents")]
    assert not fleet.home.database.exists()
    assert fleet.jobs().name.tolist() == ["intents-2", "intents"]
    jobs.append(named("intents"))
    assert [job.name for job in jobs] == ["intents", "intents-2", "intents-3"]
    fleet.curation.rename("intents-2", "other")
    assert [named("other").name, named("intents-2").name] == ["other-2", "intents-2"]
