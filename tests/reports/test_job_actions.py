"""What the card of a finished job offers: each button is a method and a command, and replaces nothing unasked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from IPython.core.interactiveshell import InteractiveShell
from made_up import Counting, Data, counted_lm, program

from skillfleet_nb import Fleet
from skillfleet_nb.commands import Context, run
from skillfleet_nb.commands.views import Note, Parts, Written
from skillfleet_nb.example import single
from skillfleet_nb.reports.after_run import failing, next_steps
from skillfleet_nb.runs.jobs.picture import Feed
from skillfleet_nb.widgets.actions import Actions
from skillfleet_nb.widgets.face import TakenError, Twice
from skillfleet_nb.widgets.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Lab

    from skillfleet_nb.runs.jobs.picture import Picture


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
    assert list(offered) == ["use", "save", "compare", "register", "traces"]
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
    assert str(actions.traces()) == str(lab.fleet.traces("rules"))


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
    assert [action.do for action in Actions(job).offered()] == ["resume", "traces"]
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
    assert list(dict(found[0].fields())) == ["text", "expected", "answer", "feedback"]
    shown = few.html()
    assert all(f"expected:</span> <span dir='auto'>{single(one.expected)}" in shown for one in found)


def test_test_rows_that_repeat_count_once_for_how_many_are_needed(lab: Lab, tmp_path: Path) -> None:
    own = type(lab)(Fleet(tmp_path / "home"), lab.lm)  # its programs are those of `rules`: others ask whose they are
    params = {"num_candidates": 2, "num_rules": 3}
    runs = [own.run(f"test x{n}", "infer_rules", params=params, test=Data().test * n) for n in (1, 20)]
    once, often = map(next_steps, runs)
    assert once[0].endswith("test rows are needed; there were 12.")
    assert often[0] == once[0]


def test_a_test_that_ends_at_once_has_the_last_word_on_the_card(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does whose every answer is kept already."""
    job = lab.run("untested", max_calls=30)
    monitor = Monitor(job)
    page = monitor._live()

    def follow(feed: Feed, view: Callable[[Picture], None]) -> None:
        del feed
        test = lab.fleet.job("untested-test")
        test.result()
        view(test.picture())

    monkeypatch.setattr(Feed, "subscribe", follow)
    monitor.act("test")
    state = json.loads(page.state)
    assert state["note"] == "untested-test is done:"
    assert "every row is scored" in state["answer"]


def test_where_nothing_beats_the_given_program_it_is_kept_and_said_so(lab: Lab) -> None:
    """Also where what the optimizer returns scores the same."""
    job = lab.run("equal", metric=half)
    assert job.result().best_score == job.result().baseline_score == 0.5
    assert job.progress.best_program == job.progress.first_program
    assert "<b>kept yours</b>: nothing proved better" in job.html()
    assert "interval" not in job.html().partition("What to do next")[0]
    assert "tested" not in str(next_steps(job))


def half(example: object, prediction: object, trace: object = None) -> float:
    del example, prediction, trace
    return 0.5


def test_an_evaluation_tells_what_it_was_scored_on(lab: Lab) -> None:
    job = lab.fleet.evaluate(
        program(), data=Data().splits()["test"], metric=half, lm=lab.lm, against="few", name="on some"
    )
    job.result()
    n = len(Data().splits()["test"])
    assert f"points on {n} rows (50.0 → 50.0)" in job.html()
    assert "sealed" not in job.html()


def test_a_report_is_written_with_its_progress_and_a_link(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    drawn: list[tuple[int, int]] = []
    context = Context(
        lambda _: lab.fleet, {}, lambda *_, **__: None, print, lambda _: lambda n, m: drawn.append((n, m))
    )
    written = run(["export", "few", "--html", "a report.html"], context)
    assert drawn == [(n, 7) for n in range(1, 8)]
    assert "<a href='a%20report.html' target='_blank'>a report.html</a>" in written.html()
    assert "it still fails on" in (tmp_path / "a report.html").read_text("utf-8")
    assert "<a " not in Written(tmp_path.parent / "away.html").html(), "a page cannot lead out of its folder"


def test_answers_of_several_parts_show_their_charts(lab: Lab) -> None:
    shown = str(Parts([Note("first"), lab.fleet.charts.convergence("few")])._repr_html_())
    assert shown.index("first") < shown.index("<img")
