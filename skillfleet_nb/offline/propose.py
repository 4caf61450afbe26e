"""Answering the proposers: the prompts in which DSPy's optimizers ask for a better instruction.

Every proposal is mined from what the prompt shows (examples, demos, feedback, attempts with scores) and
written as notes and manners, which the learner of this package reads back.  What a proposer may say is
bounded in length.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from skillfleet_nb.offline import mine
from skillfleet_nb.offline.evidence import MANNERS
from skillfleet_nb.offline.notes import CUE_CHARS, Notes, read_notes
from skillfleet_nb.offline.text import draw, sentences, words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from skillfleet_nb.offline.prompt import Example, PromptSpec

Inputs = dict[str, str]

_ARROW = re.compile(r"\w+\(([\w, ]*)\s*->\s*([\w, ]+)")
_ATTEMPT = re.compile(
    r"Instruction #(\d+): (.*?)[»\s]*(?:\[\d+\]\s*[«\s]*)?Prefix #\1: (.*?)[»\s]*(?:\[\d+\]\s*[«\s]*)?"
    r"Resulting Score #\1: ([\d.]+)",
    re.DOTALL,
)
_OUTPUT_FIELD = re.compile(r"^(\w+) \(output", re.MULTILINE)
_PREFIX = "The answer is:"
_GUIDE = "Weigh the words of the input against the notes below and give the answer they support best."


def find_proposer(spec: PromptSpec) -> Callable[[Inputs, int], dict[str, Any]] | None:
    """Find who answers a prompt with these fields; None for an ordinary task.

    The function found takes the input texts and the number of the candidate (0 for the first; more where a
    call asks for ``n > 1``) and gives the values of the output fields.
    """
    have = {field.name for field in spec.inputs}
    want = frozenset(field.name for field in spec.outputs) - {"reasoning"}
    for outputs, inputs, proposer in _PROPOSERS:
        if want == outputs and inputs <= have:
            return proposer
    return None


def _instruct(base: str, notes: Notes, *, manner: str = "", cue_chars: int = CUE_CHARS) -> str:
    """Write an instruction: what it said before, how to weigh evidence, and the notes."""
    guide = _GUIDE if notes.has_evidence and _GUIDE not in base else ""
    lead = " ".join(part for part in (base.strip(), guide, "" if manner in base else manner) if part)
    return "\n\n".join(part for part in (lead, notes.write(cue_chars=cue_chars)) if part)


def _observe(inputs: Inputs, _k: int) -> dict[str, Any]:
    examples = mine.from_reprs(inputs.get("examples", ""))
    if not examples:
        return {"observations": "COMPLETE" if "prior_observations" in inputs else _sketch(inputs.get("examples", ""))}
    before, _ = read_notes(inputs.get("prior_observations", ""))
    notes = Notes()
    notes.learn(examples, labels=before.cues)
    lead = "" if "prior_observations" in inputs else _portray(examples)
    return {"observations": "\n".join(part for part in (lead, notes.write()) if part)}


def _portray(examples: list[Example]) -> str:
    inputs, wanted = list(examples[0].inputs), list(examples[0].outputs)
    length = sorted(len(words("\n".join(e.inputs.values()))) for e in examples)[len(examples) // 2]
    return (
        f"Each sample of this data set gives {_listed(inputs)} and asks for {_listed(wanted)}, "
        f"and the inputs have about {length} words."
    )


def _listed(names: list[str]) -> str:
    return " and ".join(f"`{name}`" for name in names) or "nothing"


def _sketch(text: str) -> str:
    return " ".join(sentences(text)[:2])[:400] or "The text holds nothing to observe."


def _summarise(inputs: Inputs, _k: int) -> dict[str, Any]:
    notes, prose = read_notes(inputs.get("observations", ""))
    return {"summary": "\n\n".join(part for part in (_sketch(prose), notes.write()) if part)}


def _describe_program(inputs: Inputs, _k: int) -> dict[str, Any]:
    read, wanted = _signature(inputs.get("program_code", ""))
    return {
        "program_description": f"The program is designed to take {_listed(read)} and give {_listed(wanted)}, "
        "with one call of a language model for each of its modules."
    }


def _describe_module(inputs: Inputs, _k: int) -> dict[str, Any]:
    read, wanted = _signature(inputs.get("module", ""))
    return {"module_description": f"The module reads {_listed(read)} and works out {_listed(wanted)}."}


def _signature(code: str) -> tuple[list[str], list[str]]:
    match = _ARROW.search(code)
    if not match:
        return [], []
    return [n.strip() for n in match[1].split(",") if n.strip()], [n.strip() for n in match[2].split(",") if n.strip()]


def _propose(inputs: Inputs, _k: int) -> dict[str, Any]:
    """Propose MIPROv2's instruction: the basic one with what the data summary and the demos show."""
    notes, base = read_notes(inputs.get("basic_instruction", ""))
    shown, _ = read_notes(inputs.get("dataset_description", ""))
    read, wanted = _signature(inputs.get("module", ""))
    demos = mine.from_prefixed(inputs.get("task_demos", ""), read, wanted)
    shown = _only(shown, wanted)
    if not shown:
        shown.learn(demos)
    notes.merge(shown)
    tip = inputs.get("tip", "")
    if "persona" in tip:
        base = f"You are an expert at telling {_listed(wanted)} from {_listed(read)}. {base}"
    elif "stakes" in tip:
        base = f"{base} Much depends on the answer, so be exact."
    manner = MANNERS[int(draw(*inputs.values()) * len(MANNERS))][2] if "creative" in tip else ""
    chars = CUE_CHARS // 2 if "concise" in tip else CUE_CHARS
    return {"proposed_instruction": _instruct(base, notes, manner=manner, cue_chars=chars)}


