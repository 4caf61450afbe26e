"""Golden sets: kept once and for all, answered twice, and every use counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy.utils.exceptions import LMServerError
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from scripted import scripted

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.errors import InputError, LMError, NotFoundError
from skillfleet_nb.offline import OfflineEngine

if TYPE_CHECKING:
    from pathlib import Path


def metric(example: dspy.Example, pred: dspy.Prediction, trace: object = None) -> bool:
    return bool(example.intent == pred.intent)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path / "home")
    program = dspy.Predict(f"text -> intent: Literal{sorted({row['intent'] for row in bundled('intents')})}")
    program.demos = [dspy.Example(**row) for row in bundled("intents")[:16]]
    made.register(program, "intents")
    return made


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return [dict(row) for row in bundled("intents")[20:50]]


class Failing(OfflineEngine):
    """Fails on texts with a word."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def complete(self, request: Any) -> Any:
        if self.word in str(request.messages[-1].text):
            raise LMServerError("the server fails", status=500)
        return super().complete(request)


def failing(word: str) -> dspy.LM:
    return dspy.LM("skillfleet/failing", engine=Failing(word), cache=False, num_retries=0)


def test_rows_that_no_model_answered_are_no_wrong_answers(fleet: Fleet, rows: list[dict[str, str]]) -> None:
    fleet.home.config.write_text("lm_retry_delay_s = 0.0001\nlm_failure_share = 1.0")
    rows = [{**row, "text": f"{'odd' if n % 2 else 'even'}: {row['text']}"} for n, row in enumerate(rows)]
    with pytest.raises(LMError, match=r"^15 got no answer of 30 examples: LMServerError: .*the server fails"):
        fleet.golden_sets.add("intents", rows, metric=metric, lm=failing("odd:"), score=True)
    with pytest.raises(LMError, match=r"^the program answers none of 30 examples: LMServerError"):
        fleet.golden_sets.add("intents", rows, metric=metric, lm=failing(":"), score=True)
    assert not fleet.golden_sets.add("intents", rows).is_scored

    other = dspy.Predict("text -> intent")
    fleet.register(other, "intents")
    fleet.start_ab("t", ["intents@1", "intents@2"])
    examples = [dspy.Example(**row).with_inputs("text") for row in rows]
    status = fleet.ab_tests.replay("t", examples, metric, lm=failing("odd:"))
    assert status.n == 15, "the others say nothing of a variant"
    fleet.start_ab("u", ["intents@1", "intents@2"])
    with pytest.raises(LMError, match=r"^0 of 30 rows were replayed, then no model answered: LMServerError"):
        fleet.ab_tests.replay("u", examples, metric, lm=failing(":"))
    assert fleet.ab_status("u").n == 0


def test_a_set_is_kept_answered_twice_and_never_changed(fleet: Fleet, rows: list[dict[str, str]]) -> None:
    bare = fleet.golden_sets.add("intents", rows)
    assert (bare.ref, len(bare.rows), bare.is_scored) == ("intents@1", 30, False)
    assert "not answered by any version yet: skillfleet golden add intents --score-now" in str(bare)
    assert fleet.golden_sets.add("intents", [*rows, rows[0]]).ref == "intents@1", "the same examples, the same version"
    with dspy.context(lm=offline_lm()):
        scored = fleet.golden_sets.add("intents", metric=metric, score=True)
    assert (scored.ref, scored.kept.ref, scored.kept.metric, scored.differing) == (
        "intents@2",
        "intents@1",
        "metric",
        0,
    )
    rights = [row.output == row.expected for row in scored.rows if row.output]
    assert scored.scores == [float(right) for right in rights]
    assert 0 < sum(scored.scores) < 30
    assert [row.again for row in scored.rows] == scored.scores, "the offline model answers the same each time"
    assert scored.smallest is not None
    assert "asked again, 0 differ; it can show drops from" in scored.sentence()
    assert fleet.golden("intents@1").rows[0].output is None, "the version before stays as it was"
    assert Fleet(fleet.home.root).golden("intents").kept == scored.kept
    with dspy.context(lm=offline_lm()):
        calls = fleet.sql("select count(*) as n from lm_calls").n[0]
        version = fleet.registry.show("intents").version
        task = fleet.golden_sets.task(scored, version, metric, None)
        fleet.golden_sets.ask(scored, task, version, "check")
        assert fleet.sql("select count(*) as n from lm_calls where not cached").n[0] == calls + 30, "asked anew"
    used = fleet.sql("select uses, mean_score = score as same from golden_examples where version = 2").to_numpy()
    assert used.tolist() == [[1, True]] * 30
    assert list(fleet.golden_sets.history("intents").how) == ["added", "added", "check"]
    assert fleet.golden_sets.listing().uses.tolist() == [1, 0]
    other = fleet.golden_sets.task(scored, version, lambda e, p, trace=None: True, offline_lm())
    with pytest.raises(InputError, match="scored by another metric, metric: give that"):
        fleet.golden_sets.ask(scored, other, version, "check")


