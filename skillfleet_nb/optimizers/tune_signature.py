"""Signature tuning: instructions and field descriptions rewritten for what fails, taken only where that is proven.

Each round looks for failures in the training examples, sorts them by kind, and asks a model for better
instructions and field descriptions with its reasons.  What it proposes is judged on validation, pair by pair with
the program it is to replace, and is taken only where it gains enough and chance does not explain it.  The level of
that interval holds for all rounds together, so that a longer search does not find more by luck.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, points_change, shortened
from skillfleet_nb.lm.faults import in_short, is_unanswered
from skillfleet_nb.optimizers.base import Decision, Optimizer, OptimizerParams, Preset, Proposals, Task
from skillfleet_nb.optimizers.failures import Failures, Row
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, rehearsed
from skillfleet_nb.optimizers.rehearsal.tune_signature import tune_signature
from skillfleet_nb.stats import p_in_words, paired_comparison, smallest_conclusive_n

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.stats import PairedComparison
    from skillfleet_nb.typing import Example, Program

_CONFIDENCE = 0.95
_SHOWN_CHARS = 1000  # of a value in a prompt
_FIELD_LINE = re.compile(r"^[\s\-*`\"']*(\w+)[`\"']*\s*[:=]\s*(.+?)\s*$", re.MULTILINE)
_ASK = """Improve one step of a program that calls a language model. You are shown its instructions, its fields with
their types and descriptions, the kinds of its failures with how often each occurs, some of its failures with the right
values where they are known, some inputs that it answers well, and what was tried before and not taken.