def _only(notes: Notes, wanted: list[str]) -> Notes:
    """Keep the notes on the outputs of one module; all of them where it is not known."""
    if wanted and notes.cues.keys() & set(wanted):
        notes.cues = {name: cues for name, cues in notes.cues.items() if name in wanted}
    return notes


def _improve(inputs: Inputs, k: int) -> dict[str, Any]:
    """Propose COPRO's first candidates: no data to learn from, so each tries another manner."""
    base = inputs.get("basic_instruction", "")
    sentence = MANNERS[k % len(MANNERS)][2]
    return {
        "proposed_instruction": base if sentence in base else f"{base.strip()} {sentence}".strip(),
        "proposed_prefix_for_output_field": _PREFIX,
    }


def _improve_on(inputs: Inputs, k: int) -> dict[str, Any]:
    """Propose COPRO's next candidates: the best attempt, with the manners that went with higher scores."""
    attempts = [(m[2], float(m[4])) for m in _ATTEMPT.finditer(inputs.get("attempted_instructions", ""))]
    if not attempts:
        return _improve({"basic_instruction": _sketch(inputs.get("attempted_instructions", ""))}, k)
    best = max(attempts, key=lambda attempt: attempt[1])[0]
    gain = {}
    for _, _, sentence in MANNERS:
        used = [score for text, score in attempts if sentence in text]
        unused = [score for text, score in attempts if sentence not in text]
        if used and unused:
            gain[sentence] = sum(used) / len(used) - sum(unused) / len(unused)
    untried = [sentence for _, _, sentence in MANNERS if sentence not in gain]
    order = sorted(gain, key=lambda s: (-round(gain[s], 9), s))
    changes = [s for s in order if (s in best) == (gain[s] < 0)] + untried + order
    # Candidate k makes the k-th most promising change; later ones make two.
    chosen = [changes[k % len(changes)]]
    if k >= len(changes):
        chosen.append(changes[(k + 1) % len(changes)])
    text = best
    for sentence in chosen:
        text = text.replace(sentence, "").strip() if sentence in text else f"{text.strip()} {sentence}"
    return {"proposed_instruction": text, "proposed_prefix_for_output_field": _PREFIX}


def _advise(inputs: Inputs, _k: int) -> dict[str, Any]:
    """Advise SIMBA: for each module, what the data or the better run gave for this input."""
    advice = {}
    for module in _modules(inputs):
        notes = Notes()
        notes.learn(mine.from_trajectory(module, inputs))
        advice[module] = (
            f"If the module receives an input like one noted here, it should answer alike.\n{notes.write()}"
            if notes
            else "Keep to the given fields and answer by the evidence of the input."
        )
    better = "The better run gave " + inputs.get("better_program_outputs", "nothing")[:200]
    return {"discussion": better + " and the worse one " + inputs.get("worse_program_outputs", "nothing")[:200],
            "module_advice": advice}  # fmt: skip


def _hint(inputs: Inputs, _k: int) -> dict[str, Any]:
    """Advise ``dspy.Refine``: another answer than the one that was not good enough."""
    runs = _load(inputs.get("program_trajectory", ""))
    advice = {}
    for module in _modules(inputs):
        step = next((s for s in runs if isinstance(s, dict) and s.get("module_name") == module), {})
        refusals = [f"not `{v}` for `{n}`" for n, v in (step.get("outputs") or {}).items() if isinstance(v, (str, int))]
        advice[module] = "Answer " + ", ".join(refusals) + "; take the next best." if refusals else "N/A"
    return {"discussion": "The reward stayed below the threshold.", "advice": advice}


def _modules(inputs: Mapping[str, str]) -> list[str]:
    return [str(name) for name in _load(inputs.get("module_names", ""))]


