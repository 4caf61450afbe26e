"""A model as judge: its grades, its limits, and that nothing is bought twice."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from message_sets import TOPICS, WordVectors, flipped, made_up

import skillfleet_nb as sf
from skillfleet_nb.errors import InputError, LMError
from skillfleet_nb.fleet import Fleet
from skillfleet_nb.offline.engine import OfflineEngine
from skillfleet_nb.reports.accessor import Trainsets

if TYPE_CHECKING:
    from pathlib import Path

_names = (f"skillfleet/teacher-{n}" for n in itertools.count())


class Teacher(OfflineEngine):
    """Knows which words belong to which topic, counts what it is asked, and can be made to fail."""

    answers_here = True

    def __init__(self, *, after: int | None = None, failure: Exception | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[str] = []
        self._after, self._failure = after, failure

    def complete(self, request: Any) -> Any:
        asked = request.messages[-1].text
        self.asked.append(asked)
        if self._failure is not None and len(self.asked) > (self._after or 0):
            raise self._failure
        return super().complete(request)

    def _reply(self, system: str, turns: Any, candidate: int, temperature: float) -> str:
        text, topic = re.findall(r"## example_(?:input|answer) ## \]\]\n(?:topic: )?(.*)", turns[-1][1])
        right = any(word in TOPICS.get(topic, ()) for word in text.split())
        said = {"correct": "yes" if right else "no", "clear": "partly", "useful": "yes", "reason": f"it is {topic}?"}
        return "".join(f"[[ ## {k} ## ]]\n{v}\n\n" for k, v in said.items()) + "[[ ## completed ## ]]"


def teacher(**options: Any) -> tuple[dspy.LM, Teacher]:
    engine = Teacher(**options)
    return dspy.LM(next(_names), engine=engine, num_retries=0), engine


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setattr(Trainsets, "embedder", lambda self, progress=None: WordVectors())
    return Fleet(tmp_path / "home")


def test_no_model_is_asked_unless_one_is_given(fleet: Fleet) -> None:
    lm, engine = teacher()
    with dspy.context(lm=lm):
        report = fleet.data.analyse(made_up(40), label="topic")
    assert (engine.asked, report.judge) == ([], None)
    assert report.examples["judged"].isna().all()


def test_grades_are_a_component_of_quality(fleet: Fleet) -> None:
    rows, wrong = flipped(made_up(40), 0.1)
    lm, engine = teacher()
    before = fleet.data.analyse(rows, label="topic").examples.set_index("row")
    report = fleet.data.analyse(rows, label="topic", judge=lm)
    frame = report.examples.set_index("row")
    assert len(engine.asked) == 40
    for row in range(40):
        assert frame.loc[row, "judged"] == pytest.approx((0 if row in wrong else 1) / 3 + 0.5 / 3 + 1 / 3)
    weights = {"completeness": 0.3, "length": 0.15, "label_fit": 0.4, "uniqueness": 0.15}
    by_hand = (before["intrinsic"] * sum(weights.values()) + 0.4 * frame["judged"]) / (sum(weights.values()) + 0.4)
    assert frame["intrinsic"].to_dict() == pytest.approx(by_hand.to_dict())
    assert frame.loc[0, "judged_why"] == f"it is {rows[0]['topic']}?"
    assert "From text, give topic." in engine.asked[0]
    assert "topic is one of: access, billing, delivery, outage." in engine.asked[0]


def test_what_the_judge_finds_poor_is_told(fleet: Fleet) -> None:
    class Harsh(Teacher):
        def _reply(self, *asked: Any) -> str:
            return super()._reply(*asked).replace("partly", "no").replace("useful ## ]]\nyes", "useful ## ]]\nno")

    lm = dspy.LM(next(_names), engine=Harsh())
    rows, wrong = flipped(made_up(40), 0.05)
    report = fleet.data.analyse(rows, label="topic", judge=lm, weights={"judged": 0})
    assert any(r.startswith("40 examples the judge grades below 0.5: see rows") for r in report.recommendations)
    first = report.text().partition("graded below 0.5 by the judge, 10 of 40")[2].splitlines()[2]
    assert int(first.split()[0]) in wrong


def test_a_second_analysis_buys_nothing_even_without_dspys_cache(fleet: Fleet) -> None:
    rows = made_up(40)
    lm, engine = teacher()
    lm.cache = False
    first = fleet.data.analyse(rows, label="topic", judge=lm)
    again = Fleet(fleet.home.root).data.analyse(rows, label="topic", judge=lm)
    assert len(engine.asked) == 40
    assert first.judge is not None
    assert again.judge is not None
    assert (first.judge.calls, again.judge.calls) == (40, 0)
    assert again.examples["judged"].tolist() == first.examples["judged"].tolist()
    more = fleet.data.analyse([*rows, {"text": "refund my invoice", "topic": "billing"}], label="topic", judge=lm)
    assert more.judge is not None
    assert more.judge.calls == 1


def test_another_judge_or_another_task_grades_anew(fleet: Fleet) -> None:
    rows = made_up(12)
    one, asked = teacher()
    other, others = teacher()
    fleet.data.analyse(rows, label="topic", judge=one)
    fleet.data.analyse(rows, label="topic", judge=other)
    program = dspy.Predict(dspy.Signature("text -> topic", "Route the message."))
    fleet.data.analyse(rows, program=program, label="topic", judge=one)
    assert (len(asked.asked), len(others.asked)) == (24, 12)
    assert "Route the message." in asked.asked[-1]


def test_calls_are_recorded_priced_and_limited(fleet: Fleet) -> None:
    lm, engine = teacher(usd_per_1k_tokens=0.01)
    seen: list[tuple[str, int, int]] = []
    counting = lambda what: lambda done, total: seen.append((what, done, total))  # noqa: E731
    report = fleet.data.analyse(made_up(40), label="topic", judge=lm, max_calls=15, progress=counting)
    calls = fleet.sql("select role, count(*) as n, sum(cost_usd) as usd from lm_calls group by role")
    assert calls[["role", "n"]].values.tolist() == [["judge", 15]]
    assert report.judge is not None
    assert report.judge.cost_usd == pytest.approx(calls.usd[0])
    assert report.judge.stopped == "budget: 15 calls"
    assert "graded 15 of 40" in report.text()
    assert "the next analysis goes on" in report._repr_html_()
    assert seen[-1] == ("asking the judge", 15, 15)
    assert len(engine.asked) == 15
    then = fleet.data.analyse(made_up(40), label="topic", judge=lm, max_calls=100)
    assert then.judge is not None
    assert (then.judge.calls, len(then.judge.grades), then.judge.stopped) == (25, 40, None)
    assert fleet.sql("select count(judged) as n from examples").n[0] == 40


def test_rows_that_were_not_graded_count_with_the_mean(fleet: Fleet) -> None:
    lm, _ = teacher()
    rows = made_up(40)
    plain = fleet.data.analyse(rows, label="topic").examples.set_index("row")["intrinsic"]
    frame = fleet.data.analyse(rows, label="topic", judge=lm, max_calls=10).examples.set_index("row")
    graded = frame["judged"].notna()
    assert graded.sum() == 10
    by_hand = (plain[~graded] + 0.4 * frame["judged"].mean()) / 1.4
    assert frame.loc[~graded, "intrinsic"].to_dict() == pytest.approx(by_hand.to_dict())


def test_a_budget_in_money_holds(fleet: Fleet) -> None:
    lm, engine = teacher(usd_per_1k_tokens=0.01)
    report = fleet.data.analyse(made_up(40), label="topic", judge=lm, budget_usd=0.05)
    assert report.judge is not None
    assert report.judge.stopped == "budget: $0.05"
    assert 0 < len(engine.asked) < 40
    assert (report.judge.cost_usd or 0) <= 0.05


def test_grades_paid_for_are_kept_when_the_judge_dies(fleet: Fleet) -> None:
    refused = dspy.LMAuthError("the key is refused")
    lm, engine = teacher(after=5, failure=refused)
    report = fleet.data.analyse(made_up(40), label="topic", judge=lm)
    assert report.judge is not None
    assert len(report.judge.grades) == 5
    assert report.judge.stopped
    assert len(engine.asked) < 40
    assert fleet.sql("select count(*) as n from events where kind = 'judged'").n[0] == 5


def test_grades_paid_for_are_kept_when_the_cell_is_interrupted(fleet: Fleet) -> None:
    lm, _ = teacher()

    def interrupt(what: str) -> Any:
        def show(done: int, total: int) -> None:
            if done >= 7:
                raise KeyboardInterrupt

        return show

    with pytest.raises(KeyboardInterrupt):
        fleet.data.analyse(made_up(40), label="topic", judge=lm, progress=interrupt)
    kept = fleet.sql("select count(*) as n from events where kind = 'judged'").n[0]
    assert kept >= 7
    report = fleet.data.analyse(made_up(40), label="topic", judge=lm)
    assert report.judge is not None
    assert report.judge.calls <= 40 - kept


def test_a_judge_that_never_answers_is_one_line(fleet: Fleet) -> None:
    lm, engine = teacher(failure=dspy.LMAuthError("the key is refused"))
    with pytest.raises(LMError, match="the judge gave no grade") as caught:
        fleet.data.analyse(made_up(40), label="topic", judge=lm)
    assert "\n" not in str(caught.value)
    assert len(engine.asked) == 1


def test_answers_that_cannot_be_read_are_counted(fleet: Fleet) -> None:
    class Mumbling(Teacher):
        def _reply(self, *asked: Any) -> str:
            return super()._reply(*asked).replace("\nyes", "\nperhaps")

    lm = dspy.LM(next(_names), engine=Mumbling())
    report = fleet.data.analyse(made_up(8), label="topic", judge=lm)
    assert report.judge is not None
    assert (report.judge.grades, report.judge.unread) == ({}, 8)
    assert "8 answers could not be read" in report.text()


def test_prompts_are_not_kept_where_the_settings_say_so(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLFLEET_RECORD_PROMPTS", "false")
    lm, _ = teacher()
    fleet.data.analyse(made_up(8), label="topic", judge=lm)
    assert fleet.sql("select prompt from lm_calls").prompt.str.startswith("sha256:").all()
    assert set(fleet.sql("select payload->>'reason' as r from events where kind = 'judged'").r) == {""}


def test_the_offline_model_judges_too(fleet: Fleet) -> None:
    report = fleet.data.analyse(made_up(12), label="topic", judge=sf.offline_lm())
    assert report.examples["judged"].between(0, 1).all()


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({"judge": "gpt-4"}, InputError, "lm is 'gpt-4'"),
        ({"max_calls": 0}, InputError, "max_calls = 0"),
        ({"budget_usd": -1}, InputError, "budget_usd = -1"),
        ({"judge": dspy.LM("acme/one"), "budget_usd": 1}, LMError, "has no known price"),
    ],
)
def test_mistakes_are_told_before_anything_is_bought(
    wrong: dict[str, Any], error: type[Exception], told: str, fleet: Fleet
) -> None:
    lm, engine = teacher()
    with pytest.raises(error, match=told):
        fleet.data.analyse(made_up(12), label="topic", **{"judge": lm, **wrong})
    assert engine.asked == []
