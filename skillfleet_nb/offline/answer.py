"""Answering a task: one value for each output field, of the type the prompt asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from skillfleet_nb.offline.agent import Agent, is_agent
from skillfleet_nb.offline.compose import composer, offered, outlined
from skillfleet_nb.offline.evidence import LabelModel, read_manner
from skillfleet_nb.offline.induce import ListModel, TextModel
from skillfleet_nb.offline.notes import plain, read_notes, read_prose
from skillfleet_nb.offline.prompt import Field, as_value
from skillfleet_nb.offline.quantity import NumberModel
from skillfleet_nb.offline.text import content_words, cosine, features, name_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.offline.prompt import PromptTask, Schema

    Sources = dict[str, str]
    Known = list[tuple[Sources, Any]]
    Sample = tuple[str, float] | None
    Maker = Callable[[Sources, Sample], Any]

HINT = "hint_"
"""The input field through which ``dspy.Refine`` passes advice on the last attempt."""
_FEW = 4
_MANY_LABELS = 0.6
_LABEL_CHARS = 80
_MAY_BE_EMPTY = re.compile(r"\bempty (?:where|if|when)\b")
# Formats of JSON schema with a value that is valid whatever the input says.
_FORMATS = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P0D",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "uri": "https://example.com/",
    "email": "name@example.com",
}


class Learner:
    """What a prompt teaches, ready to answer any input.

    Parameters
    ----------
    task
        The shared part of a prompt: signature, instruction, demos.
    """

    def __init__(self, task: PromptTask) -> None:
        self.spec = task.spec
        self._notes, self._prose = read_notes(task.spec.instruction)
        self._demos = [*self._notes.examples, *task.demos]
        self._advice = "\n".join(self._notes.advice)
        self._manner = read_manner(self._prose)
        self._given = {field.name for field in self.spec.inputs} - {HINT}
        self._agent = Agent(self.spec, self._notes, self._demos) if is_agent(self.spec) else None
        self._makers: list[tuple[str, Maker]] = []
        before: list[str] = []
        for field in self.spec.outputs:
            if field.name != "reasoning":
                self._makers.append((field.name, self._maker(field, self._known(field.name, before))))
                before.append(field.name)

    def _known(self, name: str, before: list[str]) -> Known:
        """Give the demos of field `name`: inputs and earlier outputs as texts, and the value."""
        return [
            ({**demo.inputs, **{b: plain(demo.outputs[b]) for b in before if b in demo.outputs}}, demo.outputs[name])
            for demo in self._demos
            if name in demo.outputs and demo.inputs
        ]

    def answer(self, inputs: Sources, sample: Sample = None) -> dict[str, Any]:
        """Answer one input.

        Parameters
        ----------
        inputs
            Input texts by field name.
        sample
            ``(key, temperature)`` to draw from the evidence instead of taking the best.

        Returns
        -------
        dict[str, Any]
            A value for every output field, in the order of the signature.
        """
        if self._agent is not None:
            return self._agent.act(inputs)
        sources = dict(inputs)
        made: dict[str, Any] = {}
        for name, make in self._makers:
            made[name] = make(sources, sample)
            sources[name] = plain(made[name])
        about = ", ".join(content_words(self._evidence(inputs))[:_FEW]) or "nothing in particular"
        decisions = "; ".join(f"{name} is {plain(value)[:_LABEL_CHARS]}" for name, value in made.items())
        why = f"The input speaks of {about}. By the evidence of the instruction and the examples, {decisions}."
        return {field.name: made.get(field.name, why) for field in self.spec.outputs}

    def _evidence(self, sources: Sources) -> str:
        return "\n".join(text for name, text in sources.items() if name in self._given)

    def _maker(self, field: Field, examples: Known, seen: frozenset[str] = frozenset()) -> Maker:  # noqa: PLR0911  one return a type
        """Build the function that makes a value of `field`'s type from the sources."""
        ref = _reference(field.schema)
        if ref in seen:  # a type within itself: end here, where that is allowed
            return lambda _sources, _sample: None if {"type": "null"} in field.schema.get("anyOf", ()) else {}
        seen |= {ref} if ref else frozenset()
        schema = _resolve(field.schema)
        kind = schema.get("type")
        if schema.get("enum"):
            return self._choice(field, {plain(value): value for value in schema["enum"]}, examples)
        if kind == "null":
            return lambda _sources, _sample: None
        if kind == "boolean":
            return self._boolean(field, examples)
        if kind in {"integer", "number"}:
            return self._number(field, schema, examples)
        if kind == "array":
            return self._array(field, schema, examples, seen)
        if kind == "object" or "properties" in schema:
            return self._object(schema, examples, seen)
        return self._text(field, schema, [(sources, plain(value)) for sources, value in examples])

    def _model(self, field: Field, labels: Sequence[str], examples: list[tuple[Sources, str]]) -> LabelModel:
        """Gather all evidence of the prompt about a set of labels."""
        model = LabelModel(labels, self._manner)
        have = set(model.labels)
        for label, description in read_prose(field.desc + "\n" + self._prose, model.labels):
            model.tell(label, description)
        for label, cues in self._notes.cues.get(field.name, {}).items():
            if label in have:
                model.count(label, cues, self._notes.seen[field.name].get(label, 1))
        for sources, value in examples:
            if value in have:
                model.show(value, self._evidence(sources))
        model.fit()
        return model

    def _pick(self, model: LabelModel, sources: Sources, sample: Sample) -> str:
        return model.choose(self._evidence(sources), sample=sample, avoid=sources.get(HINT, ""))

    def _choice(self, field: Field, values: dict[str, Any], examples: Known) -> Maker:
        model = self._model(field, list(values), [(s, plain(v)) for s, v in examples])
        return lambda sources, sample: values[self._pick(model, sources, sample)]

    def _boolean(self, field: Field, examples: Known) -> Maker:
        if examples or field.name in self._notes.cues:
            model = self._model(field, ["True", "False"], [(s, str(v)) for s, v in examples])
            return lambda sources, sample: self._pick(model, sources, sample) == "True"
        asked = {stem for stem in features(name_words(field.name) + " " + field.desc, pairs=0) if len(stem) > 2}  # noqa: PLR2004
        return lambda sources, _sample: not asked.isdisjoint(features(self._evidence(sources), pairs=0))

    def _number(self, field: Field, schema: Schema, examples: Known) -> Maker:
        numbers = NumberModel(field.name, schema, [(self._evidence(s), v) for s, v in examples])
        shown = [(s, plain(v)) for s, v in examples]
        grades = {g: as_value(g, {}) for g in self._labels(Field(field.name, "", {}), shown)}
        grades = {g: v for g, v in grades.items() if isinstance(v, (int, float))}
        if grades and not numbers.sure:  # a grade given by judgement, not a number that stands in the text
            return self._choice(field, grades, examples)
        return lambda sources, _sample: numbers.make(self._evidence(sources))

    def _text(self, field: Field, schema: Schema, examples: list[tuple[Sources, str]]) -> Maker:
        if schema.get("format") in _FORMATS and not examples:
            return lambda _sources, _sample: _FORMATS[schema["format"]]
        labels = self._labels(field, examples)
        model = TextModel(field, examples, self._prose, self._advice)
        compose = composer(field, self._given)
        if compose is not None:
            return lambda sources, _sample: compose(sources)[: schema.get("maxLength")]
        if labels and _copied_right(examples) >= model.trust:
            chooser = self._model(field, labels, examples)
            return lambda sources, sample: self._pick(chooser, sources, sample)
        most = schema.get("maxLength")
        return lambda sources, _sample: model.make(sources)[:most]

    def _labels(self, field: Field, examples: list[tuple[Sources, str]]) -> list[str]:
        """List the labels of a text field that is in fact a choice: told in words, or seen repeatedly."""
        noted = list(self._notes.cues.get(field.name, {}))
        seen = [value for _, value in examples if len(value) <= _LABEL_CHARS and "\n" not in value]
        if not noted and len(set(seen)) > _MANY_LABELS * len(examples):
            seen = []
        return list(dict.fromkeys([*_listed(field.desc), *noted, *seen]))

    def _array(self, field: Field, schema: Schema, examples: Known, seen: frozenset[str]) -> Maker:
        lists = [(sources, value) for sources, value in examples if isinstance(value, list)]
        fixed = schema.get("prefixItems")
        if fixed:
            makers = [
                self._maker(
                    Field(field.name, field.desc, _within(item, schema)),
                    [(s, value[i]) for s, value in lists if len(value) > i],
                    seen,
                )
                for i, item in enumerate(fixed)
            ]
            return lambda sources, sample: [make(sources, sample) for make in makers]
        items = _resolve(schema.get("items") or {}, schema)
        if items.get("type") in {None, "string"} and "enum" not in items and "properties" not in items:
            shown = [(sources, [plain(v) for v in value]) for sources, value in lists]
            if not shown and _MAY_BE_EMPTY.search(field.desc):
                return lambda _sources, _sample: []
            headings = offered(field, self._advice)
            if headings and not shown:
                return lambda sources, _sample: outlined(headings, sources)
            model = ListModel(shown)
            return lambda sources, _sample: model.make(sources)
        if _reference(schema.get("items")) in seen:
            return lambda _sources, _sample: []
        singles = [(sources, value[0]) for sources, value in lists if value]
        inner = self._maker(Field(field.name, field.desc, _within(schema["items"], schema)), singles, seen)
        return lambda sources, sample: [inner(sources, sample)]

    def _object(self, schema: Schema, examples: Known, seen: frozenset[str]) -> Maker:
        makers = {}
        for name, sub in (schema.get("properties") or {}).items():
            values = [(s, v[name]) for s, v in examples if isinstance(v, dict) and name in v]
            makers[name] = self._maker(Field(name, str(sub.get("description", "")), _within(sub, schema)), values, seen)
        if makers:
            return lambda sources, sample: {name: make(sources, sample) for name, make in makers.items()}
        extra = schema.get("additionalProperties")
        value_schema = _within(extra if isinstance(extra, dict) else {"type": "string"}, schema)
        value = self._maker(Field("value", "", value_schema), [], seen)
        return lambda sources, sample: {key: value(sources, sample) for key in self._keys(sources)}

    def _keys(self, sources: Sources) -> list[str]:
        return content_words(self._evidence(sources))[:2] or ["value"]


