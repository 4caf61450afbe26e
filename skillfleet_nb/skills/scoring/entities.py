"""Entity F1: which names, paths and code identifiers of a reference a text mentions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_CODE = re.compile(r"`([^`\n]{2,80})`")
_PATH = re.compile(
    r"(?<![\w/.-])(?:[\w.-]+/)+[\w.-]+|(?<![\w/.-])[\w-]+\.(?:py|md|json|ya?ml|toml|tsx?|jsx?|sh|sql|csv|html|css)\b"
)
_NAME = re.compile(
    r"(?<![\w/.-])(?:[A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+|[A-Z]{2,}[A-Za-z0-9]*|[a-z]+[A-Z][A-Za-z0-9]*"
    r"|[A-Za-z]\w*_\w+|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)\b"
)
_EMPHASIS = frozenset({"MUST", "NEVER", "ALWAYS", "NOT", "DO", "AND", "OR", "REQUIRED", "SKILL", "TODO", "USE", "ONLY"})
_EDGES = ".,;:()[]{}'\"!?"


class EntityMatch(NamedTuple):
    """How the entities of a text match those of a reference; all three figures in [0, 1]."""

    f1: float
    precision: float
    recall: float
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def extract_entities(text: str) -> frozenset[str]:
    """Find names (``CamelCase``, ``snake_case``, ``dotted.names``, acronyms), paths and inline code.

    Plain English words are not entities, nor are words in capitals for emphasis.  Case is folded.

    Examples
    --------
    >>> sorted(extract_entities("Call `open()` from src/app.py with DuckDB. You MUST close it."))
    ['duckdb', 'open', 'src/app.py']
    """
    code = {part for match in _CODE.finditer(text) for part in [match[1]] if " " not in part}
    entities = code | {m[0] for m in _PATH.finditer(text)} | {m[0] for m in _NAME.finditer(text)} - _EMPHASIS
    return frozenset(entity for each in entities if len(entity := each.strip(_EDGES).lower()) > 1)


def entity_f1(text: str, reference: str, extract: Callable[[str], Iterable[str]] = extract_entities) -> EntityMatch:
    """Compare the entities of `text` with those of `reference`: F1 of the two sets.

    Parameters
    ----------
    text, reference
        Any texts.
    extract
        Finds the entities of a text; give your own for a domain with its own names.

    Returns
    -------
    EntityMatch
        ``f1 = 2PR / (P + R)``; 1 where neither text has entities, 0 where only one has.

    Examples
    --------
    >>> entity_f1("Use DuckDB.", "Use DuckDB with PyArrow.").missing
    ('pyarrow',)
    """
    named, wanted = frozenset(extract(text)), frozenset(extract(reference))
    if not named and not wanted:
        return EntityMatch(1.0, 1.0, 1.0, (), ())
    shared = len(named & wanted)
    precision = shared / len(named) if named else 0.0
    recall = shared / len(wanted) if wanted else 0.0
    f1 = 2 * shared / (len(named) + len(wanted))
    return EntityMatch(f1, precision, recall, tuple(sorted(wanted - named)), tuple(sorted(named - wanted)))