def _load(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return []
    return value if isinstance(value, list) else []


def _reflect(inputs: Inputs, _k: int) -> dict[str, Any]:
    """Reflect for GEPA: the current instruction with everything it knows, and what the feedback adds."""
    notes, base = read_notes(inputs.get("current_instruction", ""))
    shown = inputs.get("examples_with_feedback", "")
    notes.learn(mine.from_feedback(shown))
    notes.take_advice(mine.advice(mine.feedback_of(shown)))
    return {"new_instruction": _instruct(base, notes)}


def _induce_rules(inputs: Inputs, _k: int) -> dict[str, Any]:
    examples = mine.from_rules_text(inputs.get("examples_text", ""))
    notes = Notes()
    notes.learn(examples)
    rules = f"{_GUIDE}\n\n{notes.write()}" if notes else _GUIDE
    return {"reasoning": f"The {len(examples)} examples differ in these words.", "natural_language_rules": rules}


def _tune(inputs: Inputs, _k: int) -> dict[str, Any]:
    """Tune a signature: its instructions with what the failures and the good answers show, and where to look it up."""
    outputs = _OUTPUT_FIELD.findall(inputs.get("step_fields", ""))
    notes, base = read_notes(inputs.get("current_instructions", ""))
    shown = [mine.from_tuning(inputs.get(name, ""), outputs) for name in ("failures", "answered_well")]
    notes.learn([*shown[0], *shown[1]])
    notes.take_advice(mine.advice(mine.feedback_of_tuning(inputs.get("failures", ""), outputs)))
    kinds = inputs.get("kinds_of_failures", "").splitlines()
    often = f"The most frequent failure is {kinds[0].partition(': ')[2]}." if kinds else "Nothing was said to fail."
    learned = f"The words of {len(shown[0])} failures and {len(shown[1])} good answers are noted with their values."
    described = [f"{name}: the value that the notes of the instructions support best" for name in notes.cues]
    return {
        "reasons": f"{often} {learned}",
        "improved_instructions": _instruct(base, notes),
        "field_descriptions": "\n".join(described),
    }


def _paraphrase(inputs: Inputs, _k: int) -> dict[str, Any]:
    """Say an instruction in other words: its notes stay, and it asks for them to be weighed in another manner."""
    notes, base = read_notes(inputs.get("current_instructions", ""))
    used = [sentence for _, _, sentence in MANNERS if sentence in base]
    for sentence in used:
        base = base.replace(sentence, "").strip()
    others = [sentence for _, _, sentence in MANNERS if sentence not in used]
    return {"paraphrase": _instruct(base, notes, manner=others[int(draw(*inputs.values()) * len(others))])}


def _shorten(inputs: Inputs, _k: int) -> dict[str, Any]:
    limit = next((int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", inputs.get("length_limit", ""))), 2000)
    notes, base = read_notes(inputs.get("instruction", ""))
    room = max(limit - len(base) - 50, 0)
    text = "\n\n".join(part for part in (base, notes.write(cue_chars=room // 2, example_chars=room // 2)) if part)
    return {"shortened_instruction": text}


_PROPOSERS: tuple[tuple[frozenset[str], frozenset[str], Callable[[Inputs, int], dict[str, Any]]], ...] = (
    (frozenset({"observations"}), frozenset({"examples"}), _observe),
    (frozenset({"summary"}), frozenset({"observations"}), _summarise),
    (frozenset({"program_description"}), frozenset({"program_code"}), _describe_program),
    (frozenset({"module_description"}), frozenset({"program_code", "module"}), _describe_module),
    (frozenset({"proposed_instruction"}), frozenset({"basic_instruction"}), _propose),
    (
        frozenset({"proposed_instruction", "proposed_prefix_for_output_field"}),
        frozenset({"basic_instruction"}),
        _improve,
    ),
    (
        frozenset({"proposed_instruction", "proposed_prefix_for_output_field"}),
        frozenset({"attempted_instructions"}),
        _improve_on,
    ),
    (frozenset({"discussion", "module_advice"}), frozenset({"module_names"}), _advise),
    (frozenset({"discussion", "advice"}), frozenset({"module_names"}), _hint),
    (frozenset({"new_instruction"}), frozenset({"current_instruction", "examples_with_feedback"}), _reflect),
    (frozenset({"natural_language_rules"}), frozenset({"examples_text"}), _induce_rules),
    (
        frozenset({"reasons", "improved_instructions", "field_descriptions"}),
        frozenset({"current_instructions", "failures"}),
        _tune,
    ),
    (frozenset({"paraphrase"}), frozenset({"current_instructions", "manner"}), _paraphrase),
    (frozenset({"shortened_instruction"}), frozenset({"instruction"}), _shorten),
)