def test_a_set_that_is_scored_anew_is_a_new_version_where_an_answer_changed(
    fleet: Fleet, rows: list[dict[str, str]]
) -> None:
    lm, engine = scripted(lambda prompt, system: "bug_report")
    refs = [fleet.golden_sets.add("intents", rows[:6], metric=metric, lm=lm, score=True).ref for _ in range(2)]
    assert refs == ["intents@1", "intents@1"]
    assert engine.calls == 24, "asked both times"
    assert fleet.golden_sets.add("intents", metric=metric, lm=lm, score=True).ref == "intents@1"
    engine.write = lambda prompt, system: "billing_question" if rows[3]["text"] in prompt else "bug_report"
    assert fleet.golden_sets.add("intents", metric=metric, lm=lm, score=True).ref == "intents@2"
    assert fleet.golden_sets.add("intents", rows[:6]).ref == "intents@2"


def test_runs_count_as_uses_of_the_examples_they_score(fleet: Fleet, rows: list[dict[str, str]]) -> None:
    fleet.golden_sets.add("intents", rows[:8])
    job = fleet.evaluate("intents", rows[:6], metric, lm=offline_lm())
    job.result()
    assert fleet.sql("select jobs, count(*) as n from golden_examples group by jobs order by jobs").n.tolist() == [2, 6]
    history = fleet.golden_sets.history("intents")
    assert history[["how", "examples"]].to_numpy().tolist() == [["added", 8], ["job", 6]]
    assert history.job_id[1] == job.id


def test_the_magic_adds_lists_and_shows_and_refuses_in_a_line(fleet: Fleet, rows: list[dict[str, str]]) -> None:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    shell.push(
        {
            "rows": rows,
            "few": rows[:3],
            "metric": metric,
            "odd": [{"text": object(), "intent": str(n)} for n in range(9)],
        }
    )
    home = f"--home {fleet.home.root}"
    line = f"golden add intents --from rows --score-now --metric metric --lm offline {home}"
    assert shell.run_line_magic("skillfleet", line).ref == "intents@1"
    assert shell.run_line_magic("skillfleet", f"golden list {home}").frame.examples.tolist() == [30]
    assert "intents@1" in str(shell.run_line_magic("skillfleet", f"golden show intents {home}"))
    for said, wrong in (
        ("a golden set of 3 different examples: give 5 to 1,000", f"golden add intents --from few {home}"),
        (
            "golden row 0: text is a object: a golden set keeps what JSON can hold",
            f"golden add intents --from odd {home}",
        ),
        ("unknown golden set 'none'", f"golden show none {home}"),
        ("comes from no job whose metric was kept", f"golden add intents --score-now --lm offline {home}"),
    ):
        with pytest.raises(UsageError, match=said):
            shell.run_line_magic("skillfleet", wrong)
    with pytest.raises(NotFoundError, match="has no version 7: its versions are 1 to 1"):
        fleet.golden("intents@7")


def test_a_set_that_nobody_answers_is_not_kept_as_scored(fleet: Fleet, rows: list[dict[str, str]]) -> None:
    broken = dspy.LM("openai/none", api_base="http://127.0.0.1:9", num_retries=0, cache=False)
    with pytest.raises(LMError, match="the program answers none of 6 examples"):
        fleet.golden_sets.add("intents", rows[:6], metric=metric, lm=broken, score=True)
    assert fleet.golden_sets.names == []
