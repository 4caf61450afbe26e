"""The conformance suite of optimizers: the built-in ones pass it, and each check tells one that breaks its rule."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import dspy
import pytest
from made_up import SMALL

from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.optimizers import Calls, Optimizer, OptimizerParams, Shape, Task
from skillfleet_nb.optimizers.registry import available, load
from skillfleet_nb.testing import CHECKS, check_optimizer

pytestmark = pytest.mark.usefixtures("preloaded")

_MEMBERS = {"members": "infer_rules,copro", "settings": {"infer_rules": {"num_candidates": 1}}}
_MEMBERS["settings"]["copro"] = {"breadth": 2, "depth": 1}  # type: ignore[index]
QUICK: dict[str, dict[str, Any]] = SMALL | {
    "bootstrap_random_search": {"num_candidate_programs": 1, "max_labeled_demos": 4},
    "copro": {"breadth": 2, "depth": 1},
    "gepa": {"max_metric_calls": 50},
    "miprov2": {"num_candidates": 2, "num_trials": 2, "minibatch_size": 6, "minibatch_full_eval_steps": 2},
    "simba": {"bsize": 6, "num_candidates": 2, "max_steps": 1},
    "infer_rules": {"num_candidates": 2, "num_rules": 4},
    "tune_signature": {"rounds": 1},
    "evolve": {"population": 3, "generations": 1, "max_demos": 4},
    "better_together": {"steps": "labeled_fewshot -> bootstrap_fewshot"},
    "ensemble": _MEMBERS,
    "portfolio": _MEMBERS,
}
TRIED = {
    "gepa": CHECKS,
    "evolve": CHECKS,
    "miprov2": CHECKS[:4],
    "bootstrap_random_search": CHECKS[:4],
    "portfolio": CHECKS[:3],
}
"""What is checked here of some, each check a run or two; of others that they pass with one predictor and several."""
# They need a model that can be fine-tuned, one for embeddings, and outputs whose probability can be asked for.
NOT_TRIED = {"bootstrap_finetune", "knn_fewshot", "reanchor"}


@pytest.mark.parametrize("name", sorted({*available()} - NOT_TRIED))
def test_every_built_in_optimizer_passes(name: str) -> None:
    checks = TRIED.get(name, CHECKS[:2])
    found = check_optimizer(load(name), QUICK[name], checks=checks)
    assert found.ok, found.text()
    assert [check.name for check in found.checks] == list(checks)


class Broken(Optimizer):
    """Scores the given program with other instructions; each subclass breaks a rule."""

    name = "broken"
    summary = "breaks a rule"
    changes = frozenset({"instructions"})

    def calls(self, shape: Shape) -> Calls:
        return Calls(3 * shape.val * shape.predictors, 3 * shape.val * shape.predictors)

    def build(self, task: Task) -> Any:
        raise NotImplementedError

    def said(self, n: int) -> str:
        return f"Classify the message by intent, attempt {n}."

    def compile(self, task: Task) -> Any:
        best, best_score = task.program, -1.0
        for n in range(3):
            candidate = task.program.deepcopy()
            for predictor in candidate.predictors():
                predictor.signature = predictor.signature.with_instructions(self.said(n))
            score = self.score(task, candidate)
            if score > best_score:
                best, best_score = candidate, score
        return best

    def score(self, task: Task, candidate: Any) -> float:
        return float(dspy.Evaluate(devset=list(task.val), metric=task.metric, num_threads=1)(candidate).score)


class Drawing(Broken):
    def said(self, n: int) -> str:
        return super().said(n) + f" {time.time_ns()}"


class Careless(Broken):
    def score(self, task: Task, candidate: Any) -> float:
        score = 0.0
        for example in task.val:
            try:
                score += task.metric(example, candidate(**example.inputs()))
            except BaseException:  # noqa: BLE001, S112  what it must not do
                continue
        return score


class Promising(Broken):
    def calls(self, shape: Shape) -> Calls:
        return Calls(0, 1)


class Single(Broken):
    def compile(self, task: Task) -> Any:
        (_,) = task.program.predictors()
        return super().compile(task)


class Strict(Broken):
    def score(self, task: Task, candidate: Any) -> float:
        example = task.val[0]
        metric: Any = task.metric
        assert isinstance(metric.fn(example, candidate(**example.inputs())), bool)
        return super().score(task, candidate)


class Failing(Broken):
    def compile(self, task: Task) -> Any:
        raise KeyError("no such thing")


class Writing(Broken):
    def compile(self, task: Task) -> Any:
        Path("best.txt").write_text("the best so far", encoding="utf-8")
        return super().compile(task)


class Lent(Broken):
    def compile(self, task: Task) -> Any:
        task.program.predictors()[0].signature.instructions = "Changed for all who share it."
        return super().compile(task)


class Keeping(Broken):
    """Goes on from what a killed run left behind."""

    def said(self, n: int) -> str:
        begun = Path("begun.txt")
        if n == 0:
            self.again = begun.exists()
            begun.touch()
        if n == 2:
            begun.unlink()
        return super().said(n) + (" Go on." if self.again else "")


@pytest.mark.parametrize(
    ("broken", "reasons"),
    [
        (Drawing, {"determinism": "the same seed came to"}),
        (
            Careless,
            {
                "best so far": "24 validation answers outside of dspy.Evaluate",
                "budget stop": "more calls after they were refused",
            },
        ),
        (Promising, {"calls forecast": "of 28 to 41 forecast"}),
        (Single, {"several predictors": "ValueError"}),
        (Strict, {"feedback": "AssertionError"}),
        (Failing, {"one predictor": "KeyError: 'no such thing'"}),
        (Writing, {"no writes elsewhere": "best.txt"}),
        (Lent, {"no writes elsewhere": "signature"}),
        (Keeping, {"resume": "another program"}),
    ],
)
def test_what_breaks_a_rule_is_told_with_what_to_do(
    broken: type[Broken], reasons: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for found in check_optimizer(broken, checks=list(reasons)).checks:
        assert found.passed is False, found
        assert reasons[found.name] in found.reason
        assert found.next_step


def test_one_that_refuses_the_task_is_not_said_to_have_failed() -> None:
    found = check_optimizer(load("bootstrap_finetune"))
    assert not found.ok
    assert not found.failed
    assert {check.passed for check in found.checks} == {None}
    assert "needs a model that DSPy can fine-tune" in found.text()


class Uncounted(Broken):
    def calls(self, shape: Shape) -> Calls:
        raise KeyError(shape.train)


class Unchecked(Broken):
    def check(self, task: Task) -> None:
        raise AttributeError("no such field")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Uncounted, "broken cannot tell its calls: KeyError: 24; mend it"),
        (Unchecked, "broken cannot check the task: AttributeError: no such field; mend it"),
    ],
)
def test_one_that_raises_before_it_runs_fails(broken: type[Broken], said: str) -> None:
    found = check_optimizer(broken)
    assert [check.passed for check in found.checks] == [False, *[None] * (len(CHECKS) - 1)]
    assert found.checks[0].reason.startswith(said)
    assert found.failed


def test_what_cannot_be_checked_is_refused() -> None:
    class Presetless(Broken):
        presets = ("light",)  # type: ignore[assignment]

    with pytest.raises(InputError, match=r"cannot be checked: it declares presets = \('light',\): give a tuple of Pre"):
        check_optimizer(Presetless)
    with pytest.raises(InputError, match="not an Optimizer subclass"):
        check_optimizer(OptimizerParams)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="unknown parameter of copro 'breath': did you mean 'breadth'"):
        check_optimizer(load("copro"), {"breath": 2})
    with pytest.raises(NotFoundError, match="unknown check 'resum': did you mean 'resume'"):
        check_optimizer(load("copro"), checks=["resum"])
