"""Front matter as data with positions, read tolerantly.

`skills-ref` reads strict YAML and refuses a whole document over one flow list.  A person with a
broken document still wants its name shown and its line pointed at, so this reader takes any YAML
1.1 mapping (every scalar a string, as in strict YAML; aliases refused, so nothing can explode),
and falls back to ``key: value`` lines where YAML fails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from skillfleet_nb.skills._values import MAX_DEPTH

MAX_CHARS = 65_536
"""Longest front matter that is read.  Strict YAML needs time in the square of the length: 5 s here."""

_PLAIN_ENTRY = re.compile(r"^([A-Za-z][\w-]*):[ \t]+(\S[^\r\n]*?)[ \t]*$", re.MULTILINE)
Node = yaml.ScalarNode | yaml.SequenceNode | yaml.MappingNode


class _Loader(yaml.BaseLoader):
    """Scalars are strings; an alias is an error (a chain of aliases is a bomb), and so is depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", mark)
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's
            raise yaml.composer.ComposerError(None, None, f"nested more than {MAX_DEPTH} deep", mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


@dataclass(frozen=True)
class Entry:
    """Where one key and its value stand, as offsets in the front matter's text."""

    key: str
    start: int
    key_end: int
    value_start: int
    value_end: int
    column: int
    node: Node


@dataclass(frozen=True)
class FrontMatter:
    """Front matter read.

    Attributes
    ----------
    data
        Values by key, in order: strings, lists and mappings of them.
    entries
        Positions of the top-level keys; empty where the YAML is broken.
    error
        Why it is not a YAML mapping, None where it is; `error_at` is the offset.
    duplicates
        Keys that stand there twice; the first value counts.
    """

    data: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    error: str | None = None
    error_at: int = 0
    duplicates: tuple[str, ...] = ()


def read(text: str) -> FrontMatter:  # noqa: PLR0911  one for each way to be broken
    """Read the text between the fences; never raises."""
    if len(text) > MAX_CHARS:
        return FrontMatter(_by_line(text[:MAX_CHARS]), error=f"longer than {MAX_CHARS:,} characters")
    try:
        node = _compose(text)
        if node is None:
            return FrontMatter(error="empty")
        if not isinstance(node, yaml.MappingNode):
            return FrontMatter(error="not a mapping of keys to values", error_at=node.start_mark.index)
        entries, duplicates = entries_of(node)
        return FrontMatter({key: _value(entry.node) for key, entry in entries.items()}, entries, duplicates=duplicates)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return FrontMatter(_by_line(text), error=error.problem or str(error), error_at=mark.index if mark else 0)
    except yaml.reader.ReaderError as error:
        problem = f"character {error.character!r} is not allowed"
        return FrontMatter(_by_line(text), error=problem, error_at=error.position)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: an escape beyond Unicode; RecursionError: brackets nested a thousand deep.
        return FrontMatter(_by_line(text), error=f"unreadable ({type(error).__name__})")


def entries_of(node: yaml.MappingNode) -> tuple[dict[str, Entry], tuple[str, ...]]:
    """Return the entries of a mapping by key, and the keys that come again."""
    entries: dict[str, Entry] = {}
    duplicates: list[str] = []
    for key_node, value_node in node.value:
        key = str(_value(key_node))
        if key in entries:
            duplicates.append(key)
            continue
        entries[key] = Entry(
            key=key,
            start=key_node.start_mark.index,
            key_end=key_node.end_mark.index,
            value_start=value_node.start_mark.index,
            value_end=_end(value_node),
            column=key_node.start_mark.column,
            node=value_node,
        )
    return entries, tuple(duplicates)


def _compose(text: str) -> Node | None:
    loader = _Loader(text)
    try:
        # BaseLoader makes no other kinds of node.
        return cast("Node | None", loader.get_single_node())
    finally:
        loader.dispose()


def _value(node: Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        entries, _ = entries_of(node)
        return {key: _value(entry.node) for key, entry in entries.items()}
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    return node.value


def _end(node: Node) -> int:
    """Offset just after the value; a block collection's own mark lies after trailing comments."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(node, yaml.MappingNode) else last)


def _by_line(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for match in _PLAIN_ENTRY.finditer(text.replace("\r", "\n")):
        fields.setdefault(match[1], match[2].strip("\"'"))
    return fields
