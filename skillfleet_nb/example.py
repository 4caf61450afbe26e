"""How an example reads, on every face and in reports: its inputs, what was expected, answers, demos.

An answer comes before the reasoning that led to it, an image is seen, sound is heard, a conversation has turns, code
keeps its lines, each text runs in its own direction, and what is long is folded with its beginning shown.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.blobs import Blob, Reference, references, taken_out
from skillfleet_nb.design import LINE, QUIET
from skillfleet_nb.format import counted, is_missing, one_line
from skillfleet_nb.html import NO_MATH, fill, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from markupsafe import Markup

    Read = Callable[[Reference], bytes | None]
    Fields = Mapping[str, Any] | Iterable[tuple[str, Any]]

_LONG = 700  # characters of a text before it is folded
_BEGINNING = 160  # of a folded one that is shown
_MOST_BYTES = 30_000  # of an image or sound that is put into a page, which a notebook keeps
_AFTER = ("reasoning", "rationale", "thought", "trajectory", "chain_of_thought", "completions")
_CUSTOM = re.compile(r"<<CUSTOM-TYPE-START-IDENTIFIER>>(.*?)<<CUSTOM-TYPE-END-IDENTIFIER>>", re.DOTALL)  # of DSPy
_MEDIA = re.compile(r"\x00(\d+)\x00")
_CODE = re.compile(r"^```[^\n]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
_SECTION = re.compile(r"^\[\[ ## (\w+) ## \]\][ \t]*$", re.MULTILINE)  # of DSPy's chat adapter
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
_KINDS = {"image": "img", "audio": "audio"}


class _Media(NamedTuple):
    """An image, sound or file: data where it is known, else where it lies."""

    type: str
    size: int | None
    data: bytes | None
    place: str = ""

    def in_words(self) -> str:
        """Say what it is."""
        kind, _, form = self.type.partition("/")
        what = kind if kind in _KINDS else "file"
        form = form.upper() if what != "file" else self.type
        details = [self.place] if self.size is None else [form, _amount(self.size)]
        return f"{what} ({', '.join(details)})" if any(details) else what

    def html(self) -> Markup:
        """Show it, or say what it is."""
        from markupsafe import Markup

        tag = _KINDS.get(self.type.partition("/")[0])
        if tag is None or self.data is None or len(self.data) > _MOST_BYTES or not _TYPE.fullmatch(self.type):
            return fill("<i>{}</i>", self.in_words())
        data = base64.b64encode(self.data).decode()
        source = Markup(f"data:{self.type};base64,{data}")  # noqa: S704  a checked type, and base64
        if tag == "img":
            return fill("<img style='max-width:100%;max-height:20em' alt='{}' src='{}'>", self.in_words(), source)
        return fill("<audio controls title='{}' src='{}'></audio>", self.in_words(), source)


def _amount(size: int) -> str:
    return f"{size / 1000:,.0f} kB" if size >= 1000 else f"{size} bytes"  # noqa: PLR2004  a kB


def in_order(fields: Fields) -> list[tuple[str, Any]]:
    """Put what an answer is before how it was come to.

    Examples
    --------
    >>> in_order({"reasoning": "It says broken.", "intent": "bug"})
    [('intent', 'bug'), ('reasoning', 'It says broken.')]
    """
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    return sorted(pairs, key=lambda field: field[0].casefold() in _AFTER)


def in_words(fields: Fields, most: int | None = None) -> str:
    """Write fields in one line, of at most so many characters; the name of a single one goes without saying.

    Examples
    --------
    >>> in_words({"text": "hello"}), in_words({"reasoning": "a b", "label": "x"})
    ('hello', 'label: x · reasoning: a b')
    """
    texts = [(name, _value_in_words(value)) for name, value in in_order(fields)]
    if not texts:
        return ""
    whole = texts[0][1] if len(texts) == 1 else " · ".join(f"{name}: {text}" for name, text in texts)
    return " ".join(whole.split()) if most is None else one_line(whole, most)


def answer_fields(output: object) -> dict[str, Any]:
    """Read a recorded output; one that was not kept, or failed, says so.

    Examples
    --------
    >>> answer_fields('{"intent":"bug"}'), answer_fields("sha256:12"), answer_fields(None)
    ({'intent': 'bug'}, {'answer': '(not recorded)'}, {})
    """
    if not isinstance(output, str):
        return {}
    if output.startswith("sha256:"):
        return {"answer": "(not recorded)"}
    try:
        fields = json.loads(output)
    except ValueError:
        return {"answer": output}
    return fields if isinstance(fields, dict) else {"answer": fields}


def answer_in_words(output: object, most: int | None = None) -> str:
    """Write a recorded output in one line."""
    return in_words(answer_fields(output), most)


def single(fields: Mapping[str, Any]) -> object:
    """Return the value of a single field, whose name goes without saying; several as they are."""
    return next(iter(fields.values())) if len(fields) == 1 else dict(fields)


def response_fields(response: str) -> dict[str, Any]:
    r"""Read what a model answered as the fields that DSPy asks for; any other text is one.

    Examples
    --------
    >>> response_fields("[[ ## reasoning ## ]]\nwhy\n\n[[ ## intent ## ]]\nbug\n\n[[ ## completed ## ]]")
    {'reasoning': 'why', 'intent': 'bug'}
    """
    _, *parts = _SECTION.split(response)
    fields = {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True) if name != "completed"}
    if fields:
        return fields
    try:
        read = json.loads(response)
    except ValueError:
        return {"answer": response}
    return read if isinstance(read, dict) and read else {"answer": response}


def example_html(fields: Fields, read: Read | None = None) -> Markup:
    """Show fields one under the other.

    Parameters
    ----------
    fields
        By name, or as pairs: texts, and whatever JSON or DSPy's types hold.
    read
        Finds the data that a reference stands for (see :mod:`skillfleet_nb.blobs`); without it, images and sound are
        told in words.
    """
    rows = join(
        fill(
            "<div style='margin:2px 0'><span style='opacity:{}'>{}:</span> {}</div>",
            QUIET, name, _value_html(value, read),
        )
        for name, value in in_order(fields)
    )  # fmt: skip
    return fill("<div class='{}' style='overflow-wrap:break-word;line-height:1.4'>{}</div>", NO_MATH, rows)


def _plain(value: object) -> object:
    """Make what DSPy's types hold plain."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value.toDict() if hasattr(value, "toDict") else value


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if is_missing(value) else json.dumps(value, ensure_ascii=False, default=lambda v: _shown(_plain(v)))


