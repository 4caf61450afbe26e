"""Tuning what is registered: on what its job kept, its outcome the next version with the reasons; offered if needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from made_up import counted_lm, exact, program, rows

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.cli import main
from skillfleet_nb.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path


def splits() -> dict[str, Any]:
    known = rows(40)
    return {"train": known[:48], "val": known[48:128], "test": known[128:]}


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Make a home with a job, whose best is registered as `intents`."""
    monkeypatch.setenv("SKILLFLEET_HOME", str(tmp_path / "home"))
    made = Fleet()
    given = {"metric": exact, "lm": offline_lm(), "seed": 3, "num_threads": 2, **splits()}
    made.optimize(program(), optimizer="labeled_fewshot", params={"k": 1}, name="few", **given).result()
    made.register("few", "intents")
    return made


def test_what_is_registered_is_tuned_and_kept_with_the_reasons(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.alias("intents", "production", 1)
    assert main(["signatures", "tune", "intents", "--rounds", "1"]) == 0
    said = capsys.readouterr().out
    assert "accepted: +" in said
    assert "registered intents@2, with the reasons as its note" in said
    assert fleet.registry.aliases("intents") == {"production": 1}
    version = fleet.registry.show("intents@2").version
    assert "instead of" in version.note
    assert version.setup["data"] == fleet.registry.show("intents@1").version.setup["data"]
    assert fleet.registry.evidence("intents", "production", 2).objection is None, "the same data and metric: comparable"
    assert main(["signatures", "history", "intents"]) == 0
    assert version.note[:40] in capsys.readouterr().out
    assert fleet.registry.signatures("intents").reason.tolist() == ["", version.note]
    shown = fleet.programs.find("intents-tuned")
    assert f"proposed       {version.note}" in shown.text()
    assert "judged         accepted: +" in shown.text()
    tuned = fleet.program("intents@2")
    assert "Cues for `intent`" in tuned.signature.instructions  # type: ignore[attr-defined]


def test_a_job_and_a_program_are_tuned_too_and_what_is_given_goes_before_what_was_kept(fleet: Fleet) -> None:
    job = fleet.tune("few", rounds=1, max_calls=160, lm=counted_lm()[0])
    assert job.result().stop_reason == "budget: 160 calls"
    assert (job.name, job.progress.spec["params"]["rounds"]) == ("few-tuned", 1)
    assert job.progress.first_program == fleet.job("few").progress.best_program, "it starts at the best"
    lm = counted_lm()[0]
    other = fleet.tune(program(), train=rows(12), metric=exact, lm=lm, rounds=1, name="other")
    assert other.result().state == "completed"
    with pytest.raises(InputError, match="tuned: no data or metric was kept with it: give --train and --metric"):
        fleet.tune(program())
    fleet.register(program(), "bare")
    with pytest.raises(InputError, match="bare-tuned: no data or metric was kept with it: give --train"):
        fleet.tune("bare", metric=exact)
    with pytest.raises(NotFoundError, match="unknown registered program or job 'intens': did you mean 'intents'"):
        fleet.tune("intens")


def test_a_low_score_offers_to_tune(fleet: Fleet) -> None:
    job = fleet.job("few")
    score = job.result().test_score
    assert score is not None
    assert score < 0.75
    assert "is below 75.0: skillfleet signatures tune few proposes instructions" in job.text()
    tested = fleet.evaluate("few")
    assert tested.result().test_score == score
    assert tested.next_step() == "", "it has no rows that a tuning could learn from"
    with pytest.raises(InputError, match=r"-tuned: what its job kept holds no rows to learn from, .*: give --train"):
        fleet.tune(tested.name, lm=counted_lm()[0])
    tuned = fleet.tune(tested.name, train=rows(12), lm=counted_lm()[0], rounds=1, name="with rows")
    assert tuned.result().state == "completed"
    fleet.home.config.write_text(f"tune_below = {score - 0.01}\n", encoding="utf-8")
    assert job.next_step() == ""
    assert "signatures tune" not in job.text()
