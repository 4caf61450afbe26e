"""Reading a prompt: the fields it asks for, its instruction, its demos and the input to answer.

DSPy's adapters write a signature into the system message and values into the turns.  This module is
the only one that knows how; everything after it works on :class:`PromptTask`.  Formats read: ``ChatAdapter``,
``JSONAdapter`` (and ``BAMLAdapter``, which answers in JSON) and ``XMLAdapter`` of DSPy 3.4.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any, Literal
from xml.sax.saxutils import unescape

from skillfleet_nb.offline.text import literal

Schema = dict[str, Any]
"""A JSON schema; the type language of output fields."""
Style = Literal["chat", "json", "xml", "plain"]

_FIELD = re.compile(r"^(\d+)\. `(\w+)` \(", re.MULTILINE)
_HEADER = re.compile(r"^\[\[ ## (\w+) ## \]\][ \t]*", re.MULTILINE)
_ASKS = ("\n\nRespond with the corresponding output fields", "\n\nRespond with a JSON object in the following order")
_OBJECTIVE = "In adhering to this structure, your objective is: "
_NOTE = "# note: the value you produce "
_SCHEMA_NOTE = "must adhere to the JSON schema: "
_MISSING = "Not supplied for this particular example."
_SIMPLE: dict[str, Schema] = {
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "NoneType": {"type": "null"},
    "Any": {},
}


@dataclass(frozen=True)
class Field:
    """One field of a signature: its name, its description as written, and its type as a JSON schema."""

    name: str
    desc: str
    schema: Schema


@dataclass(frozen=True)
class Example:
    """One known pair: input texts by field name, and output values by field name as far as given."""

    inputs: dict[str, str]
    outputs: dict[str, Any]


@dataclass(frozen=True)
class PromptSpec:
    """What a system message asks for."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    instruction: str
    style: Style
    """How fields are written; in a plain prompt nothing says them."""


@dataclass(frozen=True)
class PromptTask:
    """A prompt without the input to answer: the part that many calls share."""

    spec: PromptSpec
    demos: tuple[Example, ...]


def read_task(system: str, turns: list[tuple[str, str]]) -> PromptTask | None:
    """Read the shared part of a prompt.

    Parameters
    ----------
    system
        The system message.
    turns
        ``(role, text)`` of the turns before the input to answer.

    Returns
    -------
    PromptTask or None
        None where `system` is not written by an adapter of DSPy.
    """
    spec = read_spec(system)
    if spec is None:
        return None
    demos: list[Example] = []
    asked: str | None = None
    for role, text in turns:
        if role == "assistant" and asked is not None:
            inputs, outputs = read_inputs(spec, asked), _read_outputs(spec, text)
            if outputs:
                demos.append(Example(inputs, outputs))
            asked = None
        elif role != "assistant":
            asked = text
    return PromptTask(spec, tuple(demos))


def read_spec(system: str) -> PromptSpec | None:
    """Read the signature out of a system message, or None where there is none."""
    start, middle = system.find("Your input fields are:"), system.find("Your output fields are:")
    end = system.find("All interactions will be structured", max(middle, 0))
    if start < 0 or middle < 0 or end < 0:
        return None
    goal = system.find(_OBJECTIVE, end)
    structure = system[end : goal if goal >= 0 else len(system)]
    style: Style = "chat"
    if "\nOutputs will be a JSON object" in structure or "\nOutput field `" in structure:
        style = "json"
    elif "[[ ## completed ## ]]" not in structure:
        style = "xml"
    outputs = _read_fields(system[middle:end], _read_notes(structure, style))
    if not outputs:
        return None
    return PromptSpec(
        inputs=_read_fields(system[start:middle], {}),
        outputs=outputs,
        instruction=_unindent(system[goal + len(_OBJECTIVE) :]) if goal >= 0 else "",
        style=style,
    )


def _unindent(text: str) -> str:
    return "\n".join(line.removeprefix(" " * 8) for line in text.splitlines()).strip()


def _read_fields(block: str, notes: dict[str, str]) -> tuple[Field, ...]:
    heads: list[tuple[str, int, int]] = []  # name, where its line starts, where its type starts
    for match in _FIELD.finditer(block):
        if int(match[1]) == len(heads) + 1:  # a numbered line inside a description is not a field
            heads.append((match[2], match.start(), match.end()))
    fields = []
    for i, (name, _, begin) in enumerate(heads):
        stop = heads[i + 1][1] if i + 1 < len(heads) else len(block)
        close = _closing(block, begin)
        desc = block[close + 1 : stop].lstrip(":").strip()
        fields.append(Field(name, desc, _schema(block[begin:close].strip(), notes.get(name, ""))))
    return tuple(fields)


def _closing(text: str, start: int) -> int:
    """Find the bracket that closes the one before `start`, minding quotes."""
    depth, quote, i = 1, "", start
    while i < len(text):
        char = text[i]
        if quote:
            if char == "\\":
                i += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
            if depth == 0:
                return i
        i += 1
    newline = text.find("):", start)
    return newline if newline >= 0 else len(text)


def _read_notes(structure: str, style: Style) -> dict[str, str]:
    """Collect what the structure part says about each value: ``must be …``, by field name."""
    lines: dict[str, str] = {}
    if style == "json":
        start = structure.find("Outputs will be a JSON object")
        brace = structure.find("{", start) if start >= 0 else -1
        try:
            shown, _ = json.JSONDecoder().raw_decode(structure[brace:]) if brace >= 0 else ({}, 0)
        except ValueError:
            shown = {}
        lines = {str(k): str(v) for k, v in shown.items()} if isinstance(shown, dict) else {}
    else:
        lines = {m[1]: m[0] for m in re.finditer(r"^\{(\w+)\} {8}# note: .*$", structure, re.MULTILINE)}
    notes = {name: line.partition(_NOTE)[2].strip() for name, line in lines.items() if _NOTE in line}
    return notes | (_read_skeletons(structure) if style == "xml" else {})