def _shown(value: object) -> object:
    return value if isinstance(value, str | int | float | list | dict) else str(value)


def _turns(value: object) -> list[Mapping[str, Any]] | None:
    """Return the turns of a conversation, if it is one."""
    turns = value.get("messages") if isinstance(value, dict) and set(value) == {"messages"} else None
    return turns if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns) else None


def _value_in_words(value: object) -> str:
    value = _plain(value)
    if (turns := _turns(value)) is not None:
        last = f", the last: {in_words(turns[-1])}" if turns else ""
        return counted(turns, "turn") + last
    text, media = _taken_apart(_as_text(value), None)
    return _MEDIA.sub(lambda match: media[int(match[1])].in_words(), text)


def _value_html(value: object, read: Read | None) -> Markup:
    value = _plain(value)
    if (turns := _turns(value)) is not None:
        listed = join(fill("<li>{}</li>", example_html(turn, read)) for turn in turns)
        return _folded(counted(turns, "turn"), fill("<ol>{}</ol>", listed), len(turns) > 4)  # noqa: PLR2004
    if isinstance(value, dict) and value:
        inner = join(fill("<div>{}: {}</div>", name, _value_html(one, read)) for name, one in in_order(value))
        return fill("<div style='padding-left:1.2em;border-left:1px solid {}'>{}</div>", LINE, inner)
    text, media = _taken_apart(_as_text(value), read)
    pieces = _MEDIA.split(text)
    show = _Media.html if read is not None else lambda one: fill("<i>{}</i>", one.in_words())
    shown = join(show(media[int(piece)]) if i % 2 else _text_html(piece) for i, piece in enumerate(pieces) if piece)
    if len(text) <= _LONG:
        return shown
    begin = one_line(_MEDIA.sub(lambda match: media[int(match[1])].in_words(), text[:_LONG]), _BEGINNING)
    return _folded(f"{begin} ({len(text):,} characters)", shown, fold=True)


