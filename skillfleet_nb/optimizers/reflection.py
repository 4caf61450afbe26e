"""Reflection on failures: a model is shown what goes wrong, step by step, and asked for better signatures."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.example import is_answer
from skillfleet_nb.format import shortened
from skillfleet_nb.lm.faults import in_short, is_unanswered
from skillfleet_nb.optimizers.failures import Row

if TYPE_CHECKING:
    import random
    from collections.abc import Container, Mapping, Sequence

    from skillfleet_nb.optimizers.base import Task
    from skillfleet_nb.typing import Example, Program

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

_REPHRASE = """Say the instructions of a step in other words, in the manner that is asked for. All rules, names, values
and examples in them stay, and none is added."""
_MANNERS = (
    "short and to the point", "step by step", "as a list of rules", "what matters most first",
    "with the form of the answer said first", "as to a newcomer, everything said plainly",
)  # fmt: skip


class Proposal(NamedTuple):
    """A program with other signatures, and why it was proposed."""

    program: Program
    reasons: str


class Reflector:
    """Scores programs, shows a model what they did, and reads the signatures it proposes.

    Parameters
    ----------
    task
        Whose metric scores, and whose prompt model reflects.
    """

    def __init__(self, task: Task) -> None:
        self._task = task

    def scored(self, program: Program, examples: Sequence[Example]) -> list[Row | None]:
        """Score a program; what failed is asked once more, to learn why, and None stands for what went unanswered."""
        import dspy

        evaluation = dspy.Evaluate(
            devset=list(examples), metric=self._task.metric, num_threads=self._task.num_threads,
            max_errors=len(examples) + 1,
        )(program)  # fmt: skip
        return [
            Row(example, prediction, float(score), getattr(score, "feedback", None))
            if is_answer(prediction)
            else self._again(program, example)
            for example, prediction, score in evaluation.results
        ]

    def _again(self, program: Program, example: Example) -> Row | None:
        try:
            prediction = program(**example.inputs())
            score = self._task.metric(example, prediction)
        except Exception as exc:  # noqa: BLE001  whatever a program or a metric raises is a kind of failure
            return None if is_unanswered(exc) else Row(example, None, 0.0, in_short(exc), exc)
        return Row(example, prediction, float(score), getattr(score, "feedback", None))

    def propose(
        self,
        program: Program,
        kinds: str,
        wrong: Sequence[Row],
        right: Sequence[Row],
        *,
        tried: Sequence[str] = (),
        names: Container[str] | None = None,
    ) -> Proposal | None:
        """Ask for better signatures, one predictor after the other; None where nothing could be read or is new.

        Parameters
        ----------
        program
            The one to change; it stays as it is.
        kinds
            Of what kinds its failures are, in words.
        wrong, right
            What it did on examples it fails on, and on some that it answers well.
        tried
            What was proposed before and not taken, and why.
        names
            Predictors to change; None for all.
        """
        steps = [self.steps(program, rows) for rows in (wrong, right)]
        changed, reasons = program.deepcopy(), []
        for name, predictor in changed.named_predictors():
            shown = [[_seen(row, calls, name) for row, calls in part if name in calls] for part in steps]
            if not shown[0] or (names is not None and name not in names):  # not reached, or its failures raised before
                continue
            made = self._ask(name, predictor.signature, kinds, shown[0], shown[1], tried)
            if made is None:
                continue
            new = improved(predictor.signature, made["improved_instructions"], made["field_descriptions"])
            if new is not None:
                predictor.signature = new
                reasons.append(" ".join(str(made["reasons"]).split()))
        return Proposal(changed, " ".join(dict.fromkeys(reasons))) if reasons else None

    def _ask(
        self,
        name: str,
        signature: Any,
        kinds: str,
        wrong: Sequence[object],
        right: Sequence[object],
        tried: Sequence[str],
    ) -> Mapping[str, str] | None:
        import dspy

        proposer = dspy.Predict(_proposer())
        try:
            with dspy.context(lm=self._task.prompt_lm):
                made = proposer(
                    step=name,
                    current_instructions=signature.instructions,
                    step_fields=_listed(signature),
                    kinds_of_failures=kinds,
                    failures=json.dumps(wrong, ensure_ascii=False, default=str),
                    answered_well=json.dumps(right, ensure_ascii=False, default=str),
                    tried_before="\n".join(tried) or "nothing",
                )
        except Exception as exc:  # noqa: BLE001  a proposal that cannot be read or made is nothing proposed
            self._task.say(f"no proposal could be read: {in_short(exc)}")
            return None
        return {key: str(made[key] or "") for key in ("improved_instructions", "field_descriptions", "reasons")}

    def steps(self, program: Program, rows: Sequence[Row]) -> list[tuple[Row, dict[str, Any]]]:
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


def paraphrased(task: Task, program: Program, name: str, rng: random.Random) -> Program:
    """Say the instructions of one predictor in other words, in a copy of a program."""
    import dspy

    changed = program.deepcopy()
    predictor = dict(changed.named_predictors())[name]
    with dspy.context(lm=task.prompt_lm):
        made = dspy.Predict(_rephraser())(
            current_instructions=predictor.signature.instructions, manner=rng.choice(_MANNERS)
        )
    text = str(made.paraphrase or "").strip()
    if text:
        predictor.signature = predictor.signature.with_instructions(text)
    return changed


def _rephraser() -> Any:
    import dspy

    fields: dict[str, Any] = {
        "current_instructions": (str, dspy.InputField(desc="instructions of one step of a program")),
        "manner": (str, dspy.InputField(desc="in what manner to write them")),
        "paraphrase": (str, dspy.OutputField(desc="the instructions, and nothing else")),
    }
    return dspy.Signature(fields, _REPHRASE, "ParaphraseInstructions")