First say what goes wrong and why, in a few lines: the reasons. Then write instructions that would have prevented
these failures, without breaking what goes well: keep all that is right in the present ones, state the rules that
tell apart what is confused, name what to look for in the input, and say what form each answer has. Instructions are
read for every input, so they must not be about single examples. Last, give better descriptions for the fields that
need them, one a line as `name: description`, and leave out those that are good. Names and types of fields stay."""


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
    presets = (Preset(prior_gain=0.12, few_shot=False),)
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
        least = smallest_conclusive_n(self.params.confidence)
        if len(task.val) < least:
            raise InputError(
                f"tune_signature accepts what is proven on validation, and {len(task.val)} examples can prove nothing "
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


class _Proposal(NamedTuple):
    """What a round came to: a changed program, and why it was proposed."""

    program: Program
    reasons: str


class _Search:
    """One run: rounds of proposals, each judged on validation."""

    def __init__(
        self, task: Task, params: TuneSignatureParams, train: Sequence[Example], val: Sequence[Example]
    ) -> None:
        self._task, self._params, self._val = task, params, val
        self._rng = random.Random(task.seed)
        self._train = list(train) if len(train) <= params.sample else self._rng.sample(list(train), params.sample)
        self._shown: Counter[int] = Counter()
        self._tried: list[str] = []

    def run(self, program: Program) -> Program:
        """Tune until all rounds are used, or nothing fails."""
        seen = {_said(program)}
        scored, failures, examples = self._scored(program, self._val), None, self._params.examples
        for number in range(1, self._params.rounds + 1):
            if failures is None:
                failures = Failures.of([row for row in self._scored(program, self._train) if row is not None])
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
            rows = self._scored(proposal.program, self._val)
            if self._accepts(program, proposal, scored, rows):
                program, scored = proposal.program, rows
                failures, examples, self._tried = None, self._params.examples, []
        return program

    def _accepts(
        self, program: Program, proposal: _Proposal, before: Sequence[Row | None], after: Sequence[Row | None]
    ) -> bool:
        """Judge a proposal by the examples on which both programs were answered."""
        pairs = [(b.score, a.score) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
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

    def _scored(self, program: Program, examples: Sequence[Example]) -> list[Row | None]:
        """Score a program; what failed is asked once more, to learn why, and None stands for what went unanswered."""
        import dspy

        evaluation = dspy.Evaluate(
            devset=list(examples), metric=self._task.metric, num_threads=self._task.num_threads,
            max_errors=len(examples) + 1,
        )(program)  # fmt: skip
        return [
            self._again(program, example)
            if prediction is None or not list(prediction.keys())
            else Row(example, prediction, float(score), getattr(score, "feedback", None))
            for example, prediction, score in evaluation.results
        ]

    def _again(self, program: Program, example: Example) -> Row | None:
        try:
            prediction = program(**example.inputs())
            score = self._task.metric(example, prediction)
        except Exception as exc:  # noqa: BLE001  whatever a program or a metric raises is a kind of failure
            return None if is_unanswered(exc) else Row(example, None, 0.0, in_short(exc), exc)
        return Row(example, prediction, float(score), getattr(score, "feedback", None))

    def _propose(self, program: Program, failures: Failures, n: int) -> _Proposal | None:
        """Ask for better signatures, one predictor after the other; None where nothing could be read or is new."""
        wrong = failures.chosen(n, self._shown, self._rng)
        right = failures.kept(max(1, n // 2), self._shown, self._rng)
        self._shown.update(id(row.example) for row in (*wrong, *right))
        steps = [self._steps(program, rows) for rows in (wrong, right)]
        changed, reasons = program.deepcopy(), []
        for name, predictor in changed.named_predictors():
            shown = [[_seen(row, calls, name) for row, calls in part if name in calls] for part in steps]
            if not shown[0]:  # it was not reached, or its failures raised before it
                continue
            made = self._ask(name, predictor.signature, failures, *shown)
            if made is None:
                continue
            new = improved(predictor.signature, made["improved_instructions"], made["field_descriptions"])
            if new is not None:
                predictor.signature = new
                reasons.append(" ".join(str(made["reasons"]).split()))
        return _Proposal(changed, " ".join(dict.fromkeys(reasons))) if reasons else None

    def _ask(
        self, name: str, signature: Any, failures: Failures, wrong: Sequence[object], right: Sequence[object]
    ) -> Mapping[str, str] | None:
        import dspy

        proposer = dspy.Predict(_proposer())
        try:
            with dspy.context(lm=self._task.prompt_lm):
                made = proposer(
                    step=name,
                    current_instructions=signature.instructions,
                    step_fields=_listed(signature),
                    kinds_of_failures=failures.told(),
                    failures=json.dumps(wrong, ensure_ascii=False, default=str),
                    answered_well=json.dumps(right, ensure_ascii=False, default=str),
                    tried_before="\n".join(self._tried) or "nothing",
                )
        except Exception as exc:  # noqa: BLE001  a proposal that cannot be read or made is a round lost
            self._task.say(f"no proposal could be read: {in_short(exc)}")
            return None
        return {key: str(made[key] or "") for key in ("improved_instructions", "field_descriptions", "reasons")}

    def _steps(self, program: Program, rows: Sequence[Row]) -> list[tuple[Row, dict[str, Any]]]:
        """Run a program again on rows, which the cache answers, to see what each predictor was given and said."""
        import dspy

        names = {id(predictor): name for name, predictor in program.named_predictors()}
        rows_with_steps = []
        for row in rows:
            with dspy.context(trace=[]):
                with suppress(Exception):  # what it raises is known; the steps before it are wanted
                    program(**row.example.inputs())
                trace = list(dspy.settings.trace)
            steps: dict[str, Any] = {}
            for predictor, inputs, prediction in trace:
                steps.setdefault(names.get(id(predictor), ""), (inputs, prediction))
            if len(names) == 1:  # one that raised leaves no trace
                steps.setdefault(next(iter(names.values())), (row.example.inputs(), None))
            rows_with_steps.append((row, steps))
        return rows_with_steps


def improved(signature: Any, instructions: str, descriptions: str) -> Any | None:
    """Return a signature with other instructions and field descriptions; None where that changes nothing.

    Parameters
    ----------
    signature
        The one to change; it stays as it is.
    instructions
        The new ones; an empty text keeps those there are.
    descriptions
        One a line, ``name: description``; what names no field is passed over.

    Examples
    --------
    >>> import dspy
    >>> made = improved(dspy.Signature("text -> team"), "Sort.", "- `team`: billing or tech")
    >>> made.instructions, made.fields["team"].json_schema_extra["desc"]
    ('Sort.', 'billing or tech')
    """
    text = instructions.strip() or signature.instructions
    descriptions_new = {name: desc for name, desc in _FIELD_LINE.findall(descriptions) if name in signature.fields}
    descriptions_new = {
        n: d for n, d in descriptions_new.items() if d != signature.fields[n].json_schema_extra.get("desc")
    }
    if text == signature.instructions and not descriptions_new:
        return None
    signature = signature.with_instructions(text)
    for name, desc in descriptions_new.items():
        signature = signature.with_updated_fields(name, desc=desc)
    return signature


def _proposer() -> Any:
    import dspy

    shown = {
        "step": "name of the step",
        "current_instructions": "instructions of the step",
        "step_fields": "its fields, one a line: name, input or output, type, description",
        "kinds_of_failures": "how often each kind of failure occurs",
        "failures": "failures: what it was given, what it answered, what is right, and what the metric said",
        "answered_well": "inputs that are answered well, which must stay so",
        "tried_before": "proposals that were not taken, and why",
    }
    wanted = {
        "reasons": "what goes wrong and why, and what is changed for it",
        "improved_instructions": "instructions that prevent it",
        "field_descriptions": "one a line, name: description; empty if all are good",
    }
    fields: dict[str, Any] = {name: (str, dspy.InputField(desc=desc)) for name, desc in shown.items()}
    fields |= {name: (str, dspy.OutputField(desc=desc)) for name, desc in wanted.items()}
    return dspy.Signature(fields, _ASK, "ImproveSignature")


def _listed(signature: Any) -> str:
    from skillfleet_nb.programs.signatures import fields_of

    lines = []
    for field in fields_of(signature):
        desc = signature.fields[field.name].json_schema_extra.get("desc", "")
        description = "" if desc == f"${{{field.name}}}" else f": {desc}"  # what DSPy writes where nothing was said
        lines.append(f"{field.name} ({field.role}, {shortened(field.type or 'str', 200)}){description}")
    return "\n".join(lines)


def _seen(row: Row, steps: Mapping[str, Any], name: str) -> dict[str, object]:
    """Tell what a predictor was given and said on a row, and what is right."""
    inputs, prediction = steps[name]
    answered = dict(prediction.items()) if prediction is not None else {}
    labels = row.example.labels().toDict()
    right = {key: value for key, value in labels.items() if key in answered} or labels
    record: dict[str, object] = {"inputs": _short(dict(inputs.items())), "answered": _short(answered)}
    record["right"] = _short(right)
    record["score"] = round(row.score, 3)
    if row.feedback:
        record["feedback"] = shortened(row.feedback, _SHOWN_CHARS)
    return record


def _short(values: Mapping[str, Any]) -> dict[str, object]:
    return {
        str(key): shortened(value, _SHOWN_CHARS) if isinstance(value, str) else value for key, value in values.items()
    }


def _told(comparison: PairedComparison, min_gain: float, *, accepted: bool) -> str:
    interval = f"{points_change(comparison.low)} to {points_change(comparison.high)}"
    gain = (
        f"{points_change(comparison.delta)} points on {comparison.n} validation examples "
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