def _folded(title: str, body: Markup, fold: bool) -> Markup:  # noqa: FBT001
    if not fold:
        return fill("<div>{}</div>", body)
    return fill("<details><summary dir='auto'>{}</summary>{}</details>", title, body)


def _text_html(text: str) -> Markup:
    """Show a text with its lines and direction; fenced code as code."""
    code = "<pre dir='ltr' style='overflow-x:auto;margin:4px 0;padding:4px 8px;border-left:3px solid {}'>{}</pre>"
    pieces = _CODE.split(text)
    if len(pieces) == 1 and "\n" not in text.strip():
        return fill("<span dir='auto'>{}</span>", text)
    plain = "<div dir='auto' style='white-space:pre-wrap'>{}</div>"
    return join(
        fill(code, LINE, piece) if i % 2 else fill(plain, piece.strip("\n"))
        for i, piece in enumerate(pieces)
        if piece.strip()
    )


def _taken_apart(text: str, read: Read | None) -> tuple[str, list[_Media]]:
    """Put numbers between NUL in the place of images, sound and files, and return these."""
    text = text.replace("\x00", "␀")
    media: list[_Media] = []

    def number(one: _Media) -> str:
        media.append(one)
        return f"\x00{len(media) - 1}\x00"

    def custom(match: re.Match[str]) -> str:
        pieces = [_of_dspy(part) for part in _parts(match[1])]
        return "".join(part if isinstance(part, str) else number(part) for part in pieces) if pieces else match[0]

    kept: dict[str, Blob] = {}
    text = _CUSTOM.sub(custom, text)
    text = taken_out(text.encode("utf-8", "surrogatepass"), lambda blob: kept.update({blob.digest: blob})).decode(
        "utf-8", "surrogatepass"
    )

    def data(reference: Reference) -> bytes | None:
        here = kept.get(reference.digest)
        return here.data if here is not None else read(reference) if read is not None else None

    for reference in references(text):
        text = text.replace(str(reference), number(_Media(reference.type, reference.size, data(reference))), 1)
    for i, one in enumerate(media):  # those of DSPy's types may refer as well
        if one.data is None and (inner := references(one.place)):
            media[i] = _Media(inner[0].type, inner[0].size, data(inner[0]))
    return text, media


def _parts(text: str) -> list[Any]:
    try:
        parts = json.loads(text)
    except ValueError:
        try:
            parts = json.loads(json.loads(f'"{text}"'))  # written into JSON once more
        except ValueError:
            return []
    return parts if isinstance(parts, list) else [parts]


def _of_dspy(part: Any) -> _Media | str:
    """Read a part of a message, as DSPy's types write themselves."""
    part = part if isinstance(part, dict) else {"text": part}
    kind = part.get("type", "")
    inner = part.get(kind, {})
    if kind == "image_url":
        return _at(inner.get("url", ""), "image/")
    if kind == "input_audio":
        form = f"audio/{inner.get('format', '')}"
        data = inner.get("data", "")
        return _at(data if references(data) else f"data:{form};base64,{data}", form)
    if kind == "file":
        return _at(inner.get("file_data") or inner.get("filename") or "", "")
    return str(part.get("text", json.dumps(part, ensure_ascii=False)))


def _at(place: str, kind: str) -> _Media:
    head, _, payload = place.partition(";base64,")
    if not (head.startswith("data:") and payload):
        return _Media(kind if kind.strip("/") else "", None, None, place)
    try:
        data = base64.b64decode(payload, validate=True)
    except binascii.Error:
        return _Media(head.removeprefix("data:"), None, None)
    return _Media(head.removeprefix("data:"), len(data), data)


def is_answer(prediction: object) -> bool:
    """Tell whether a program answered at all: with no prediction, or one without fields, it failed."""
    return prediction is not None and (not hasattr(prediction, "keys") or bool(list(prediction.keys())))