def _listed(desc: str) -> list[str]:
    """Read the labels that a description lists, as in ``billing, tech or sales``.

    Examples
    --------
    >>> _listed("one of: billing, tech or sales"), _listed("what it does and when")
    (['billing', 'tech', 'sales'], [])
    """
    tail = desc.rpartition(":")[2]
    if " or " not in tail and "|" not in tail and "one of" not in desc:
        return []
    parts = [
        part.strip(" .`'\"") for piece in tail.split("|") for chunk in piece.split(",") for part in chunk.split(" or ")
    ]
    parts = [part.removeprefix("or ").strip(" .`'\"") for part in parts if part]
    return parts if len(parts) > 1 and all(0 < len(part.split()) <= 2 for part in parts) else []  # noqa: PLR2004


def _copied_right(examples: list[tuple[Sources, str]]) -> float:
    """Tell how often a demo's value is the value of the demo most like it, in [0, 1]; 1 without demos."""
    asked = [features("\n".join(sources.values())) for sources, _ in examples]
    right = 0
    for i, (_, value) in enumerate(examples):
        rest = [(cosine(asked[i], asked[j]), -j) for j in range(len(examples)) if j != i]
        right += bool(rest) and examples[-max(rest)[1]][1] == value
    return right / len(examples) if examples else 1.0


