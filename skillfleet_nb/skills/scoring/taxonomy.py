"""Planning accuracy: does a plan put a skill in the right place with the right metadata.

The built-in planning program reads a ``task_description`` and writes ``taxonomy_path``, ``name``,
``skill_style``, ``keywords`` and ``description``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from skillfleet_nb.skills.document import slug

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WEIGHTS: Final[dict[str, float]] = {
    "taxonomy_path": 0.35,
    "name": 0.20,
    "skill_style": 0.15,
    "keywords": 0.15,
    "description": 0.15,
}
"""Share of each field of a plan; they sum to 1."""

RIGHT_TOP: Final = 0.7
DESCRIPTION_ENOUGH: Final = 0.6
"""Token F1 at which a description counts as right: no two people word one alike."""

_DRAFT = re.compile(r"^_drafts/[^/]+/")
_WORD = re.compile(r"[^\W_]+")
_STOP = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "into", "is", "it", "its", "of", "on", "or"}
    | {"that", "the", "this", "to", "use", "when", "with"}
)


class FieldScore(NamedTuple):
    """How right one field of a plan is: `value` in [0, 1], and what is wrong below 1."""

    field: str
    value: float
    advice: str | None


def taxonomy_accuracy(path: str, expected: str) -> float:
    """Score a taxonomy path: 1.0 for the same path, 0.7 for the right top category, else 0.

    Case, blanks and slashes at the ends do not matter, nor does a draft's ``_drafts/<id>/``.

    Examples
    --------
    >>> taxonomy_accuracy("Web/API Design", "web/api-design"), taxonomy_accuracy("web/css", "web/api-design")
    (1.0, 0.7)
    """
    parts, wanted = _path(path), _path(expected)
    if parts == wanted:
        return 1.0
    return RIGHT_TOP if parts and wanted and parts[0] == wanted[0] else 0.0


def metadata_accuracy(plan: Mapping[str, Any], expected: Mapping[str, Any]) -> tuple[FieldScore, ...]:
    """Score the fields of a plan besides its path; fields that `expected` lacks are left out.

    ``name``: 1 for the same slug, else half the F1 of its words.  ``skill_style``: same or not.
    ``keywords``: F1 of the two sets.  ``description``: ``min(1, F1 of content words / 0.6)``.

    Examples
    --------
    >>> [round(f.value, 2) for f in metadata_accuracy({"name": "pdf-forms"}, {"name": "pdf-form"})]
    [0.25]
    """
    scores = []
    for field in ("name", "skill_style", "keywords", "description"):
        wanted, planned = _plain(expected.get(field)), _plain(plan.get(field))
        if wanted in (None, "", []):
            continue
        value = _FIELD_MEASURES[field](planned, wanted)
        scores.append(FieldScore(field, value, None if value == 1.0 else _advice(field, planned, wanted)))
    return tuple(scores)


def plan_accuracy(plan: Mapping[str, Any], expected: Mapping[str, Any]) -> tuple[float, tuple[FieldScore, ...]]:
    """Score a whole plan: the fields' values by `WEIGHTS`, normalised over the fields expected.

    Returns
    -------
    tuple
        Score in [0, 1], exactly 1 where every field is right, and the score of each field.  Nothing
        expected gives 1.

    Examples
    --------
    >>> plan_accuracy({"taxonomy_path": "web/css"}, {"taxonomy_path": "web/api"})[0]
    0.7
    """
    fields = metadata_accuracy(plan, expected)
    if wanted := expected.get("taxonomy_path"):
        planned = str(plan.get("taxonomy_path") or "")
        value = taxonomy_accuracy(planned, str(wanted))
        kept = "the top category is right, the rest is not: " if value == RIGHT_TOP else ""
        advice = f"taxonomy_path: {kept}expected {str(wanted)!r}, got {planned!r}." if value < 1.0 else None
        fields = (FieldScore("taxonomy_path", value, advice), *fields)
    total = sum(WEIGHTS[f.field] for f in fields)
    lost = sum(WEIGHTS[f.field] * (1 - f.value) for f in fields)
    return (round(1 - lost / total, 9) if lost else 1.0), fields


def _path(path: str) -> list[str]:
    text = _DRAFT.sub("", path.strip().strip("/"))
    return [slug(part) for part in text.split("/") if slug(part)]


def _plain(value: object) -> Any:
    """Return an array, which is what frames hold for a list, as a list."""
    return value.tolist() if hasattr(value, "tolist") else value


def _words(text: object) -> set[str]:
    return {w for w in _WORD.findall(str(text or "").lower()) if w not in _STOP}


def _f1(planned: set[str], wanted: set[str]) -> float:
    return 2 * len(planned & wanted) / (len(planned) + len(wanted)) if planned or wanted else 1.0


def _keywords(value: object) -> set[str]:
    parts = (
        re.split(r"[,;\n]", value)
        if isinstance(value, str)
        else (value if isinstance(value, (list, tuple, set)) else [])
    )
    return {slug(str(part).strip(" []'\"")) for part in parts} - {""}


def _name(planned: object, wanted: object) -> float:
    one, two = slug(str(planned or "")), slug(str(wanted))
    return 1.0 if one == two else _f1(set(one.split("-")) - {""}, set(two.split("-"))) / 2


_FIELD_MEASURES: Final[dict[str, Callable[[object, object], float]]] = {
    "name": _name,
    "skill_style": lambda answered, wanted: float(str(answered or "").strip().lower() == str(wanted).strip().lower()),
    "keywords": lambda answered, wanted: _f1(_keywords(answered), _keywords(wanted)),
    "description": lambda answered, wanted: min(1.0, _f1(_words(answered), _words(wanted)) / DESCRIPTION_ENOUGH),
}


def _advice(field: str, planned: object, wanted: object) -> str:
    if field == "keywords":
        one, two = _keywords(planned), _keywords(wanted)
        parts = [
            f"add {', '.join(sorted(two - one))}" if two - one else "",
            f"drop {', '.join(sorted(one - two))}" if one - two else "",
        ]
        return f"keywords: {'; '.join(part for part in parts if part)}."
    if field == "description":
        missing = ", ".join(sorted(_words(wanted) - _words(planned))[:8])
        return f"description: {f'mention {missing}' if missing else 'say less than this'}; stay close to the task."
    return f"{field}: expected {str(wanted)!r}, got {str(planned or '')!r}."
