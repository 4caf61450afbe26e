"""Notes: what an instruction tells about a task, in words that both a person and this model read.

A proposer mines examples and *writes* notes into the instruction it proposes; the learner *reads* them
back out of whatever instruction it is given.  Both directions live here so that they cannot drift apart.
Notes are of three kinds.  Cues say which words went with which label, how often::

    Cues for `label`, with how often each was seen:
    - `billing` (2): refund (2), invoice (1).

Worked examples show whole answers, one JSON object a line.  Advice is what feedback said again and again that answers
lacked, in its own words, where it quotes what to write::

    What answers lacked, with how often it was said:
    - (3) End the description with its trigger: "Use when …".
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skillfleet_nb.offline.prompt import Example, Field, PromptSpec, PromptTask
from skillfleet_nb.offline.text import STOP_WORDS, features, name_words, sentences, stem, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CUE_CHARS = 9_000
EXAMPLE_CHARS = 6_000
_CUES_PER_LABEL = 28
_LABEL_CHARS = 80
_LABEL_WORDS = 8
_DERIVED = 0.6
_CUES_HEAD = "Cues for `{}`, with how often each was seen:"
_EXAMPLES_HEAD = "Worked examples:"
_ADVICE_HEAD = "What answers lacked, with how often it was said:"
_MOST_ADVICE = 8
_ADVISED = re.compile(r"^- \((\d+)\) (.+)$", re.MULTILINE)
_HEAD = re.compile(r"Cues for `(\w+)`, with how often each was seen:")
_LINE = re.compile(r"^- `(.+?)` \((\d+)\):((?: [\w ]+ \(\d+\),?)*)", re.MULTILINE)
_CUE = re.compile(r" ([\w ]+?) \((\d+)\)")
_WORKED = re.compile(r'^- (\{"inputs": .*)$', re.MULTILINE)
_AGAINST = re.compile(
    r"(?:\bnot|\brather than|\binstead of|\bnever|\bgot|\bover|\bavoid|\bunlike)[\s\"'`(]*\Z", re.IGNORECASE
)
_ARROW = re.compile(r"=+>|-+>|→|\s=\s")  # fmt: skip


@dataclass
class Notes:
    """What is known about a task besides its signature.

    Attributes
    ----------
    cues
        Field, then label, then cue (one stem or two with a blank between) to how often it was seen.
    seen
        Field, then label, to the number of examples the cues came from.
    examples
        Whole answers, for outputs that are made rather than chosen.
    advice
        What answers lacked, to how often it was said.
    """

    cues: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    seen: dict[str, dict[str, int]] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    advice: dict[str, int] = field(default_factory=dict)
    _spelt: dict[str, str] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.cues or self.examples or self.advice)

    @property
    def has_evidence(self) -> bool:
        """Whether there are cues or examples, by which an input is judged."""
        return bool(self.cues or self.examples)

    def learn(self, examples: Sequence[Example], *, labels: Iterable[str] = ()) -> None:
        """Add what `examples` show: cues for outputs that look chosen, whole examples for the others.

        Parameters
        ----------
        examples
            Pairs known to be right.
        labels
            Names of outputs known to be labels, whatever their values look like.
        """
        chosen = [name for name in _names(examples) if name in labels or name in self.cues or _is_label(name, examples)]
        made = False
        for example in examples:
            text = "\n".join(example.inputs.values())
            for name, value in example.outputs.items():
                if name in chosen:
                    self._count(name, str(value), text)
                else:
                    made = True
        if made:
            seen_inputs = {json.dumps(e.inputs, sort_keys=True) for e in self.examples}
            for example in examples:
                if json.dumps(example.inputs, sort_keys=True) not in seen_inputs:
                    self.examples.append(example)

    def _count(self, name: str, label: str, text: str) -> None:
        seen = self.seen.setdefault(name, {})
        seen[label] = seen.get(label, 0) + 1
        cues = self.cues.setdefault(name, {}).setdefault(label, {})
        tokens = words(text)
        spellings: dict[str, str] = {}
        for i, token in enumerate(tokens):
            if token not in STOP_WORDS:
                spellings.setdefault(stem(token), token)
            if i and not (token in STOP_WORDS and tokens[i - 1] in STOP_WORDS):
                spellings.setdefault(f"{stem(tokens[i - 1])} {stem(token)}", f"{tokens[i - 1]} {token}")
        for cue, spelt in spellings.items():
            cues[cue] = cues.get(cue, 0) + 1
            self._spelt.setdefault(cue, spelt)

    def merge(self, other: Notes) -> None:
        """Add everything `other` knows; nothing known is lost."""
        for name, labels in other.cues.items():
            mine = self.cues.setdefault(name, {})
            for label, cues in labels.items():
                counts = mine.setdefault(label, {})
                for cue, n in cues.items():
                    counts[cue] = counts.get(cue, 0) + n
        for name, counted in other.seen.items():
            total = self.seen.setdefault(name, {})
            for label, n in counted.items():
                total[label] = total.get(label, 0) + n
        self.examples.extend(example for example in other.examples if example not in self.examples)
        self.take_advice(other.advice)
        for cue, spelt in other._spelt.items():
            self._spelt.setdefault(cue, spelt)

    def take_advice(self, advice: Mapping[str, int]) -> None:
        """Add what answers lacked, with how often it was said."""
        for text, n in advice.items():
            self.advice[text] = self.advice.get(text, 0) + n

    def write(self, *, cue_chars: int = CUE_CHARS, example_chars: int = EXAMPLE_CHARS) -> str:
        """Write the notes as lines of an instruction, at most about `cue_chars` + `example_chars` long."""
        parts = [self._write_cues(name, cue_chars // len(self.cues)) for name in self.cues]
        lines, room = [], example_chars
        for example in self.examples:
            line = "- " + json.dumps({"inputs": example.inputs, "outputs": example.outputs}, ensure_ascii=False)
            if len(line) <= room:
                lines.append(line)
                room -= len(line)
        if lines:
            parts.append("\n".join([_EXAMPLES_HEAD, *lines]))
        often = sorted(self.advice, key=lambda text: -self.advice[text])[:_MOST_ADVICE]
        if often:
            parts.append("\n".join([_ADVICE_HEAD, *(f"- ({self.advice[text]}) {text}" for text in often)]))
        return "\n\n".join(parts)

    def _write_cues(self, name: str, chars: int) -> str:
        labels = self.cues[name]
        spread: dict[str, int] = {}
        for cues in labels.values():
            for cue in cues:
                spread[cue] = spread.get(cue, 0) + 1
        per_label = min(_CUES_PER_LABEL, max(4, chars // (13 * len(labels))))
        lines = [_CUES_HEAD.format(name)]
        for label, cues in labels.items():
            # A cue tells as much as it was seen here and rarely elsewhere: tf-idf over labels.
            weight = {
                cue: (1 + math.log(n)) * math.log(1 + len(labels) / spread[cue]) * (0.5 if " " in cue else 1.0)
                for cue, n in cues.items()
            }
            best = sorted(cues, key=lambda cue: (-round(weight[cue], 9), cue))[:per_label]
            cue_list = ", ".join(f"{self._spelt.get(cue, cue)} ({cues[cue]})" for cue in best)
            lines.append(f"- `{label}` ({self.seen[name].get(label, 1)}): {cue_list}.")
        return "\n".join(lines)


def _names(examples: Sequence[Example]) -> list[str]:
    return list(dict.fromkeys(name for example in examples for name in example.outputs))


def _is_label(name: str, examples: Sequence[Example]) -> bool:
    """Tell whether an output looks chosen from a set: short, on one line, and not copied from the input."""
    pairs = [(e.outputs[name], "\n".join(e.inputs.values())) for e in examples if name in e.outputs]
    copied = 0
    for value, text in pairs:
        if not isinstance(value, (str, int, bool)):
            return False
        spelt = str(value)
        if not 0 < len(spelt) <= _LABEL_CHARS or "\n" in spelt or "`" in spelt or len(spelt.split()) > _LABEL_WORDS:
            return False
        have = set(features(text, pairs=0))
        need = set(features(name_words(spelt), pairs=0))
        copied += bool(need) and need <= have
    return bool(pairs) and copied < _DERIVED * len(pairs)


def read_notes(text: str) -> tuple[Notes, str]:
    """Read notes out of an instruction.

    Returns
    -------
    tuple[Notes, str]
        The notes, and what is left of the text without them.

    Examples
    --------
    >>> written = Notes(); written.learn([Example({"text": "refund my invoice"}, {"label": "billing"})])
    >>> read_notes("Sort." + chr(10) + written.write())[0].cues == written.cues
    True
    """
    notes, spans = Notes(), []
    heads = list(_HEAD.finditer(text))
    for i, head in enumerate(heads):
        spans.append(head.span())
        stop = heads[i + 1].start() if i + 1 < len(heads) else len(text)
        for line in _LINE.finditer(text, head.end(), stop):
            spans.append(line.span())
            _read_line(notes, head[1], line)
    for worked in _WORKED.finditer(text):
        try:
            shown = json.loads(worked[1])
            example = Example({str(k): str(v) for k, v in shown["inputs"].items()}, dict(shown["outputs"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        spans.append(worked.span())
        if example not in notes.examples:
            notes.examples.append(example)
    if (head_of_advice := text.find(_ADVICE_HEAD)) >= 0:
        for line in _ADVISED.finditer(text, head_of_advice):
            spans.append(line.span())
            notes.take_advice({line[2]: int(line[1])})
    for begin, end in sorted(spans, reverse=True):
        text = text[:begin] + text[end:].removeprefix(".")
    return notes, re.sub(r"\n{3,}", "\n\n", text.replace(_EXAMPLES_HEAD, "").replace(_ADVICE_HEAD, "")).strip()


def plain_task(system: str) -> PromptTask | None:
    """Read a prompt that no adapter wrote, by the notes in it; None where there are none.

    Examples
    --------
    >>> task = plain_task('Sort. Worked examples:' + chr(10) + '- {"inputs": {"q": "hi"}, "outputs": {"a": "yo"}}')
    >>> [field.name for field in (*task.spec.inputs, *task.spec.outputs)]
    ['q', 'a']
    """
    notes, _ = read_notes(system)
    outputs = dict.fromkeys([*notes.cues, *(name for example in notes.examples for name in example.outputs)])
    if not outputs:
        return None
    asked = next((name for example in notes.examples for name in example.inputs), "prompt")
    text = {"type": "string"}
    answers = tuple(Field(name, "", text) for name in outputs if name != "reasoning")
    return PromptTask(PromptSpec((Field(asked, "", text),), answers, system, "plain"), ())


def _read_line(notes: Notes, name: str, line: re.Match[str]) -> None:
    seen = notes.seen.setdefault(name, {})
    seen[line[1]] = seen.get(line[1], 0) + int(line[2])
    counts = notes.cues.setdefault(name, {}).setdefault(line[1], {})
    for cue in _CUE.finditer(line[3]):
        key = " ".join(stem(token) for token in words(cue[1]))
        counts[key] = counts.get(key, 0) + int(cue[2])
        notes._spelt.setdefault(key, cue[1])  # noqa: SLF001  the reader is the other half of the class


def read_prose(text: str, labels: Sequence[str]) -> list[tuple[str, str]]:
    """Find the statements of a text that speak of one label: ``"refund" means billing``.

    Returns
    -------
    list[tuple[str, str]]
        ``(label, what is said about it)``.  A label that stands after *not* or *rather than* is not
        spoken for, and a clause that names several labels says nothing about any of them.
    """
    named = {label.lower(): label for label in labels if len(label) > 1}
    if not named or not text:
        return []
    spelt = "|".join(re.escape(label) for label in sorted(named, key=lambda label: (-len(label), label)))
    mention = re.compile(rf"(?<![\w-])(?:{spelt})(?![\w-])", re.IGNORECASE)
    statements = []
    for sentence in sentences(text):
        for part in re.split(r";\s*", sentence):
            mentions = mention.findall(part)
            clauses = part.split(",") if len(set(mentions)) > 1 and _ARROW.search(part) else [part]
            for clause in clauses:
                hits = [m for m in mention.finditer(clause) if not _AGAINST.search(clause[: m.start()])]
                about = {named[m[0].lower()] for m in hits}
                rest = mention.sub(" ", clause)
                if len(about) == 1 and words(rest):
                    statements.append((about.pop(), rest))
    return statements


def plain(value: Any) -> str:
    """Spell a value as a turn would show it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
