"""Where a run hooks into DSPy: what is relied on, so that another version of DSPy that changes it is found out."""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
from typing import TYPE_CHECKING, Any

import cloudpickle
import dspy
import pytest
from dspy.teleprompt.bootstrap_trace import bootstrap_trace_data
from dspy.utils.callback import BaseCallback
from made_up import SMALL, Data, counted_lm, exact, program

from skillfleet_nb import Fleet
from skillfleet_nb.runs.running_program import last_run, tracked, untracked
from skillfleet_nb.runs.trial_hooks import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Answering(dspy.Module):
    """A program with a part, state of its own, and something that cannot be copied."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.part = dspy.Predict("text -> intent")
        self.threshold = 0.5

    def forward(self, text: str) -> Any:
        return self.part(text=text)

    async def aforward(self, text: str) -> Any:
        return await self.part.acall(text=text)


class Locked(Answering):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    "copied",
    [
        lambda p: p,
        lambda p: p.deepcopy(),
        lambda p: p.reset_copy(),
        copy.copy,
        lambda p: cloudpickle.loads(cloudpickle.dumps(p)),
    ],
)
@pytest.mark.parametrize("kind", [Answering, Locked])
def test_a_tracked_program_and_its_copies_tell_that_they_ran(
    kind: type[Answering], copied: Callable[[Any], Any]
) -> None:
    lm, _ = counted_lm()
    given = kind()
    given.part.demos = [dspy.Example(text="a", intent="b")]
    try:
        followed = copied(tracked(given))
    except TypeError:
        assert kind is Locked, "a lock cannot be pickled"
        return
    assert isinstance(followed, kind)
    with dspy.context(lm=lm):
        followed(text="where is my invoice?")
        assert last_run() is followed
        kind()(text="where is my invoice?")
        assert last_run() is followed, "what is not tracked does not count, nor do parts"
    plain = untracked(followed)
    assert type(plain) is kind
    assert vars(plain) == vars(followed)
    assert type(given) is kind
    assert type(given.part) is dspy.Predict


def test_a_tracked_program_tells_by_thread_and_by_task() -> None:
    lm, _ = counted_lm()

    async def run(one: Any) -> Any:
        await one.acall(text="where is my invoice?")
        await asyncio.sleep(0)
        return last_run()

    async def both(programs: list[Any]) -> list[Any]:
        return await asyncio.gather(*map(run, programs))

    with dspy.context(lm=lm):
        programs = [tracked(Answering()), tracked(Answering())]
        assert asyncio.run(both(programs)) == programs
        pairs = [(lambda text, p=p: (p(text=text), last_run()), {"text": f"{i}"}) for i, p in enumerate(programs)]
        pairs = dspy.Parallel(num_threads=2, access_examples=False)(pairs)
    assert [ran for _, ran in pairs] == programs


def test_a_tracked_program_shows_proposers_the_source_of_its_own_class() -> None:
    followed = tracked(Answering())
    assert type(followed).__name__ == "Answering"
    assert inspect.getsource(type(followed)) == inspect.getsource(Answering)


def test_candidates_left_on_a_program_are_of_its_class_again() -> None:
    followed = tracked(Answering())
    followed.candidate_programs = [{"score": 0.5, "program": followed.deepcopy()}]
    (candidate,) = untracked(followed).candidate_programs
    assert type(candidate["program"]) is Answering
    assert candidate["score"] == 0.5


class Counted(BaseCallback):
    """A person's own callback."""

    def __init__(self) -> None:
        self.evaluations = self.calls = 0

    def on_evaluate_start(self, *args: Any, **kwargs: Any) -> None:
        self.evaluations += 1

    def on_lm_start(self, *args: Any, **kwargs: Any) -> None:
        self.calls += 1


