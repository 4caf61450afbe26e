"""Signature tuning: instructions and field descriptions rewritten for what fails, taken only where that is proven.

Each round looks for failures in the training examples, sorts them by kind, and asks a model for better
instructions and field descriptions with its reasons.  What it proposes is judged on validation, pair by pair with
the program it is to replace, and is taken only where it gains enough and chance does not explain it.  The level of
that interval holds for all rounds together, so that a longer search does not find more by luck.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.data.identity import firsts
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, points_change
from skillfleet_nb.optimizers.base import Decision, Optimizer, OptimizerParams, Preset, Proposals, Task
from skillfleet_nb.optimizers.failures import Failures, Row
from skillfleet_nb.optimizers.reflection import Proposal, Reflector
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, rehearsed
from skillfleet_nb.optimizers.rehearsal.tune_signature import tune_signature
from skillfleet_nb.stats import p_in_words, paired_comparison, smallest_conclusive_n

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.stats import PairedComparison
    from skillfleet_nb.typing import Example, Program

_CONFIDENCE = 0.95


class TuneSignatureParams(OptimizerParams):
    """Parameters of signature tuning."""

    rounds: int = Field(3, ge=1, le=50, description="proposals at most, each judged on validation")
    min_gain: float = Field(0.05, ge=0, lt=1, description="least gain on validation, in [0, 1], of what is accepted")
    examples: int = Field(24, ge=1, description="failures shown with a proposal; twice as many after one not accepted")
    sample: int = Field(100, ge=1, description="training examples, at most, in which failures are looked for")

    @property
    def confidence(self) -> float:
        """Level of the interval of one round: all rounds together keep to 95%."""
        return 1 - (1 - _CONFIDENCE) / self.rounds


class TuneSignature(Optimizer):
    """Rewrite instructions and field descriptions for what fails; accept only proven gains."""

    name = "tune_signature"
    summary = "instructions and field descriptions for what fails; only proven gains are accepted"
    changes = frozenset({"instructions"})
    needs = "best with a metric that returns dspy.Prediction(score, feedback)"
    presets = (Preset(prior_gain=0.096, few_shot=False),)
    prompt_role = "reflection"
    decides = True
    Params = TuneSignatureParams
    params: TuneSignatureParams
    proposals = Proposals(
        template=700, per_example=2.5, answer=150, answer_label=45, instruction=100, instruction_label=52
    )

    @override
    def check(self, task: Task) -> None:
        super().check(task)
        least, n = smallest_conclusive_n(self.params.confidence), len(firsts(task.val))
        if n < least:
            raise InputError(
                f"tune_signature accepts what is proven on validation, and {counted(n, 'example')} can prove nothing "
                f"in {counted(self.params.rounds, 'round')}: give at least {least}, or choose gepa"
            )

    @override
    def calls(self, shape: Shape) -> Calls:
        p = self.params
        return rehearsed(shape, lambda run: tune_signature(run, rounds=p.rounds, examples=p.examples, sample=p.sample))

    @override
    def build(self, task: Task) -> Any:
        from dspy.teleprompt import Teleprompter

        params = self.params

        class Tuning(Teleprompter):  # type: ignore[misc]  # dspy is untyped
            """The search in the form of DSPy's own optimizers."""

            def compile(self, student: Any, *, trainset: Any, valset: Any, teacher: object = None) -> Any:
                del teacher
                return _Search(task, params, trainset, valset).run(student)

        return Tuning()


class _Search:
    """One run: rounds of proposals, each judged on validation."""

    def __init__(
        self, task: Task, params: TuneSignatureParams, train: Sequence[Example], val: Sequence[Example]
    ) -> None:
        self._task, self._params, self._val = task, params, val
        self._reflector = Reflector(task)
        self._rng = random.Random(task.seed)
        self._train = list(train) if len(train) <= params.sample else self._rng.sample(list(train), params.sample)
        self._shown: Counter[int] = Counter()
        self._tried: list[str] = []

    def run(self, program: Program) -> Program:
        """Tune until all rounds are used, or nothing fails."""
        seen = {_said(program)}
        scored, failures, examples = self._reflector.scored(program, self._val), None, self._params.examples
        for number in range(1, self._params.rounds + 1):
            if failures is None:
                failures = Failures.of([row for row in self._reflector.scored(program, self._train) if row is not None])
            if not failures.rows:
                self._task.say("nothing fails on the training examples")
                break
            self._task.say(f"proposing for {counted(failures.rows, 'failure')}, round {number}")
            proposal = self._propose(program, failures, examples)
            examples *= 2
            if proposal is None or _said(proposal.program) in seen:
                self._task.say(f"round {number} proposed nothing new")
                continue
            seen.add(_said(proposal.program))
            self._task.lineage(_instructions(proposal.program), [_instructions(program)])
            self._task.say(f"judging the proposal of round {number} on validation")
            rows = self._reflector.scored(proposal.program, self._val)
            if self._accepts(program, proposal, scored, rows):
                program, scored = proposal.program, rows
                failures, examples, self._tried = None, self._params.examples, []
        return program

    def _accepts(
        self, program: Program, proposal: Proposal, before: Sequence[Row | None], after: Sequence[Row | None]
    ) -> bool:
        """Judge a proposal by the examples on which both programs were answered, each once."""
        both = ((before[n], after[n]) for n in firsts(self._val))
        pairs = [(b.score, a.score) for b, a in both if b is not None and a is not None]
        if not pairs:
            return False
        comparison = paired_comparison(
            [b for b, _ in pairs], [a for _, a in pairs], confidence=self._params.confidence, seed=self._task.seed
        )
        accepted = comparison.verdict == "improved" and comparison.delta >= self._params.min_gain
        reasons = _told(comparison, self._params.min_gain, accepted=accepted)
        self._task.decided(Decision(proposal.program, program, accepted, proposal.reasons, reasons))
        self._task.say(reasons)
        self._tried.append(f"{reasons}. It was proposed because: {proposal.reasons}")
        return accepted

    def _propose(self, program: Program, failures: Failures, n: int) -> Proposal | None:
        """Ask for better signatures; None where nothing could be read or is new."""
        wrong = failures.chosen(n, self._shown, self._rng)
        right = failures.kept(max(1, n // 2), self._shown, self._rng)
        self._shown.update(id(row.example) for row in (*wrong, *right))
        return self._reflector.propose(program, failures.told(), wrong, right, tried=self._tried)


def _told(comparison: PairedComparison, min_gain: float, *, accepted: bool) -> str:
    interval = f"{points_change(comparison.low)} to {points_change(comparison.high)}"
    gain = (
        f"{points_change(comparison.delta)} points on {counted(comparison.n, 'validation example')} "
        f"({100 * comparison.confidence:.3g}% interval {interval}, {p_in_words(comparison.p_value)})"
    )
    if accepted:
        return f"accepted: {gain}"
    if comparison.delta < min_gain:
        return f"not accepted: {gain}, less than the {points_change(min_gain)} asked for"
    return f"not accepted: {gain}, which chance may explain"


def _instructions(program: Program) -> dict[str, str]:
    return {name: predictor.signature.instructions for name, predictor in program.named_predictors()}


def _said(program: Program) -> str:
    """Tell what the signatures of a program say, to know it again."""
    return json.dumps(
        {
            name: [
                p.signature.instructions,
                {n: f.json_schema_extra.get("desc") for n, f in p.signature.fields.items()},
            ]
            for name, p in program.named_predictors()
        }
    )
