"""A home with two real jobs and one that was only created, which every test of charts looks at."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from made_up import SMALL, Data, counted_lm, program, told

from skillfleet_nb import Fleet
from skillfleet_nb.events import JobCreated
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from pathlib import Path

LONG = "a name that somebody gave it to tell every parameter of the run, and then some more"


def make(home: Path) -> Fleet:
    fleet, data, (lm, _) = Fleet(home), Data(), counted_lm()
    for optimizer, name in (("miprov2", "mipro"), ("gepa", LONG)):
        given = {"metric": told, "optimizer": optimizer, "params": SMALL[optimizer], "lm": lm, "seed": 3}
        fleet.optimize(program(), name=name, **given, **data.splits()).result()
    with Journal(Home.find(home), "nothing-yet") as journal:
        created = {"optimizer": "gepa", "program": "p", "metric": "m", "engine": "thread", "seed": 0}
        journal.append(JobCreated(name="nothing yet", **created))
    return fleet


def outside(text: str) -> list[str]:
    """Addresses a page would ask for: namespaces and schema names are none."""
    return re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//[^"'\s>]+""", text)