def _read_skeletons(structure: str) -> dict[str, str]:
    """Turn XMLAdapter's ``<field><part>...</part></field>`` lines into notes with a JSON schema."""
    notes = {}
    for line in re.findall(r"^<\w+><.*>$", structure, re.MULTILINE):
        try:
            root = ET.fromstring(line)  # noqa: S314  no entities: a line of the adapter's own making
        except ET.ParseError:
            continue
        notes[root.tag] = _SCHEMA_NOTE + json.dumps(_skeleton_schema(root))
    return notes


def _skeleton_schema(element: ET.Element) -> Schema:
    children = list(element)
    if not children:
        return {"type": "string"}
    if [child.tag for child in children] == ["item"]:
        return {"type": "array", "items": _skeleton_schema(children[0])}
    return {"type": "object", "properties": {child.tag: _skeleton_schema(child) for child in children}}


def _schema(annotation: str, note: str) -> Schema:
    """Turn an annotation and the note about it into a JSON schema; ``{}`` where nothing is known."""
    annotated = _annotation_schema(annotation)
    if annotated is not None:
        return annotated
    lead, _, rest = note.partition(_SCHEMA_NOTE)
    if rest and not lead:
        try:
            schema, _end = json.JSONDecoder().raw_decode(rest)
        except ValueError:
            schema = None
        if isinstance(schema, dict):
            return schema
    listed = re.match(r"must (?:exactly match \(no extra characters\) one of|be one of): (.*)", note, re.DOTALL)
    if listed:
        return {"enum": listed[1].split("; ")}
    return {"type": "string"} if not note else {}


def _annotation_schema(annotation: str) -> Schema | None:  # noqa: PLR0911  one return a kind of type
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    head, bracket, inner = annotation.partition("[")
    inner = inner.removesuffix("]")
    if not bracket:
        return {"list": {"type": "array"}, "dict": {"type": "object"}}.get(annotation)
    if head == "Literal":
        try:
            values = literal(f"[{inner}]")
        except ValueError:
            return None
        return {"enum": values}
    parts = [_annotation_schema(part) for part in _split(inner)]
    if any(part is None for part in parts):
        return None
    schemas = [part for part in parts if part is not None]
    if head in {"list", "List", "set", "Sequence"} and schemas:
        return {"type": "array", "items": schemas[0]}
    if head in {"dict", "Dict"} and schemas:
        return {"type": "object", "additionalProperties": schemas[-1]}
    if head in {"Union", "Optional"}:
        nullable = [{"type": "null"}] if head == "Optional" else []
        return {"anyOf": schemas + nullable}
    return None


def _split(inner: str) -> list[str]:
    parts, begin, i = [], 0, 0
    while i < len(inner):
        if inner[i] in "[(":
            i = _closing(inner, i + 1)
        elif inner[i] in "\"'":
            close = inner.find(inner[i], i + 1)
            i = close if close >= 0 else len(inner)
        elif inner[i] == ",":
            parts.append(inner[begin:i].strip())
            begin = i + 1
        i += 1
    return [*parts, inner[begin:].strip()]


def read_inputs(spec: PromptSpec, text: str) -> dict[str, str]:
    """Read the input values out of a user turn; a turn without markers is the value of the first field."""
    asked = max(text.rfind(ask) for ask in _ASKS)
    body = text[:asked] if asked >= 0 else text
    names = [field.name for field in spec.inputs]
    values = _tagged(body, names) if spec.style == "xml" else _marked(body, names)
    if not values and names and body.strip():
        values = {names[0]: body.strip()}
    return values


def _read_outputs(spec: PromptSpec, text: str) -> dict[str, Any]:
    names = [field.name for field in spec.outputs]
    if spec.style == "json":
        try:
            shown = json.loads(text)
        except ValueError:
            shown = {}
        raw = {k: v for k, v in shown.items() if k in names} if isinstance(shown, dict) else {}
    elif spec.style == "xml":
        raw = {k: unescape(v) for k, v in _tagged(text, names).items()}
    else:
        raw = _marked(text, names)
    values = {}
    for field in spec.outputs:
        value = raw.get(field.name)
        if value is not None and not (isinstance(value, str) and value.strip() == _MISSING):
            values[field.name] = as_value(value, field.schema)
    return values


def _marked(text: str, names: list[str]) -> dict[str, str]:
    """Cut `text` at ``[[ ## name ## ]]``; other markers belong to the value they stand in."""
    allowed = {*names, "completed"}
    heads = [m for m in _HEADER.finditer(text) if m[1] in allowed]
    values: dict[str, str] = {}
    for i, head in enumerate(heads):
        stop = heads[i + 1].start() if i + 1 < len(heads) else len(text)
        if head[1] in names:
            values.setdefault(head[1], text[head.end() : stop].strip())
    return values


def _tagged(text: str, names: list[str]) -> dict[str, str]:
    values = {}
    for name in names:
        match = re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
        if match:
            values[name] = match[1].strip()
    return values


def as_value(value: Any, schema: Schema) -> Any:
    """Read a value that a turn shows as text according to its type; text that does not fit stays text."""
    if not isinstance(value, str) or "enum" in schema or schema.get("type") == "string":
        return value
    for read in (json.loads, literal):
        try:
            return read(value)
        except (ValueError, RecursionError):
            continue
    return value
