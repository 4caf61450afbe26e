"""The data sets that ship with the package, read with the standard library alone."""

from __future__ import annotations

import csv
import json
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import unknown

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_FILES = {
    "intents": "intents.csv",
    "skill_planning": "skill_planning.json",
    "skill_complexity": "skill_complexity.json",
    "skill_complexity_examples": "skill_complexity_examples.json",
}


def bundled(name: str) -> list[dict[str, Any]]:
    """Read a data set of the project.

    Parameters
    ----------
    name
        ``"intents"``: help desk messages with one of eight intents; ``"skill_planning"``: what a
        skill should do, and its plan; ``"skill_complexity"``: how complex these are to write;
        ``"skill_complexity_examples"``: tasks of other fields, and how complex they are.
        ``data/README.md`` tells the fields of each.

    Returns
    -------
    list of dict
        One a row, made anew on each call.

    Raises
    ------
    NotFoundError
        If there is no such set.

    Examples
    --------
    >>> rows = bundled("intents")
    >>> sorted(rows[0])
    ['intent', 'text']
    """
    if name not in _FILES:
        raise unknown("data set", name, _FILES)
    text = (_folder() / _FILES[name]).read_text(encoding="utf-8")
    rows = json.loads(text) if _FILES[name].endswith(".json") else csv.DictReader(StringIO(text, newline=""))
    return [dict(row) for row in rows]


def _folder() -> Traversable:
    """Return the folder of data sets: inside an installed wheel, else that of the checkout."""
    installed = files("skillfleet_nb") / "_data"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "data"
