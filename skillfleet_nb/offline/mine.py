"""Mining examples out of the prompts that DSPy's optimizers send to their prompt model.

Each reader takes the text of one input field and gives the examples it shows, or none where the text is
not in that form.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from skillfleet_nb.offline.notes import plain
from skillfleet_nb.offline.prompt import Example
from skillfleet_nb.offline.text import literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EXAMPLE = "Example({"
_KEYS = re.compile(r"\}\) \(input_keys=(\{[^}]*\}|None)\)")
_WHAT = r"(?:answer|label|value|output)"
_RIGHT = re.compile(
    rf"\b(?:(?:correct|right|true)(?: {_WHAT})?|should (?:be|have been)|expected|gold|target|truth|reference)\b"
    rf"(?: (?:is|was|be|{_WHAT}))*[\s:=]*",
    re.IGNORECASE,
)
_GOOD = re.compile(
    r"\b(?:correct|right|perfect|exact match|good|well done|matches|score of (?:1(?:\.0+)?|True|100))\b", re.IGNORECASE
)
_BAD = re.compile(r"\b(?:not|in|wrong|should|expected|instead|but|miss\w*|fail\w*)\b|incorrect", re.IGNORECASE)
_ADVICE = re.compile(r"""(?:^|[.!?:;]\s+)([A-Z][^.!?:"“”]*:?\s*["“][A-Z][^"“”]*["”][^.!?]*[.!?]?)""", re.MULTILINE)
_FEWEST = 2  # feedbacks that say the same
_TAIL = re.compile(r"(?:,? (?:but )?(?:got|not|instead|rather|and|but)\b|[,;\n)]| \(|\. |\.?\Z)")


def from_reprs(text: str) -> list[Example]:
    """Read ``[Example({...}) (input_keys={...}), ...]``, as MIPROv2 shows a data set.

    Examples
    --------
    >>> from_reprs("[Example({'q': 'hi', 'a': 'yo'}) (input_keys={'q'})]")
    [Example(inputs={'q': 'hi'}, outputs={'a': 'yo'})]
    """
    examples, start = [], text.find(_EXAMPLE)
    while start >= 0:
        begin, end = start + len(_EXAMPLE) - 1, None
        for end in _KEYS.finditer(text, begin):
            values, keys = _literal(text[begin : end.start() + 1]), _literal(end[1])
            if isinstance(values, dict):
                names = keys or {next(iter(values), "")}
                examples.append(
                    Example(
                        {str(k): plain(v) for k, v in values.items() if k in names},
                        {str(k): v for k, v in values.items() if k not in names and v is not None},
                    )
                )
                break
        start = text.find(_EXAMPLE, end.end() if end else begin)
    return [example for example in examples if example.inputs and example.outputs]


def _literal(text: str) -> Any:
    try:
        return literal(text)
    except ValueError:
        return None


def from_prefixed(text: str, inputs: Sequence[str], outputs: Sequence[str]) -> list[Example]:
    """Read demos written as ``Field Name: value`` lines, as MIPROv2 shows a module's demos."""
    names = [*inputs, *outputs]
    if not names:
        return []
    spelt = {name.replace("_", " ").lower(): name for name in names}
    head = re.compile(
        rf"^({'|'.join(map(re.escape, sorted(spelt, key=len, reverse=True)))}):", re.IGNORECASE | re.MULTILINE
    )
    records: list[dict[str, str]] = []
    heads = list(head.finditer(text))
    for i, match in enumerate(heads):
        name = spelt[match[1].lower()]
        stop = heads[i + 1].start() if i + 1 < len(heads) else len(text)
        if name == names[0] or not records:
            records.append({})
        records[-1].setdefault(name, text[match.end() : stop].strip())
    return _pairs(records, inputs, outputs)


