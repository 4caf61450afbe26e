"""Rows of skill plans as training data: what their columns mean, and how good a plan is by its looks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from skillfleet_nb.data.dataset import is_blank
from skillfleet_nb.data.roles import Roles
from skillfleet_nb.skills.style import STYLES

if TYPE_CHECKING:
    from collections.abc import Mapping

STYLE_FIELD = "expected_skill_style"
_PATH_FIELD = "expected_taxonomy_path"
_DRAFT = re.compile(r"^_drafts/[^/]+/")
_KEYWORDS = (2, 8)
_ENOUGH_WORDS = 6
_KEBAB = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*$")
_WHEN = re.compile(
    r"\buse (this |it )?(skill )?(when|for|to)\b|\bwhen (you|a|an|the|building|working|to)\b", re.IGNORECASE
)
_VERB = re.compile(
    r"\b(add|build|check|choose|configure|create|debug|deploy|design|develop|document|draft|extract|fix|generate|"
    r"implement|improve|integrate|manage|migrate|monitor|optimi[sz]e|plan|prepare|review|set up|test|turn|use|validate|"
    r"write)\w*",
    re.IGNORECASE,
)


def branch(plan: Mapping[str, Any]) -> str | None:
    """Return the top of a plan's path in the taxonomy, drafts where they would go.

    Examples
    --------
    >>> branch({"expected_taxonomy_path": "_drafts/new/python/async"}), branch({})
    ('python', None)
    """
    path = plan.get(_PATH_FIELD)
    return None if not isinstance(path, str) or is_blank(path) else _DRAFT.sub("", path).split("/")[0]


def clarity(plan: Mapping[str, Any]) -> float:
    """Return the share of the checks on name, path, style, description and folders that hold."""
    name, path = plan.get("expected_name"), plan.get(_PATH_FIELD)
    about, style = plan.get("expected_description"), plan.get(STYLE_FIELD)
    return _share(
        isinstance(name, str) and bool(_KEBAB.match(name)),
        isinstance(path, str) and isinstance(name, str) and path.rsplit("/", 1)[-1] == name,
        style in STYLES,
        isinstance(about, str) and len(about.split()) >= _ENOUGH_WORDS,
        style != "navigation_hub" or "references" in (plan.get("expected_subdirectories") or ()),
    )


def practice(plan: Mapping[str, Any]) -> float:
    """Return the share of the signs of use: when to use it, two to eight keywords, something to do."""
    about = f"{plan.get('task_description') or ''} {plan.get('expected_description') or ''}"
    keywords = plan.get("expected_keywords") or ()
    return _share(bool(_WHEN.search(about)), _KEYWORDS[0] <= len(keywords) <= _KEYWORDS[1], bool(_VERB.search(about)))


PLAN_ROLES = Roles(
    recognised_by=frozenset({"task_description", _PATH_FIELD, STYLE_FIELD}),
    inputs=("task_description",),
    category_field=_PATH_FIELD,
    category=branch,
    title="expected_name",
    expected={STYLE_FIELD: STYLES},
    clarity=clarity,
    practice=practice,
)
"""Roles of the columns of skill-planning examples."""


def _share(*checks: bool) -> float:
    return sum(checks) / len(checks)
