"""Edits of front matter in place: one value's characters change and nothing else does.

Every edit reads the text anew for positions, changes it, and reads it again to see that it says
what was meant and that no other field changed; so a document too odd to edit is refused, never
damaged.  `ruamel.yaml` keeps less: it joins wrapped lines and evens out indents, spaces, escapes and line ends.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from skillfleet_nb.errors import InputError
from skillfleet_nb.skills import _front_matter, _values

if TYPE_CHECKING:
    from skillfleet_nb.skills._front_matter import Entry, FrontMatter
    from skillfleet_nb.skills._source import Source

TOP_FIELDS = ("name", "description", "license", "compatibility", "allowed-tools")
_ORIGINAL_METADATA = "original-metadata"
_BREAKS = "\r\n"
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\r\n]*", re.MULTILINE)
_ANCHOR = re.compile(r"(?<=[\s:-])[&!]")
_PLAIN = re.compile(r"[^\W_](?:[\w .,;()+@~%$'\"=<>!?&*|^`\[\]{}/-]|:(?=\S)|(?<=\S)#)*")
# What may not stand as it is in a double-quoted scalar: beyond YAML's printable set, and line breaks.
_UNPRINTABLE = re.compile("[^\\x20-\\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_STRING = "tag:yaml.org,2002:str"
_RESOLVER = yaml.resolver.Resolver()


class Editor:
    """Front matter under edit; :meth:`source` gives the document back."""

    def __init__(self, source: Source) -> None:
        self._source, self._newline = source, source.newline
        self._text = source.front_matter
        span = source.span
        # Fences that are not lines of their own (or missing) are written anew around an edit.
        self._fenced = span is not None and source.text[span[0] - 1] in _BREAKS and self._text[-1:] in ("", "\r", "\n")
        if not self._fenced and self._text:
            self._text = self._text.strip() + self._newline
        self._changed = False

    def source(self) -> Source:
        """Return the document with the edits made, itself where there were none."""
        if not self._changed:
            return self._source
        if not self._fenced:
            fence = f"---{self._newline}"
            body = self._source.body
            gap = "" if body.startswith(("\r", "\n")) else self._newline
            return self._source.replaced(f"{fence}{self._text}{fence}{gap}{body}")
        start, end, _ = self._source.span or (0, 0, 0)
        text = self._source.text
        return self._source.replaced(text[:start] + self._text + text[end:])

    def read(self) -> FrontMatter:
        """Return the front matter as it stands now."""
        return _front_matter.read(self._text)

    def set(self, key: str, value: object) -> None:
        """Set a field where it stands or belongs; None removes it, a mapping under `metadata` is merged."""
        matter = self._readable()
        if key == "metadata":
            if value is not None and not isinstance(value, dict):
                raise InputError(f"metadata is a mapping of names to values, not {value!r}.")
            for name, item in value.items() if value else [(name, None) for name in nested(matter)]:
                self.set_metadata(name, item)
        elif key in TOP_FIELDS or key in matter.entries:
            self.set_top(key, value)
        else:
            self.set_metadata(key, value)

    def set_top(self, key: str, value: object) -> None:
        """Set a top-level field, to a string whatever the value."""
        matter = self._readable()
        entry = matter.entries.get(key)
        if value is None:
            if entry:
                self._remove(entry, {k: v for k, v in matter.data.items() if k != key})
            return
        text = _top_text(key, value)
        if matter.data.get(key) == text:
            return
        written = scalar(text)
        if entry:
            edited = self._replaced(entry, written)
        elif key == "name":
            edited = f"{self._indent(matter)}name: {written}{self._newline}{self._text}"
        else:
            edited = f"{self._closed()}{self._indent(matter)}{scalar(key)}: {written}{self._newline}"
        self._commit(edited, {**matter.data, key: text})

    def set_metadata(self, key: str, value: object) -> None:
        """Set an entry of `metadata`, which is made where there is none."""
        matter = self._readable()
        if value is None:
            self._remove_metadata(matter, key)
            return
        text = _values.dumps(value)
        if key in nested(matter) and _values.same(nested(matter)[key], value):
            return
        matter = self._with_metadata_block(matter)
        entries = self._metadata_entries(matter)
        wanted = {**matter.data, "metadata": {**nested(matter), key: text}}
        if key in entries:
            self._commit(self._replaced(entries[key], scalar(text)), wanted)
            return
        self._insert_metadata(matter, [f"{scalar(key)}: {scalar(text)}"], wanted)

    def move_to_metadata(self, key: str) -> None:
        """Move a top-level field under `metadata`, as it is written where strict YAML takes that."""
        matter = self._readable()
        entry, value = matter.entries[key], matter.data[key]
        start, end = self._line_start(entry.start), self._line_end(entry.value_end)
        lines = re.split(r"\r\n|\r|\n", self._text[start:end].rstrip(_BREAKS))
        if self._refused(entry):
            value = _values.dumps(value)
            lines = [*_inner_comments(self._text, entry), *_COMMENT.findall(self._text[entry.value_end : end])]
            lines.append(f"{scalar(key)}: {scalar(value)}")
        self._remove(entry, {k: v for k, v in matter.data.items() if k != key})
        matter = self._with_metadata_block(self._readable())
        wanted = {**matter.data, "metadata": {**nested(matter), key: value}}
        self._insert_metadata(matter, lines, wanted, column=entry.column)

    def make_strict(self) -> list[str]:
        """Rewrite the values that strict YAML or `skills-ref` stumble over; return their names.

        Those are flow lists and mappings, anchors and tags, and three hyphens in a row.
        """
        matter = self._readable()
        rewritten = []
        for key, entry in matter.entries.items():
            if key != "metadata" and self._refused(entry):
                rewritten.append(key)
        for key in rewritten:
            matter = self.read()
            text = _top_text(key, matter.data[key])
            self._commit(self._replaced(matter.entries[key], scalar(text)), {**matter.data, key: text})
        matter = self.read()
        metadata = matter.entries.get("metadata")
        if metadata and isinstance(metadata.node, yaml.MappingNode) and metadata.node.flow_style:
            self._with_metadata_block(matter)
            rewritten.append("metadata")
        for key in [key for key, entry in self._metadata_entries(self.read()).items() if self._refused(entry)]:
            matter = self.read()
            text = _values.dumps(nested(matter)[key])
            wanted = {**matter.data, "metadata": {**nested(matter), key: text}}
            self._commit(self._replaced(self._metadata_entries(matter)[key], scalar(text)), wanted)
            rewritten.append(f"metadata.{key}")
        return rewritten

    def _refused(self, entry: Entry) -> bool:
        written = self._text[entry.key_end : entry.value_end]
        return "---" in written or bool(_ANCHOR.search(written)) or not _is_block(entry.node)

    # --- how

    def _readable(self) -> FrontMatter:
        matter = self.read()
        if matter.error and self._text.strip():
            raise InputError(f"the front matter cannot be edited: {matter.error}. Correct it by hand first.")
        if matter.duplicates:
            raise InputError(
                f"the front matter cannot be edited: {matter.duplicates[0]!r} stands there twice. Remove one first."
            )
        return matter

    def _commit(self, text: str, wanted: dict[str, Any]) -> None:
        matter = _front_matter.read(text)
        if matter.data != wanted or (matter.error and wanted):
            raise InputError(
                "the front matter is written in a way that cannot be edited in place. "
                "Rewrite it as plain 'key: value' lines first."
            )
        self._text, self._changed = text, True

    def _replaced(self, entry: Entry, written: str) -> str:
        before, old, after = (
            self._text[: entry.value_start],
            self._text[entry.value_start : entry.value_end],
            self._text[entry.value_end :],
        )
        comments = _inner_comments(self._text, entry)
        if not old:
            return f"{before}{'' if before.endswith(' ') else ' '}{written}{after}"
        if isinstance(entry.node, yaml.ScalarNode):
            comment = f" {comments[0]}" if comments else ""
            tail = old[len(old.rstrip(_BREAKS)) :]
            return f"{before}{written}{comment}{tail}{after}"
        head = before[: self._line_start(entry.start)]
        above = "".join(f"{' ' * entry.column}{comment}{self._newline}" for comment in comments)
        return f"{head}{above}{before[len(head) : entry.key_end]}: {written}{after}"

    def _remove(self, entry: Entry, wanted: dict[str, Any]) -> None:
        start, end = self._line_start(entry.start), self._line_end(entry.value_end)
        self._commit(self._text[:start] + self._text[end:], wanted)

    def _remove_metadata(self, matter: FrontMatter, key: str) -> None:
        if key not in nested(matter):
            return
        rest = {k: v for k, v in nested(matter).items() if k != key}
        if not rest:
            self._remove(matter.entries["metadata"], {k: v for k, v in matter.data.items() if k != "metadata"})
            return
        matter = self._with_metadata_block(matter)
        rest = {k: v for k, v in nested(matter).items() if k != key}
        self._remove(self._metadata_entries(matter)[key], {**matter.data, "metadata": rest})

    def _with_metadata_block(self, matter: FrontMatter) -> FrontMatter:
        """Make `metadata` a block mapping, keeping what stood there in another form."""
        entry = matter.entries.get("metadata")
        if entry is None or (isinstance(entry.node, yaml.MappingNode) and not entry.node.flow_style):
            return matter
        old = matter.data["metadata"]
        kept = old if isinstance(old, dict) else {_ORIGINAL_METADATA: old} if old else {}
        kept = {name: _values.dumps(value) for name, value in kept.items()}
        comments = _inner_comments(self._text, entry)
        comments += _COMMENT.findall(self._text[entry.value_end : self._line_end(entry.value_end)])
        self._remove(entry, {k: v for k, v in matter.data.items() if k != "metadata"})
        matter = self.read()
        lines = [*comments, *(f"{scalar(name)}: {scalar(value)}" for name, value in kept.items())]
        if lines:
            self._insert_metadata(matter, lines, {**matter.data, **({"metadata": kept} if kept else {})})
        return self.read()

    def _insert_metadata(
        self, matter: FrontMatter, lines: list[str], wanted: dict[str, Any], *, column: int = 0
    ) -> None:
        """Add lines, written at `column`, at the end of the metadata block."""
        entries = self._metadata_entries(matter)
        if entries:
            last = list(entries.values())[-1]
            end, indent = self._line_end(last.value_end), last.column
            head, tail, key = self._text[:end], self._text[end:], ""
            if head[-1:] not in (*_BREAKS, ""):
                head += self._newline
        else:
            indent = len(self._indent(matter)) + 2
            head, tail, key = self._closed(), "", f"{self._indent(matter)}metadata:{self._newline}"
            if "metadata" not in wanted:  # comments alone, of a mapping that was empty
                key, indent = "", indent - 2
        moved = [_indented(line, column, indent) for line in lines]
        self._commit(head + key + "".join(line + self._newline for line in moved) + tail, wanted)

    def _metadata_entries(self, matter: FrontMatter) -> dict[str, Entry]:
        entry = matter.entries.get("metadata")
        return _front_matter.entries_of(entry.node)[0] if entry and isinstance(entry.node, yaml.MappingNode) else {}

    def _indent(self, matter: FrontMatter) -> str:
        return " " * min((entry.column for entry in matter.entries.values()), default=0)

    def _closed(self) -> str:
        return self._text if self._text[-1:] in (*_BREAKS, "") else self._text + self._newline

    def _line_start(self, offset: int) -> int:
        return max(self._text.rfind("\n", 0, offset), self._text.rfind("\r", 0, offset)) + 1

    def _line_end(self, offset: int) -> int:
        """Offset of the line after the one `offset` is on; itself where a block scalar ended a line."""
        if offset and self._text[offset - 1] in _BREAKS:
            return offset
        match = re.compile(r"\r\n|\r|\n").search(self._text, offset)
        return match.end() if match else len(self._text)


def _indented(line: str, old: int, new: int) -> str:
    outer = min(old, len(line) - len(line.lstrip(" ")))
    return " " * new + line[outer:] if line.strip() else line


def _top_text(key: str, value: object) -> str:
    if key == "allowed-tools" and isinstance(value, (list, tuple)) and all(isinstance(tool, str) for tool in value):
        return (", " if any(" " in tool for tool in value) else " ").join(value)
    return _values.dumps(value)


def nested(matter: FrontMatter) -> dict[str, Any]:
    """Return the `metadata` mapping of a front matter, ``{}`` where it is something else."""
    metadata = matter.data.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def scalar(text: str) -> str:
    """Write a string so that strict YAML, YAML 1.1 and YAML 1.2 read it as this string, on one line.

    Raises
    ------
    InputError
        The text holds half of a surrogate pair, which no file can.

    Examples
    --------
    >>> scalar("Use when: it rains"), scalar("1.0"), scalar("1.0.0")
    ('"Use when: it rains"', '"1.0"', '1.0.0')
    """
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise InputError(f"{text[:40]!r} holds a lone surrogate, which UTF-8 cannot; remove it.")
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # PyYAML's
    odd = text != text.strip() or "---" in text or _UNPRINTABLE.search(text)
    if tag == _STRING and _PLAIN.fullmatch(text) and not odd:
        return text
    if "'" not in text and '"' in text and not odd:
        return f"'{text}'"
    quoted = _UNPRINTABLE.sub(lambda match: f"\\U{ord(match[0]):08x}", json.dumps(text, ensure_ascii=False))
    # skills-ref ends the front matter at the first three hyphens, wherever they are.
    return quoted.replace("---", "\\x2d--")


def _inner_comments(text: str, entry: Entry) -> list[str]:
    """Comments within a value: after a block scalar's mark, between a collection's items."""
    value = text[entry.value_start : entry.value_end]
    if not isinstance(entry.node, yaml.ScalarNode):
        return [comment.strip() for comment in _COMMENT.findall(text[entry.key_end : entry.value_end])]
    if entry.node.style in ("|", ">"):
        return _COMMENT.findall(value.splitlines()[0])
    return []


def _is_block(node: _front_matter.Node) -> bool:
    """Tell whether strict YAML takes the value as it is written: no flow collection, anchor or tag."""
    if isinstance(node, yaml.ScalarNode):
        return node.tag in ("!", _STRING)
    if node.flow_style:
        return False
    children = [n for pair in node.value for n in pair] if isinstance(node, yaml.MappingNode) else node.value
    return bool(children) and all(map(_is_block, children))
