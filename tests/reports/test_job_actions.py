"""What the card of a finished job offers: each button is a method and a command, and replaces nothing unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from IPython.core.interactiveshell import InteractiveShell
from made_up import Counting, counted_lm

from skillfleet_nb.reports.after_run import failing, next_steps
from skillfleet_nb.widgets.actions import Actions
from skillfleet_nb.widgets.face import TakenError, Twice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Lab


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_what_is_offered_can_be_done_and_replaces_nothing_unasked(
    lab: Lab, shell: InteractiveShell, tmp_path: Path
) -> None:
    actions = Actions(lab.fleet.job("rules"))
    offered = {action.do: action.command for action in actions.offered()}
    assert list(offered) == ["use", "save", "compare", "register"]
    assert offered["use"].endswith("program show rules -o rules_best")
    best = actions.use()
    assert shell.user_ns["rules_best"] is best
    with pytest.raises(TakenError, match="rules_best has a value already"):
        actions.use()
    assert actions.use(replace=True) is shell.user_ns["rules_best"] is not best
    file = actions.save(tmp_path / "rules.json")
    with pytest.raises(TakenError, match="is there already"):
        actions.save(file)
    assert actions.save(file, replace=True) == file
    assert "rules" in str(actions.compare())


def test_what_is_asked_for_twice_in_a_row_is_done() -> None:
    twice, done = Twice(), []

    def do(replace: bool) -> None:  # noqa: FBT001  as `Twice` calls it
        if not replace:
            raise TakenError("x has a value already")
        done.append(replace)

    for what in ("use x", "use y", "use x"):
        with pytest.raises(TakenError, match="press the button again"):
            twice(what, do)
        assert (twice.unsure, done) == (what, [])
    twice("use x", do)
    assert (twice.unsure, done) == ("", [True])


def test_a_job_whose_model_never_answered_offers_no_program(lab: Lab) -> None:
    def dies(n: int) -> None:
        raise ConnectionError("no key")

    job = lab.run("keyless", lm=counted_lm(Counting(dies))[0])
    assert [action.do for action in Actions(job).offered()] == ["resume"]
    assert failing(job) == ([], 0)
    assert next_steps(job) == []
    for told in (job.html(), job.text()):
        assert told.count("no key") == 1, "an error is told once"


def test_a_job_without_a_gain_says_what_to_do_next(lab: Lab) -> None:
    few = lab.fleet.job("few")
    assert few.progress.result is not None
    assert few.progress.result.verdict == "no evidence"
    steps = " ".join(next_steps(few))
    assert "headroom" in steps.lower()
    assert "Next best, not tried here:" in steps
    found, n = failing(few)
    scores = lab.fleet.sql(
        "select count(distinct example_id) as n from scores join trials using (job_id, trial) join jobs using (job_id) "
        "where name = 'few' and split = 'test' and program_id = best_program_id and scores.score < 0.5"
    )
    assert (n, len(found)) == (scores.n[0], min(5, n))