def _within(schema: Any, root: Schema) -> Schema:
    """Give a part of a schema together with the definitions it may refer to."""
    part = schema if isinstance(schema, dict) else {}
    return {**part, "$defs": root["$defs"]} if "$defs" in root else part


def _reference(schema: Any) -> str:
    """Name the definition that a schema, or its alternative that is not null, refers to; empty if none."""
    if not isinstance(schema, dict):
        return ""
    options = [schema, *(schema.get("anyOf") or ())]
    return next((str(option["$ref"]) for option in options if "$ref" in option), "")


def _resolve(schema: Any, root: Schema | None = None) -> Schema:
    """Follow references and choose the first alternative that is not null; definitions are carried along."""
    if not isinstance(schema, dict):
        return {}
    definitions = {**((root or {}).get("$defs") or {}), **(schema.get("$defs") or {})}
    for _ in range(8):  # references to references end somewhere
        if "$ref" in schema:
            schema = definitions.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        elif "const" in schema:
            schema = {"enum": [schema["const"]]}
        elif schema.get("anyOf") or schema.get("oneOf"):
            options = schema.get("anyOf") or schema["oneOf"]
            schema = next((option for option in options if option.get("type") != "null"), {"type": "null"})
        elif len(schema.get("allOf") or ()) == 1:
            schema = schema["allOf"][0]
        else:
            break
    return {**schema, "$defs": definitions} if definitions else dict(schema)
