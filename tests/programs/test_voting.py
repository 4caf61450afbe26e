"""Votes as programs: how they are counted, learned, saved and loaded."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import cloudpickle
import dspy
import pytest

import skillfleet_nb as sf
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.programs.loading import load, load_state
from skillfleet_nb.programs.state import dump_state, program_id, save
from skillfleet_nb.programs.voting import accuracy_weight, calibrated

if TYPE_CHECKING:
    from pathlib import Path


class Says(dspy.Module):  # type: ignore[misc]
    """Answers what a table says; without one it fails."""

    def __init__(self, answers: dict[str, str]) -> None:
        super().__init__()
        self.answers = answers

    def forward(self, text: str) -> dspy.Prediction:
        return dspy.Prediction(label=self.answers[text], reasoning=f"of {id(self)}")


def right(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.label == pred.label)


def answers(*labels: str | None) -> list[Says]:
    return [Says({} if label is None else {"t": label}) for label in labels]


def test_the_majority_answers_and_what_was_not_agreed_is_told() -> None:
    vote = sf.Ensemble(answers("a", "b", "a", None), min_agreement=0.7)
    answer = vote(text="t")
    assert answer.label == "a"
    assert set(dict(answer.items())) == {"label", "reasoning"}  # the program's own fields, and no other
    assert answer.vote.agreement == pytest.approx(2 / 3)
    assert answer.vote.answers == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3)}
    assert (answer.vote.agreed, answer.vote.tied, answer.vote.failed) == (False, False, 1)
    assert answer.vote.confidence is None
    vote(text="t")
    told = vote.statistics
    assert (told.votes, told.asked, told.disagreements, told.ties, told.failed) == (2, 8, 2, 0, 2)


def test_of_tied_answers_the_first_members_is_taken_and_said_to_be_tied() -> None:
    for order in (("b", "a"), ("a", "b")):
        answer = sf.Ensemble(answers(*order))(text="t")
        assert (answer.label, answer.vote.tied) == (order[0], True)


def test_spelling_is_no_disagreement() -> None:
    assert sf.Ensemble(answers("The Bank.", "bank"))(text="t").vote.agreement == 1


def test_nobody_answering_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="none of 2 members"):
        sf.Ensemble(answers(None, None))(text="t")


def noisy(rng: random.Random, n: int, accuracies: list[float], labels: int = 4) -> tuple[list[Any], list[Says]]:
    """Make examples, and members that are right on so many of them, each by chance of its own."""
    truth = {f"t{k}": f"c{rng.randrange(labels)}" for k in range(n)}
    members = [
        Says({t: c if rng.random() < share else f"c{rng.randrange(labels)}" for t, c in truth.items()})
        for share in accuracies
    ]
    return [dspy.Example(text=t, label=c).with_inputs("text") for t, c in truth.items()], members


def test_weights_are_learned_and_confidence_is_what_it_says() -> None:
    rows, members = noisy(random.Random(1), 1200, [0.9, 0.4, 0.3])
    vote = sf.Ensemble(members, vote="weighted").fit(rows[:600], right, num_threads=1)
    assert vote.weights == [accuracy_weight([right(r, m(text=r.text)) for r in rows[:600]], 4) for m in members]
    assert vote.weights[0] > vote.weights[1] > vote.weights[2] > 0
    told = [(vote(text=r.text), r) for r in rows[600:]]
    weighted = sum(right(r, a) for a, r in told) / 600
    best = sum(right(r, members[0](text=r.text)) for r in rows[600:]) / 600
    plain = sf.Ensemble(members)
    assert weighted >= best > sum(right(r, plain(text=r.text)) for r in rows[600:]) / 600
    confident: dict[float, list[bool]] = {}
    for answer, row in told:
        confident.setdefault(answer.vote.confidence, []).append(right(row, answer))
    error = sum(abs(c * len(hits) - sum(hits)) for c, hits in confident.items()) / 600
    assert error <= 0.05  # ECE
    assert vote.statistics.votes == 600


def test_confidence_never_falls_with_agreement() -> None:
    rng = random.Random(2)
    knots = calibrated([(a, float(rng.random() < 0.5)) for a in (0.4, 0.6, 0.8, 1.0) for _ in range(6)])
    assert [a for a, _ in knots] == [0.4, 0.6, 0.8, 1.0]
    assert [c for _, c in knots] == sorted(c for _, c in knots)
    assert calibrated([]) == []


def test_a_vote_is_saved_and_loaded_onto_the_program_it_is_made_of(tmp_path: Path) -> None:
    given = dspy.ChainOfThought("text -> label")
    members = [load_state(given, dump_state(given)) for _ in range(3)]
    for n, member in enumerate(members):
        member.predict.signature = member.predict.signature.with_instructions(f"Way {n}.")
        member.predict.demos = [dspy.Example(text=f"t{n}", label="a")]
    vote = sf.Ensemble(members, vote="weighted", min_agreement=0.5, fields=["label"])
    vote.weights, vote.calibration = [1.0, 0.5, 0.25], [(0.5, 0.6), (1.0, 0.9)]
    path = save(vote, tmp_path / "vote.json")
    for onto in (given, vote):
        loaded = load(onto, path)
        assert isinstance(loaded, sf.Ensemble)
        assert loaded.settings() == vote.settings()
        assert program_id(dump_state(loaded)) == program_id(dump_state(vote))
        assert [p.predict.signature.instructions for p in loaded.programs] == ["Way 0.", "Way 1.", "Way 2."]
        assert [p.predict.demos[0]["text"] for p in loaded.programs] == ["t0", "t1", "t2"]
    other = load(given, path)
    other.weights = [1.0, 1.0, 1.0]
    assert program_id(dump_state(other)) != program_id(dump_state(vote))
    assert cloudpickle.loads(cloudpickle.dumps(vote)).settings() == vote.settings()  # as a parcel is packed
    assert vote.deepcopy().statistics.votes == 0


def test_one_program_asked_several_times_answers_with_its_majority(tmp_path: Path) -> None:
    lm = sf.offline_lm()
    given = dspy.Predict("text -> label")
    vote = sf.MajorityVote(given, 3, temperature=0.7)
    with dspy.context(lm=lm):
        answer = vote(text="where is my card?")
    assert answer.label
    assert answer.vote.agreement == 1  # this model has no temperature
    loaded = load(given, save(vote, tmp_path / "often.json"))
    assert isinstance(loaded, sf.MajorityVote)
    assert (loaded.n, loaded.temperature) == (3, 0.7)


def test_the_best_of_several_is_the_one_of_the_highest_reward() -> None:
    class Counts(dspy.Module):  # type: ignore[misc]
        tried = 0

        def __init__(self) -> None:
            super().__init__()
            self.predict = dspy.Predict("text -> label")

        def forward(self, text: str) -> dspy.Prediction:
            Counts.tried += 1
            return dspy.Prediction(label=f"{text}-{Counts.tried}")

    rewards = {"t-1": 0.2, "t-2": 0.7, "t-3": 0.4, "t-4": 0.9}
    best = sf.BestOfN(Counts(), 3, lambda given, pred: rewards[pred.label], threshold=0.8)
    with dspy.context(lm=sf.offline_lm(), trace=[]):
        first, second = best(text="t"), best(text="t")
    assert (first.label, first.vote.agreed) == ("t-2", False)
    assert (second.label, second.vote.agreed) == ("t-4", True)
    assert (best.statistics.votes, best.statistics.asked) == (2, 4)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: sf.Ensemble(answers("a")), "holds 1"),
        (lambda: sf.Ensemble(answers("a", "b"), vote="loudest"), "'loudest'"),
        (lambda: sf.Ensemble(answers("a", "b"), min_agreement=60), "60"),
        (lambda: sf.MajorityVote(answers("a")[0], 1), "n = 1"),
        (lambda: sf.BestOfN(answers("a")[0], 0, lambda *_: 1.0), "n = 0"),
        (lambda: sf.Ensemble(answers("a", "b")).fit([], right), "examples is empty"),
    ],
)
def test_what_makes_no_vote_is_refused(make: Any, told: str) -> None:
    with pytest.raises((InputError, NotFoundError), match=told):
        make()
