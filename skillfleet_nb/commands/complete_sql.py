"""What may come next in a query: relations, columns of those it names, names of jobs, and variables as parameters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.complete import Offer
from skillfleet_nb.commands.resolve import own_variables
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.store.schema import RELATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from skillfleet_nb.fleet import Fleet

_WORD = re.compile(r"(:?\w*|'[^']*)$")


def offers_of_sql(
    before: str, query: str, namespace: Mapping[str, Any], fleet: Callable[[], Fleet]
) -> tuple[str, list[Offer]]:
    """Tell what may come next in a query.

    Parameters
    ----------
    before
        The query up to the cursor.
    query
        All of it: columns are those of the relations it names.
    namespace
        The notebook's variables.
    fleet
        Makes the fleet that is asked.

    Returns
    -------
    tuple
        The word begun, and what it may become.
    """
    match = _WORD.search(before)
    word = match[0] if match and before.count("'") % 2 == match[0].startswith("'") else ""
    try:
        offers = _offers(word, query, namespace, fleet)
    except SkillfleetError:  # a query says what is wrong with the home; a key press does not
        offers = []
    return word, [offer for offer in offers if offer.text.lower().startswith(word.lower())]


def _offers(word: str, query: str, namespace: Mapping[str, Any], fleet: Callable[[], Fleet]) -> list[Offer]:
    if word.startswith(":"):
        return [Offer(f":{name}", "instance") for name in own_variables(namespace)]
    if word.startswith("'"):
        names = dict.fromkeys(str(name) for name in fleet().jobs().name)
        return [Offer("'" + name.replace("'", "''") + "'", "job") for name in names]
    words = set(re.findall(r"\w+", query.lower()))
    columns: dict[str, None] = {}
    for relation in RELATIONS:
        if relation in words and relation != word:
            columns |= dict.fromkeys(fleet().store.columns(relation))
    return [*(Offer(name, "column") for name in columns), *(Offer(name, "relation") for name in RELATIONS)]
