"""What draws the grid of jobs, and what is drawn below it: for a notebook's kernel, and for a server that has none."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from skillfleet_nb.charts.convergence import FULL, convergence_data
from skillfleet_nb.design import script, stylesheet
from skillfleet_nb.html import fill, join
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from skillfleet_nb.fleet import Fleet

_STATIC = Path(__file__).parent / "static"
_VENDOR = _STATIC / "vendor"
LIBRARY, VERSION = _VENDOR / "tabulator_esm.min.mjs", "Tabulator 6.5.3"
NEWEST, _MOST_CURVES = 5, 12
"""How many jobs' curves are drawn where none are chosen, and at most."""


@cache
def module() -> str:
    """Read the module that draws the grid and what is around it."""
    return script(_STATIC / "dashboard.js")


@cache
def style() -> str:
    """Read the style sheets of the grid and of what is around it."""
    return (_VENDOR / "tabulator_simple.min.css").read_text("utf-8") + stylesheet(_STATIC / "dashboard.css")


def curves(fleet: Fleet, names: Mapping[str, str], *, chosen: bool) -> dict[str, Any]:
    """Take the learning curves of jobs, as the page draws them; scores in points.

    Parameters
    ----------
    fleet
        Of the home.
    names
        The jobs' names, by id, in order.
    chosen
        Whether somebody chose these jobs.
    """
    ids = list(names)[:_MOST_CURVES]
    drawn = _curves(queries.trials(fleet.store, ids), names) if ids else []
    which = "of the chosen jobs" if chosen else f"of the newest {len(drawn)}; choose jobs to see theirs"
    return {"curves": orjson.loads(orjson.dumps(drawn)), "title": f"Learning curves {which}"}


def _curves(trials: pd.DataFrame, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Take the learning curve of each job: its trials with their programs, and the best so far."""
    data = convergence_data(trials.assign(job=trials["job_id"]))
    programs = {(job, n): p for job, n, p in zip(trials["job_id"], trials["trial"], trials["program_id"], strict=True)}
    made = []
    for job, of_job in data.groupby("job", sort=False):
        rows = list(zip(*(of_job[column].tolist() for column in ("trial", "score", "best", "kind")), strict=True))
        made.append({
            "job": job,
            "name": names[str(job)],
            "trials": [[n, score, programs.get((job, n)), "" if how == FULL else how] for n, score, _, how in rows],
            "best": [[n, best] for n, _, best, _ in rows if not math.isnan(best)],
        })  # fmt: skip
    return made


def analysis(fleet: Fleet, jobs: Sequence[str]) -> str:
    """Compare the optimizers of jobs, and tell which parameters mattered, as HTML."""
    drawn = [fleet.charts.optimizers(*jobs), fleet.charts.importance(*jobs)]
    return str(join(
        fill("<div style='overflow-x:auto' tabindex='0' role='region' aria-label='{}'>{}</div>", c.title, c.svg)
        for c in drawn
    ))  # fmt: skip