def from_rules_text(text: str) -> list[Example]:
    """Read ``Input Fields: … ========= Output Fields: …``, as InferRules shows its examples."""
    examples = []
    for block in text.split("Input Fields:\n")[1:]:
        asked, mark, answers = block.partition("\n\n=========\nOutput Fields:\n")
        if mark:
            examples.append(Example(_lines(asked), dict(_lines(answers.strip()))))
    return [example for example in examples if example.inputs and example.outputs]


def _lines(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        match = re.match(r"(\w+): (.*)", line)
        if match:
            name = match[1]
            values[name] = match[2]
        elif name:
            values[name] += "\n" + line
    return {key: value.strip() for key, value in values.items()}


def from_feedback(text: str) -> list[Example]:
    """Read GEPA's records and give the outputs that their feedback shows to be right."""
    try:
        records = json.loads(text)
    except ValueError:
        records = _literal(text)
    examples = []
    for record in records if isinstance(records, list) else []:
        if isinstance(record, dict) and isinstance(record.get("Inputs"), dict):
            generated = record.get("Generated Outputs")
            outputs = right_outputs(generated if isinstance(generated, dict) else {}, str(record.get("Feedback", "")))
            inputs = {str(k): plain(v) for k, v in record["Inputs"].items()}
            if outputs and inputs:
                examples.append(Example(inputs, outputs))
    return examples


def advice(feedbacks: Sequence[str]) -> dict[str, int]:
    """Gather what most of several feedbacks say that answers lack, in sentences that quote what to write.

    Examples
    --------
    >>> advice(['The page needs: Add a "Rules" section. Try again.', 'Add a "Rules" section.', 'Add a "Map".'])
    {'Add a "Rules" section.': 2}
    """
    counts = Counter(said for text in feedbacks for said in dict.fromkeys(m[1].strip() for m in _ADVICE.finditer(text)))
    return {said: n for said, n in counts.items() if n >= max(_FEWEST, len(feedbacks) / 2)}


def feedback_of(text: str) -> list[str]:
    """Read GEPA's records and give the feedback of those that do not tell what is right."""
    records = _json(text)
    return [
        str(record.get("Feedback", ""))
        for record in (records if isinstance(records, list) else _literal(text) or [])
        if isinstance(record, dict) and not from_feedback(json.dumps([record], default=str))
    ]


def feedback_of_tuning(text: str, outputs: Sequence[str]) -> list[str]:
    """Read the records that signature tuning shows, and give the feedback of those that do not tell what is right."""
    records = _json(text)
    return [
        str(record.get("feedback", ""))
        for record in (records if isinstance(records, list) else [])
        if isinstance(record, dict) and not from_tuning(json.dumps([record], default=str), outputs)
    ]


def from_tuning(text: str, outputs: Sequence[str]) -> list[Example]:
    """Read the records that signature tuning shows of a step, and give what is right of its `outputs`.

    Examples
    --------
    >>> record = {"inputs": {"q": "hi"}, "answered": {"a": "no"}, "right": {"a": "yo", "b": 1}, "score": 0}
    >>> from_tuning(json.dumps([record]), ["a"])
    [Example(inputs={'q': 'hi'}, outputs={'a': 'yo'})]
    """
    records = _json(text)
    examples = []
    for record in records if isinstance(records, list) else []:
        if not isinstance(record, dict) or not isinstance(record.get("inputs"), dict):
            continue
        right, answered = (_mapping(record.get(key)) for key in ("right", "answered"))
        outputs_known = {name: value for name, value in right.items() if name in outputs and value is not None}
        if not outputs_known:
            outputs_known = (
                answered if record.get("score") == 1 else right_outputs(answered, str(record.get("feedback", "")))
            )
            outputs_known = {
                name: value for name, value in outputs_known.items() if name in outputs and name != "reasoning"
            }
        inputs = {str(key): plain(value) for key, value in record["inputs"].items()}
        if outputs_known and inputs:
            examples.append(Example(inputs, outputs_known))
    return examples


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def right_outputs(generated: Mapping[str, Any], feedback: str) -> dict[str, Any]:
    """Tell which outputs are right by the feedback on those given.

    Examples
    --------
    >>> right_outputs({"label": "spam"}, "expected 'ham', got 'spam'")
    {'label': 'ham'}
    >>> right_outputs({"label": "spam"}, "Correct.")
    {'label': 'spam'}
    """
    names = [name for name in generated if name != "reasoning"]
    right: dict[str, Any] = {}
    for name in names:
        about = feedback if len(names) == 1 else _about(name, names, feedback)
        if not about:
            continue
        expected = _expected(about)
        if expected is not None:
            right[name] = expected
        elif _GOOD.search(about) and not _BAD.search(about):
            right[name] = generated[name]
    if not right and _GOOD.search(feedback) and not _BAD.search(feedback):
        right = {name: generated[name] for name in names}
    return right


def _about(name: str, names: Sequence[str], feedback: str) -> str:
    """Cut out of `feedback` what speaks of output `name`: from its name to the next one."""
    start = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", feedback)
    if not start:
        return ""
    others = [m.start() for other in names if other != name
              for m in re.finditer(rf"(?<!\w){re.escape(other)}(?!\w)[`'\"]?\s*[:=]", feedback)
              if m.start() > start.end()]  # fmt: skip
    return feedback[start.start() : min(others, default=len(feedback))]


def _expected(about: str) -> str | None:
    for match in _RIGHT.finditer(about):
        rest = about[match.end() :].lstrip()
        if rest[:1] in {"'", '"', "`"}:
            close = rest.find(rest[0], 1)
            if close > 1:
                return rest[1:close]
            continue
        if rest[:1] in {"[", "{"}:
            value = _bracketed(rest)
            if value is not None:
                return value
        end = _TAIL.search(rest)
        stated = rest[: end.start()].strip() if end else ""
        if stated:
            return stated
    return None


def _bracketed(text: str) -> str | None:
    depth = 0
    for i, char in enumerate(text):
        depth += (char in "[{") - (char in "]}")
        if depth == 0:
            return text[: i + 1]
    return None


def from_trajectory(module: str, fields: Mapping[str, str]) -> list[Example]:
    """Read what SIMBA shows of one module: its input, and its output as the data or the better run has it.

    Parameters
    ----------
    module
        Name of the module.
    fields
        The input fields of the prompt, as texts.
    """
    oracle, better = _json(fields.get("oracle_metadata")), _json(fields.get("better_program_trajectory"))
    worse = _json(fields.get("worse_program_trajectory"))
    steps = [s for run in (better, worse) if isinstance(run, list) for s in run
             if isinstance(s, dict) and s.get("module_name") == module]  # fmt: skip
    if not steps:
        return []
    truth = oracle if isinstance(oracle, dict) else {}
    won = better if isinstance(better, list) else []
    reached = _number(fields.get("better_reward_value")) > _number(fields.get("worse_reward_value"))
    outputs: dict[str, Any] = {}
    for name, value in (steps[0].get("outputs") or {}).items():
        truth_value = next((truth[k] for k in (name, f"expected_{name}", f"gold_{name}") if k in truth), None)
        if truth_value is not None:
            outputs[name] = truth_value
        elif reached and steps[0] in won and name != "reasoning":
            outputs[name] = value
    inputs = {str(k): plain(v) for k, v in (steps[0].get("inputs") or {}).items()}
    return [Example(inputs, outputs)] if inputs and outputs else []


def _json(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("-inf")


def _pairs(records: list[dict[str, str]], inputs: Sequence[str], outputs: Sequence[str]) -> list[Example]:
    pairs = [
        Example(
            {k: v for k, v in values.items() if k in inputs},
            {k: v for k, v in values.items() if k in outputs and k != "reasoning"},
        )
        for values in records
    ]
    return [pair for pair in pairs if pair.inputs and pair.outputs]