@pytest.mark.parametrize("optimizer", ["bootstrap_random_search", "gepa"])
def test_within_an_evaluation_only_a_persons_own_callbacks_are_called(tmp_path: Path, optimizer: str) -> None:
    inside, before = [], list(dspy.settings.callbacks)
    own = Counted()

    def metric(example: Any, pred: Any, trace: Any = None) -> float:
        inside.append((trace is not None, len(dspy.settings.callbacks)))
        return float(exact(example, pred, trace))

    lm, engine = counted_lm()
    dspy.configure(callbacks=[*before, own])
    try:
        result = (
            Fleet(tmp_path / "home")
            .optimize(program(), **Data().splits(), metric=metric, optimizer=optimizer, params=SMALL[optimizer], lm=lm)
            .result()
        )
    finally:
        dspy.configure(callbacks=before)
    assert result.stop_reason == "the optimizer finished"
    assert {n for traced, n in inside if not traced} == {len(before) + 1}
    assert own.evaluations > 3
    assert own.calls >= engine.calls


def test_a_snapshot_is_without_the_forward_that_captures_traces() -> None:
    lm, _ = counted_lm()
    taken = []

    class Look(BaseCallback):
        def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            taken.append((inputs["program"].deepcopy(), snapshot(inputs["program"])))

    row = dspy.Example(text="where is my invoice?", intent="billing_question").with_inputs("text")
    with dspy.context(lm=lm, callbacks=[Look()]):
        bootstrap_trace_data(Answering(), [row], metric=exact, num_threads=1)
        ((as_it_was, cleaned),) = taken
        assert isinstance(as_it_was(text="where?"), tuple), "DSPy's answers come with their trace"
        assert isinstance(cleaned(text="where?"), dspy.Prediction)


def test_miprov2_tells_its_steps(tmp_path: Path) -> None:
    lm, _ = counted_lm()
    fleet = Fleet(tmp_path / "home")
    job = fleet.optimize(
        program(), **Data().splits(), metric=exact, optimizer="miprov2", params=SMALL["miprov2"], lm=lm
    )
    job.result()
    told = fleet.sql("select payload->>'text' as said from events where kind = 'phase' order by seq").said
    steps = [
        "bootstrapping demos",
        "looking at data and program, to propose instructions",
        "proposing instructions, 1 of 3",
        "proposing instructions, 3 of 3",
        "trying combinations of instructions and demos",
    ]
    assert [text for text in told if text in steps] == steps


def test_a_setting_of_ones_own_reaches_dspys_workers() -> None:
    with dspy.context(skillfleet_test="mine"):
        pairs = [(lambda: dspy.settings.get("skillfleet_test"), {})] * 4
        assert dspy.Parallel(num_threads=2, access_examples=False)(pairs) == ["mine"] * 4
    assert dspy.settings.get("skillfleet_test") is None


def test_a_usage_tracker_hears_of_bought_answers_alone_on_their_own_thread() -> None:
    heard: list[int] = []

    class Tracker:
        def __deepcopy__(self, memo: object) -> Tracker:
            return self

        def add_usage(self, lm: str, usage: object) -> None:
            heard.append(threading.get_ident())

    lm, engine = counted_lm()
    with dspy.context(lm=lm, usage_tracker=Tracker(), track_usage=False):
        for _ in range(2):
            Answering()(text="where is my invoice?")
        dspy.Parallel(num_threads=2)([(Answering(), dspy.Example(text="and mine?").with_inputs("text"))])
    assert len(heard) == engine.calls == 2
    assert heard[0] == threading.get_ident() != heard[1]


def test_models_are_called_through_the_class_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[str] = []
    for name in ("__call__", "acall"):
        original = getattr(dspy.BaseLM, name)

        def noting(*args: Any, _original: Any = original, _name: str = name, **kwargs: Any) -> Any:
            ways.append(_name)
            return _original(*args, **kwargs)

        monkeypatch.setattr(dspy.BaseLM, name, noting)
    lm, _ = counted_lm()
    with dspy.context(lm=lm):
        Answering()(text="where is my invoice?")
        asyncio.run(Answering().acall(text="and mine?"))
    assert ways == ["__call__", "acall"]


def test_a_lock_of_tqdm_that_nobody_gives_back_does_not_hang_a_run(tmp_path: Path) -> None:
    from tqdm import tqdm

    before, taken = tqdm.get_lock(), threading.Lock()
    taken.acquire()
    tqdm.set_lock(taken)
    try:
        lm, _ = counted_lm()
        job = Fleet(tmp_path / "home").optimize(
            program(), **Data().splits(), metric=exact, optimizer="labeled_fewshot", lm=lm
        )
        assert job.result().test_score is not None
    finally:
        tqdm.set_lock(before)
